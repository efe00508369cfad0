"""Who should hold which partition: balanced, with as few moves as balance allows. Pure; every process computes the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """Where a process runs; an empty zone is a zone, too."""

    zone: str
    host: str


#: The places of processes; one that runs a version that does not say has none.
Places = Mapping[str, Place]


def assign(
    members: Iterable[str], current: Sequence[str | None], places: Places | None = None
) -> list[str | None]:
    """The holder that each partition should have, given `current` holders (None, or who is no member: free).

    Every member gets floor(n/m) or ceil(n/m) partitions. A partition changes its holder only when that holder has more than
    its share, or is no member; the shares that are one larger go to those who hold most already, and among those who
    save no move by it to the zones and then the hosts that have least. None for all without members.
    """
    names = sorted(set(members))
    if not names:
        return [None] * len(current)
    held: dict[str, int] = dict.fromkeys(names, 0)
    for holder in current:
        if holder in held:
            held[holder] += 1
    small, large = divmod(len(current), len(names))
    larger = _larger(names, held, small, large, places or {})
    share = {name: small + (name in larger) for name in names}
    target: list[str | None] = []
    kept = dict.fromkeys(names, 0)
    for holder in current:
        if holder in kept and kept[holder] < share[holder]:
            kept[holder] += 1
            target.append(holder)
        else:
            target.append(None)
    takers = [name for name in names for _ in range(share[name] - kept[name])]
    rest = iter(takers)
    return [holder if holder is not None else next(rest) for holder in target]


def _larger(
    names: Sequence[str], held: Mapping[str, int], small: int, large: int, places: Places
) -> frozenset[str]:
    """The `large` members whose share is `small` + 1."""
    if not all(name in places for name in names):
        # A process of a version that knows no places computes just this. Were we to differ, a partition could be nobody's.
        return frozenset(sorted(names, key=lambda name: (-held[name], name))[:large])
    # Those who hold more than the small share save a move each; at rest they are just as many.
    more = frozenset(name for name in names if held[name] > small)
    if len(more) == large:
        return more
    zones = dict.fromkeys((places[name].zone for name in names), 0)
    hosts = dict.fromkeys((places[name] for name in names), 0)
    for name in names:
        zones[places[name].zone] += small
        hosts[places[name]] += small
    found: set[str] = set()
    for _ in range(large):
        best = min(
            (name for name in names if name not in found),
            key=lambda name: (name not in more, zones[places[name].zone], hosts[places[name]], name),
        )
        found.add(best)
        zones[places[best].zone] += 1
        hosts[places[best]] += 1
    return frozenset(found)


def targets(
    holders: Mapping[int, str | None],
    live: Collection[str],
    free: Collection[str | None],
    places: Places | None = None,
) -> dict[int, str | None]:
    """The holder that each partition of one kind should have.

    Partitions of a holder that is neither `live` nor `free` to be replaced (a process that is silent, but not yet long enough;
    one that drains and gives its partitions away by itself) are left out: they stay where they are.
    """
    known = frozenset(live)
    open_ = [p for p in sorted(holders) if holders[p] is None or holders[p] in known or holders[p] in free]
    return dict(zip(open_, assign(known, [holders[p] for p in open_], places), strict=True))
