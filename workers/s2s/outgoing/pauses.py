"""When a domain that could not be reached is tried again: pauses that double, with jitter; each kind of failure has its own. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple


class Pace(NamedTuple):
    """Seconds: the first pause, and the longest where it is less than that of the settings."""

    first: float
    longest: float = float("inf")


#: Failures that may be over soon. Also of kinds that are not in the table.
SOON: Final = Pace(1.0)
#: By `Trouble.kind`. What costs both sides little and may be over soon is tried again soon; what has cost a time-out, or needs somebody's hand
#: (records of the DNS, certificates, policies), is tried more rarely.
KINDS: Final = {
    "refused": SOON,
    "closed": SOON,
    "stream": SOON,
    "shutdown": Pace(1.0, 60.0),
    "unanswered": Pace(1.0, 60.0),
    "unreachable": Pace(2.0),
    "timeout": Pace(2.0),
    "limit": Pace(5.0),
    "dns-servfail": Pace(3.0),
    "dns-timeout": Pace(3.0),
    "dns-nxdomain": Pace(15.0),
    "dns-none": Pace(15.0),
    "tls": Pace(5.0),
    "untrusted": Pace(30.0),
    "auth": Pace(30.0),
    "policy": Pace(30.0),
}
#: The pause after a stream that had worked ended, whatever ended it.
AGAIN: Final = 0.2
_DOUBLINGS: Final = 20


def pause(kind: str, failures: int, chance: float, longest: float) -> float:
    """Seconds to wait after so many failures in a row, the last of this kind.

    `longest` is that of the settings; `chance` in [0, 1) spreads those that failed together from half to one and a half.
    """
    if failures <= 0:
        return AGAIN * (0.5 + chance)
    pace = KINDS.get(kind, SOON)
    most = min(longest, pace.longest)
    return min(most, pace.first * 2.0 ** min(failures - 1, _DOUBLINGS)) * (0.5 + chance)
