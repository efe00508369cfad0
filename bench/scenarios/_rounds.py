"""Operations that a client does one at a time: closed loop, at a rate, or all at once."""

from __future__ import annotations

from collections import deque

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.pace import Pace
from rookery.bench.scenarios._scenario import Scenario, Window


class Rounds(Scenario):
    """`one(client, intended)` begins an operation and calls `ended` when it is over.

    In an open loop an operation waits for a client when all are busy; its latency counts from the intended time. Those that
    never found one count as `not-begun`, those that did not end in time as `unfinished`.
    """

    storms = True

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._window = Window(0, 0, 0)
        self._idle: deque[Client] = deque()
        self._backlog: deque[int] = deque()
        self._sending = False
        self._under_way = 0
        self._begun = self._done = 0
        self._most = 1 << 60
        self._latency = driver.recorder.latency(self.operation)
        self._pace: Pace | None = None

    def one(self, client: Client, intended: int) -> None:
        """Begin one operation."""
        raise NotImplementedError

    def takes_part(self, client: Client) -> bool:
        """Whether a client has operations; the others are only there."""
        return True

    def at_once(self) -> int:
        """Operations under way at once in a closed loop, in this process."""
        return len(self._idle)

    def begin(self, window: Window) -> None:
        """Begin as the plan says."""
        driver, plan = self.driver, self.plan
        self._window = window
        self._idle = deque(
            client
            for client in driver.clients
            if self.takes_part(client) and (client.open or not self.online)
        )
        self._sending = True
        if plan.storm or plan.count:
            self._most = len(self._idle) * (plan.count or 1)
        now = driver.loop.clock()
        if plan.storm or plan.closed_loop:
            for _ in range(len(self._idle) if plan.storm else min(self.at_once(), len(self._idle))):
                self._next(now)
        else:
            rng = driver.rng if plan.arrivals == "poisson" else None
            self._pace = Pace(driver.loop, driver.rate, self._due, driver.recorder.late, rng)
            self._pace.start(window.begin, window.last)

    def _due(self, intended: int) -> None:
        if self._idle:
            self._next(intended)
        else:
            self._backlog.append(intended)

    def _next(self, intended: int) -> None:
        if self._idle and self._begun < self._most:
            self._begun += 1
            self._under_way += 1
            self.driver.recorder.sent += 1
            self.one(self._idle.popleft(), intended)

    def ended(self, client: Client, condition: str, intended: int) -> None:
        """The operation is over, well when `condition` is empty."""
        now = self.driver.loop.clock()
        self._under_way -= 1
        self._done += 1
        if condition:
            self.driver.recorder.error(self.operation, condition)
        else:
            self.driver.recorder.delivered += 1
            if self._window.first <= intended < self._window.last:
                self._latency.append(now - intended)
        if client.open or not self.online:
            self._idle.append(client)
        if not self._sending:
            return
        if self._backlog and self._idle:
            self._next(self._backlog.popleft())
        elif self.plan.closed_loop and not self.plan.storm:
            # Not from here: an operation that fails at once would begin the next ever deeper.
            self.driver.loop.at(now, self._next)

    def finish(self) -> None:
        """Begin nothing more."""
        self._sending = False
        if self._pace is not None:
            self._pace.stop()
        for _ in self._backlog:
            self.driver.recorder.error(self.operation, "not-begun")
        if self._backlog:
            self.driver.notes.append(
                "operations found all users busy: either the server does not keep up, or the rate needs more --users"
            )
        self._backlog.clear()

    def abandon(self) -> None:
        """Those under way failed."""
        for _ in range(self._under_way):
            self.driver.recorder.error(self.operation, "unfinished")

    def outstanding(self) -> int:
        """Operations under way."""
        return self._under_way

    def complete(self) -> bool:
        """All of `count` or `storm` are over."""
        return self._done >= self._most
