"""An edge that has more connections than others gives some away: their clients resume elsewhere, a few at a time.

Only streams that can be resumed are ended; meanwhile the edge is not ready, so that a balancer sends nobody here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import structlog
import trio

_log = structlog.get_logger()
#: Slices in a second, and connections in one of them at most.
SLICES: Final = 4
MOST: Final = 200


class Giving(Protocol):
    """A connection."""

    #: Why its stream is over, "" while it is not.
    reason: str

    def vacate(self) -> bool:
        """Give up the socket; False when the client could not go on elsewhere."""


class Shedding:
    """What is still to be given away, at which pace."""

    def __init__(self, connections: Callable[[], Iterable[Giving]], flush: Callable[[], None]) -> None:
        self._connections = connections
        self._flush = flush
        self._wanted = trio.Event()
        #: How many are still to go, and how many a second.
        self.left = 0
        self.rate = 0

    def answer(self, detail: dict[str, Any]) -> dict[str, int]:
        """Begin with {connections, rate}, or end with {connections: 0}; tells how far it is. Raises ValueError, TypeError."""
        if "connections" in detail:
            count, rate = int(detail["connections"]), int(detail.get("rate", 1))
            if count < 0 or rate < 1:
                raise ValueError("connections and a rate are positive numbers")
            _log.info("edge_sheds", connections=count, rate=rate)
            self.left, self.rate = count, rate
            self._wanted.set()
        return {"left": self.left, "rate": self.rate if self.left else 0, "connections": self._open()}

    def _open(self) -> int:
        return sum(1 for one in self._connections() if not one.reason)

    async def run(self) -> None:
        """Give away what is asked for, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            # Those that come meanwhile stay: they may have been here before.
            order = iter([*self._connections()])
            while self.left and not self._wanted.is_set():
                size = max(1, min(MOST, self.rate // SLICES, self.left))
                went = self._some(order, size)
                self.left -= went
                self._flush()
                if went < size:
                    if self.left:
                        _log.info("edge_shed_less", left=self.left, reason="no other stream can be resumed")
                    self.left = 0
                    break
                await trio.sleep(size / self.rate)

    @staticmethod
    def _some(order: Iterable[Giving], size: int) -> int:
        went = 0
        for one in order:
            if not one.reason and one.vacate():
                went += 1
                if went == size:
                    break
        return went
