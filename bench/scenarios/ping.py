"""XEP-0199 pings of the server: the shortest way through it."""

from __future__ import annotations

import re
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.flow import Flow, messages
from rookery.bench.driver.pace import Pace
from rookery.bench.driver.scan import MARK, MARK_FORMAT, error_condition, split
from rookery.bench.driver.stalls import Stalls
from rookery.bench.result import Messages
from rookery.bench.scenarios._scenario import Scenario, Window
from rookery.shared.xmpp.xml import escape_attr

_PING: Final = b"'><ping xmlns='urn:xmpp:ping'/></iq>"
_RESULT: Final = re.compile(rb"\A<iq[^>]* type=['\"]result['\"]")
#: Exactly one result and nothing else.
_PONG: Final = re.compile(
    rb"<iq(?=[^>]* type=['\"]result['\"])[^>]* id=['\"]" + MARK.pattern + rb"['\"][^>]*(?:/>|></iq>)"
)


class Ping(Scenario):
    """One ping is outstanding per user in a closed loop."""

    operation = "ping"
    summary = "XEP-0199 pings of the server: closed loop (one outstanding per user), or at a rate."

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._flows: dict[Client, Flow] = {}
        self._sending = False
        self._window = Window(0, 0, 0)
        self._latency = driver.recorder.latency("ping")
        self._head = f" type='get' to='{escape_attr(self.plan.domain)}' id='".encode()
        self._order: list[Client] = []
        self._turn = 0
        self._stalls: Stalls[Client] = Stalls(int(self.plan.timeout * 1e9))
        self._pace: Pace | None = None

    def begin(self, window: Window) -> None:
        """Ping once each, or begin the pace."""
        self._window, self._sending = window, True
        driver = self.driver
        self._flows = {client: Flow() for client in driver.clients if client.open}
        self._order = list(self._flows)
        driver.rng.shuffle(self._order)
        for client in self._order:
            client.sink = self._sink
        if self.plan.closed_loop:
            for client in self._order:
                self._ping(client, driver.loop.clock())
        elif self._order:
            rng = driver.rng if self.plan.arrivals == "poisson" else None
            self._pace = Pace(driver.loop, driver.rate, self._next, driver.recorder.late, rng)
            self._pace.start(window.begin, window.last)

    def _next(self, intended: int) -> None:
        client = self._order[self._turn]
        self._turn = (self._turn + 1) % len(self._order)
        if client.open and not (self.plan.count and self._flows[client].sent >= self.plan.count):
            self._ping(client, intended)

    def _ping(self, client: Client, intended: int) -> None:
        flow = self._flows[client]
        number = flow.sent
        flow.sent = number + 1
        self.driver.recorder.sent += 1
        mark = MARK_FORMAT % (client.session.account.index, number, intended)
        client.write(b"<iq%b%b%b%b" % (client.xmlns, self._head, mark, _PING))

    def _sink(self, client: Client, data: bytes) -> None:
        if client.tail:
            data = client.tail + data
            client.tail = b""
        found = _PONG.fullmatch(data)
        if found is not None:
            self._pong(client, found[2], found[3])
            return
        whole, client.tail = split(data)
        for element in whole:
            mark = MARK.search(element) if element.startswith(b"<iq") else None
            if mark is None:
                self.driver.other(client, element)
            elif _RESULT.match(element):
                self._pong(client, mark[2], mark[3])
            else:
                self.driver.recorder.error("ping", error_condition(element))
                self._pong(client, mark[2], b"0")

    def _pong(self, client: Client, sequence: bytes, time: bytes) -> None:
        flow = self._flows[client]
        number = int(sequence, 16)
        if number == flow.expected:
            flow.expected = number + 1
        elif not flow.strange(number):
            return
        now = self.driver.loop.clock()
        self.driver.recorder.delivered += 1
        intended = int(time, 16)
        if self._window.first <= intended < self._window.last:
            self._latency.append(now - intended)
        if self._sending and self.plan.closed_loop and not (self.plan.count and flow.sent >= self.plan.count):
            self._ping(client, now)

    def finish(self) -> None:
        """Ping no more."""
        self._sending = False
        if self._pace is not None:
            self._pace.stop()

    def watch(self, now: int) -> None:
        """Let users go on whose answer does not come."""
        if not self.plan.closed_loop:
            return
        waiting = [(client, flow.arrived) for client, flow in self._flows.items() if flow.outstanding]
        for client in self._stalls.look(now, waiting):
            self.driver.recorder.error("ping", "timeout")
            if client.open and not (self.plan.count and self._flows[client].sent >= self.plan.count):
                self._ping(client, now)

    def outstanding(self) -> int:
        """Pings without an answer."""
        return sum(flow.outstanding for flow in self._flows.values())

    def complete(self) -> bool:
        """All pings of `count` were answered."""
        count = self.plan.count
        return bool(count) and all(
            flow.sent >= count and not flow.outstanding for flow in self._flows.values()
        )

    def messages(self) -> Messages:
        """Pings and their answers."""
        return messages(self._flows.values())


SCENARIO = Ping
