"""Who should hold which partition: balanced, with as few moves as balance allows. Pure; every process computes the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence


def assign(members: Iterable[str], current: Sequence[str | None]) -> list[str | None]:
    """The holder that each partition should have, given `current` holders (None, or who is no member: free).

    Every member gets floor(n/m) or ceil(n/m) partitions. A partition changes its holder only when that holder has more than
    its share, or is no member; the shares that are one larger go to those who hold most already. None for all without
    members.
    """
    names = sorted(set(members))
    if not names:
        return [None] * len(current)
    held: dict[str, int] = dict.fromkeys(names, 0)
    for holder in current:
        if holder in held:
            held[holder] += 1
    small, large = divmod(len(current), len(names))
    by_load = sorted(names, key=lambda name: (-held[name], name))
    share = {name: small + (rank < large) for rank, name in enumerate(by_load)}
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


def targets(
    holders: Mapping[int, str | None], live: Collection[str], free: Collection[str | None]
) -> dict[int, str | None]:
    """The holder that each partition of one kind should have.

    Partitions of a holder that is neither `live` nor `free` to be replaced (a process that is silent, but not yet long enough;
    one that drains and gives its partitions away by itself) are left out: they stay where they are.
    """
    known = frozenset(live)
    open_ = [p for p in sorted(holders) if holders[p] is None or holders[p] in known or holders[p] in free]
    return dict(zip(open_, assign(known, [holders[p] for p in open_]), strict=True))
