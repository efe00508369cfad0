"""How many logins a second this edge lets through to the cluster, and in which order when more want to.

The rate is the cluster's, cut by the number of edges that live: no edge asks another one. A login is counted once, where it becomes dear for
others: before its resource is bound or its stream resumed, before an account is made. They go in a few at a time: many at once would stand before
the stanzas of all others, here and at the routers. `Queue` is pure; `Admission` is its shell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum
from functools import partial
from typing import Final, Protocol

import trio

from rookery.shared.bucket import Bucket
from rookery.shared.net.timers import NEVER
from rookery.shared.observe import metrics

#: Logins that may pass at once after a rest, in seconds of the rate.
BURST_SECONDS: Final = 2.0
#: Whoever should have been served in time is not refused since this process was busy.
SLACK_SECONDS: Final = 0.2
#: How often those who wait are looked at, in seconds.
STEP_SECONDS: Final = 0.01
#: Of the time that negotiation has, waiting may take this part: what comes behind it takes time, too.
PATIENCE: Final = 0.5


class Rank(IntEnum):
    """What a login is; the lowest goes first."""

    RESUME = 0
    FAST = 1
    SCRAM = 2
    REGISTER = 3


class Waiter(Protocol):
    """Whose login it is."""

    #: Why its stream is over, "" while it is not.
    reason: str


class Ticket:
    """A login that waits. `admitted` is None until it is decided."""

    __slots__ = ("admitted", "client", "event", "until")

    def __init__(self, client: Waiter, until: float) -> None:
        self.client = client
        self.until = until
        self.admitted: bool | None = None
        self.event = trio.Event()

    def decide(self, admitted: bool) -> None:
        """Let it go on."""
        self.admitted = admitted
        self.event.set()


def _burst(rate: float) -> float:
    return max(1.0, rate * BURST_SECONDS)


class Queue:
    """A bucket of logins with one queue for each rank. No clock: `now` is an argument, in seconds.

    Whoever would wait for longer than `wait` seconds is refused at once; whoever is overtaken for so long, then.
    """

    __slots__ = ("_bucket", "_queues", "_rate", "patience")

    def __init__(self, rate: float, wait: float, now: float) -> None:
        self._rate = rate
        #: Seconds.
        self.patience = wait
        self._bucket = Bucket(rate, _burst(rate), now)
        self._queues: tuple[deque[Ticket], ...] = tuple(deque() for _ in Rank)

    @property
    def rate(self) -> float:
        """Logins a second; 0 for no limit."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if rate != self._rate:
            self._rate = rate
            self._bucket.configure(rate, _burst(rate))

    def waiting(self, rank: Rank) -> int:
        """How many of this rank wait."""
        return len(self._queues[rank])

    def enter(self, now: float) -> bool:
        """Take a token if there is one and nobody waits."""
        return not self._rate or (not any(self._queues) and self._bucket.spend(now))

    def wait(self, rank: Rank, client: Waiter, now: float) -> Ticket | None:
        """Stand behind those of this rank; None when that would take too long."""
        ahead = sum(len(queue) for queue in self._queues[: rank + 1])
        if ahead >= self._rate * self.patience:
            return None
        ticket = Ticket(client, now + self.patience + SLACK_SECONDS)
        self._queues[rank].append(ticket)
        return ticket

    def serve(self, now: float) -> float:
        """Decide about those whose time has come; returns when to look again, NEVER when nobody waits."""
        for queue in self._queues:
            while queue:
                over = queue[0].until <= now or bool(queue[0].client.reason)
                if not over and self._rate and not self._bucket.spend(now):
                    break
                queue.popleft().decide(not over)
        return now + self._bucket.wait() if self._rate and any(self._queues) else NEVER


class Admission:
    """The door of one edge. `edges` tells how many edges share the rate of the cluster, `spawn` starts a task."""

    def __init__(
        self,
        clock: Callable[[], float],
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
        rate: float,
        wait: float,
        edges: Callable[[], int] = lambda: 1,
    ) -> None:
        self._clock = clock
        self._spawn = spawn
        self._rate = rate
        self._edges = edges
        self._queue = Queue(rate / max(1, edges()), wait, clock())
        self._serving = False
        for rank in Rank:
            metrics.LOGINS_WAITING.sample(partial(self._queue.waiting, rank), rank.name.lower())

    def configure(self, rate: float, wait: float) -> None:
        """Go on with other settings."""
        self._rate = rate
        self._queue.patience = wait
        self.tick()

    def tick(self) -> None:
        """Take this edge's share of the rate. Call it once a second."""
        self._queue.rate = self._rate / max(1, self._edges())

    async def enter(self, rank: Rank, client: Waiter) -> bool:
        """Wait for a turn; False when there is none soon enough, or the client did not wait."""
        now = self._clock()
        if self._queue.enter(now):
            return True
        ticket = self._queue.wait(rank, client, now)
        if ticket is None:
            metrics.LOGINS_REFUSED.labels(rank.name.lower()).inc()
            return False
        if not self._serving:
            self._serving = True
            self._spawn(self._serve)
        await ticket.event.wait()
        if not ticket.admitted and not client.reason:
            metrics.LOGINS_REFUSED.labels(rank.name.lower()).inc()
        return bool(ticket.admitted)

    async def _serve(self) -> None:
        """Let one after the other through while somebody waits."""
        try:
            while True:
                now = self._clock()
                due = self._queue.serve(now)
                if due == NEVER:
                    return
                await trio.sleep(max(STEP_SECONDS, due - now))
        finally:
            self._serving = False
