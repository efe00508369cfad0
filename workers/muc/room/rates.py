"""How often somebody may do something: a bucket that fills with time."""

from __future__ import annotations


class Bucket:
    """Holds `burst` at most; full at first. Times are in Unix seconds."""

    __slots__ = ("_at", "_left")

    def __init__(self, burst: float) -> None:
        self._left = burst
        self._at = 0.0

    def take(self, now: float, rate: float, burst: float, cost: float = 1) -> bool:
        """Take one, or `cost`; False when there is too little. `rate` is what comes in within a second."""
        left = min(burst, self._left + max(0.0, now - self._at) * rate)
        self._at = now
        if left < cost:
            self._left = left
            return False
        self._left = left - cost
        return True
