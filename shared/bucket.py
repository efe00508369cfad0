"""How often, or how much: a bucket that fills with time. Pure: `now` is an argument, in seconds of whatever clock its owner has."""

from __future__ import annotations


class Bucket:
    """A token bucket, full at first: `rate` is what comes in within a second, `burst` the most that it holds.

    There are two ways to use it. `take` is for what has been read already: it is always taken, so the level may become negative by one
    turn's worth, and the answer says for how long not to read; nothing is ever dropped. `spend` is for what may be refused.
    """

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def configure(self, rate: float, burst: float) -> Bucket:
        """Go on with another rate, from what is left. Returns itself."""
        self._rate = rate
        self._burst = burst
        return self

    def take(self, amount: float, now: float) -> float:
        """Take `amount`; returns for how many seconds not to read (0.0 while tokens are left)."""
        level = self._level + (now - self._at) * self._rate
        if level > self._burst:
            level = self._burst
        self._at = now
        self._level = level = level - amount
        return 0.0 if level > 0 else -level / self._rate + 1 / self._rate

    def spend(self, now: float, cost: float = 1.0) -> bool:
        """Take `cost` if there is so much; False when there is not, and nothing is taken. A clock that went back adds nothing."""
        level = min(self._burst, self._level + max(0.0, now - self._at) * self._rate)
        self._at = now
        if level < cost:
            self._level = level
            return False
        self._level = level - cost
        return True

    def wait(self, cost: float = 1.0) -> float:
        """Seconds from the last look until there are so many tokens; 0.0 when there are. The rate must not be 0."""
        return max(0.0, (cost - self._level) / self._rate)
