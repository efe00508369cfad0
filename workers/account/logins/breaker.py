"""A circuit breaker: who is away is not asked for a while, so nobody waits for it in vain. A pure machine: times are arguments, in seconds."""

from __future__ import annotations

from typing import Final

#: Failures in a row that open it, and the first and longest time that it stays open.
FAILURES: Final = 5
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0


class Breaker:
    """Closed while all is well; open after some failures in a row; then one question at a time tells whether it closes."""

    __slots__ = ("_failures", "_pause", "_trying", "_until")

    def __init__(self) -> None:
        self._failures = 0
        self._pause = 0.0
        self._until = 0.0
        self._trying = False

    @property
    def open(self) -> bool:
        """Whether the last questions failed."""
        return self._failures >= FAILURES

    def allows(self, now: float) -> bool:
        """Whether to ask; whoever asks says how it went."""
        if not self.open:
            return True
        if self._trying or now < self._until:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """It answered, whatever it said."""
        self._failures = 0
        self._pause = 0.0
        self._trying = False

    def failed(self, now: float, jitter: float = 0.0) -> bool:
        """It did not answer. `jitter` is from 0 to 1. Returns whether that opened the breaker."""
        self._failures += 1
        self._trying = False
        if not self.open:
            return False
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
        self._until = now + self._pause * (0.75 + jitter / 2)
        return self._failures == FAILURES

    def given_up(self) -> None:
        """Whoever asked has stopped waiting, and knows nothing."""
        self._trying = False
