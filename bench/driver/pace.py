"""An open loop: operations begin at intended times, whatever became of those before (no coordinated omission)."""

from __future__ import annotations

import random
from collections.abc import Callable

from rookery.bench.driver.loop import Loop


class Pace:
    """Calls `begin(intended)` at a rate until `end`; both times in nanoseconds of the loop's clock.

    Those that are overdue begin at once, each with its own intended time; how late that was is appended to `late`.
    """

    __slots__ = ("_begin", "_draw", "_end", "_gap", "_late", "_loop", "_next")

    def __init__(
        self,
        loop: Loop,
        rate: float,
        begin: Callable[[int], None],
        late: list[int],
        poisson: random.Random | None = None,
    ) -> None:
        self._loop = loop
        self._gap = 1e9 / rate
        self._begin = begin
        self._late = late
        self._draw = poisson
        self._next = 0.0
        self._end = 0

    def start(self, at: int, end: int) -> None:
        """Begin at `at`."""
        self._next, self._end = float(at), end
        self._loop.at(at, self._due)

    def stop(self) -> None:
        """Begin nothing more."""
        self._end = 0

    def _due(self, now: int) -> None:
        following, end, gap, draw, clock = self._next, self._end, self._gap, self._draw, self._loop.clock
        begin, late = self._begin, self._late
        # A bounded batch: answers are read between batches when the driver is behind.
        for _ in range(64):
            intended = int(following)
            if intended > now or intended >= end:
                break
            late.append(clock() - intended)
            begin(intended)
            following += gap if draw is None else draw.expovariate(1.0) * gap
        self._next = following
        if following < end:
            self._loop.at(int(following), self._due)
