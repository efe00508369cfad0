"""A wheel of coarse timers: thousands of connections with a deadline, no task and no object for each.

An object sits in at most one live slot, at or before the earliest moment when it wants to be asked. When its slot comes,
`on_timer(now)` looks at its own deadlines and returns the next moment (or infinity). Moving a deadline later costs
nothing: the object is asked early, and asks again.
"""

from __future__ import annotations

import heapq
import math
from typing import Final, Protocol

import structlog

_log = structlog.get_logger()

#: Seconds in one slot: shapers resume with this precision.
RESOLUTION: Final = 0.1
#: Deadlines further away than this are rounded up to whole COARSE seconds, so that idle connections share slots.
COARSE_AFTER: Final = 60.0
COARSE: Final = 5.0
NEVER: Final = math.inf


class Timed(Protocol):
    """What the wheel can ask. `wake_slot` belongs to the wheel: 0 when the object is in no slot."""

    wake_slot: int

    def on_timer(self, now: float) -> float:
        """Act on deadlines that have passed; return when to be asked next, or NEVER."""


class Wheel:
    """Slots of timed objects; `now` is any clock in seconds that never goes back."""

    __slots__ = ("_heap", "_slots")

    def __init__(self) -> None:
        self._slots: dict[int, list[Timed]] = {}
        self._heap: list[int] = []

    def schedule(self, timed: Timed, at: float, now: float) -> bool:
        """Ask `timed` at `at` or a little later. True when this is the new earliest slot of the wheel."""
        if at == NEVER:
            return False
        if at - now > COARSE_AFTER:
            at = math.ceil(at / COARSE) * COARSE
        slot = max(1, math.ceil(at / RESOLUTION))
        if 0 < timed.wake_slot <= slot:
            return False
        # An entry in a later slot stays there; it is recognised as stale by its number.
        timed.wake_slot = slot
        entry = self._slots.get(slot)
        if entry is not None:
            entry.append(timed)
            return False
        self._slots[slot] = [timed]
        heapq.heappush(self._heap, slot)
        return self._heap[0] == slot

    def due(self) -> float:
        """When the earliest slot is due, or NEVER."""
        return self._heap[0] * RESOLUTION if self._heap else NEVER

    def advance(self, now: float) -> int:
        """Ask everything whose slot is due; returns how many were asked."""
        asked = 0
        while self._heap and self._heap[0] * RESOLUTION <= now:
            slot = heapq.heappop(self._heap)
            for timed in self._slots.pop(slot):
                if timed.wake_slot != slot:
                    continue
                timed.wake_slot = 0
                asked += 1
                try:
                    following = timed.on_timer(now)
                except Exception:
                    # The others in this slot must not lose their timers to it.
                    _log.exception("timer_failed")
                    continue
                self.schedule(timed, max(following, now + RESOLUTION / 2), now)
        return asked

    def __len__(self) -> int:
        return sum(len(entry) for entry in self._slots.values())
