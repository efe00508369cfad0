"""How long to wait before a domain that failed is tried again: each kind of failure has its own first pause and its own longest. No I/O."""

from __future__ import annotations

from typing import Final, NamedTuple


class Pace(NamedTuple):
    """Seconds: the first pause, and the longest."""

    first: float
    longest: float


#: What ends before it began costs little and may be over soon; what needs somebody's hand is asked for rarely.
KINDS: Final = {
    "dns-nxdomain": Pace(60.0, 3600.0),
    "dns-none": Pace(60.0, 3600.0),
    "dns-servfail": Pace(15.0, 900.0),
    "dns-timeout": Pace(15.0, 900.0),
    "refused": Pace(5.0, 300.0),
    "unreachable": Pace(10.0, 600.0),
    "timeout": Pace(10.0, 600.0),
    "tls": Pace(30.0, 1800.0),
    "untrusted": Pace(60.0, 3600.0),
    "auth": Pace(60.0, 3600.0),
    "policy": Pace(60.0, 3600.0),
    "multiplex": Pace(0.0, 0.0),
    "stream": Pace(5.0, 300.0),
    "limit": Pace(10.0, 600.0),
    "closed": Pace(1.0, 300.0),
    "shutdown": Pace(2.0, 60.0),
    "idle": Pace(0.0, 0.0),
    "unanswered": Pace(1.0, 60.0),
}


def pause(kind: str, failures: int, draw: float) -> float:
    """Seconds until the next attempt, after `failures` in a row (at least 1); `draw` is a random number from 0 to 1.

    It doubles with each failure; half of it is random, so that those who failed together do not come back together.
    """
    pace = KINDS.get(kind, KINDS["stream"])
    whole = min(pace.longest, pace.first * float(1 << min(failures - 1, 16)))
    return whole * (0.5 + 0.5 * draw)
