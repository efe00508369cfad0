"""When a domain that could not be reached is tried again: pauses that double, with jitter. Pure."""

from __future__ import annotations

from typing import Final

#: The first pause, in seconds; and the one after a stream that had worked ended.
FIRST: Final = 1.0
AGAIN: Final = 0.2
_DOUBLINGS: Final = 20


def pause(failures: int, chance: float, longest: float) -> float:
    """Seconds to wait after so many failures in a row; `chance` in [0, 1) spreads them from half to one and a half."""
    if failures <= 0:
        return AGAIN * (0.5 + chance)
    return min(longest, FIRST * 2.0 ** min(failures - 1, _DOUBLINGS)) * (0.5 + chance)
