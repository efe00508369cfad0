"""When a process asks everybody who holds what: announcements may have been missed. Pure.

Who claims a partition announces it, so most items that wait for a holder need no question. After a failure every process has such items at the same
time, and each question is answered by every holder: the first one waits for a moment, those that follow for longer and longer, and chance spreads them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

#: Seconds before the first question, and the longest time between two.
FIRST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 16.0


class Asking:
    """One process's questions. `chance` gives numbers from 0 to 1."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._at: float | None = None
        self._wait = FIRST_SECONDS

    def due(self, waiting: bool, now: float) -> bool:
        """Whether to ask now; `waiting` tells whether something waits for a holder that is not known. Call it about once a second."""
        if not waiting:
            self._at = None
            self._wait = FIRST_SECONDS
            return False
        if self._at is not None and now >= self._at:
            self._wait = min(2 * self._wait, LONGEST_SECONDS)
            self._at = self._next(now)
            return True
        if self._at is None:
            self._at = self._next(now)
        return False

    def _next(self, now: float) -> float:
        return now + self._wait * (0.5 + self._chance())
