"""In which order the servers of a domain are tried: SRV records of both kinds together (RFC 2782, XEP-0368 section 4). No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

#: RFC 6120 section 3.2.2: where a domain without SRV records is looked for.
DEFAULT_PORT: Final = 5269


class Record(NamedTuple):
    """One server of a domain; `tls` from the first byte. `target` is a host name without the final dot, or an IP address."""

    priority: int
    weight: int
    port: int
    target: str
    tls: bool = False


def order(records: Iterable[Record], draw: Callable[[int], int]) -> list[Record]:
    """By priority, and within one by weight; `draw(n)` gives a random number from 0 to n. A target "" (the root) is no server."""
    groups: dict[int, list[Record]] = {}
    for record in records:
        if record.target:
            groups.setdefault(record.priority, []).append(record)
    found: list[Record] = []
    for priority in sorted(groups):
        # RFC 2782: those of weight 0 come first, so that they have a small chance to be drawn.
        left = sorted(groups[priority], key=lambda record: record.weight)
        while left:
            at = draw(sum(record.weight for record in left))
            for record in left:
                at -= record.weight
                if at <= 0:
                    break
            left.remove(record)
            found.append(record)
    return found


def interleave(v6: Sequence[str], v4: Sequence[str]) -> list[str]:
    """Addresses of both families by turns, IPv6 first (RFC 8305 section 4)."""
    found: list[str] = []
    for at in range(max(len(v6), len(v4))):
        found += v6[at : at + 1]
        found += v4[at : at + 1]
    return found
