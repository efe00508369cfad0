"""All faults, and which of them a run has."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

from tests.cluster.chaos.faults import FAULTS, INSIDE, OUTSIDE, Fault
from tests.cluster.chaos.net_faults import NET_FAULTS
from tests.cluster.chaos.overlaps import OVERLAPS, POWER

#: One at a time.
ALL: Final = (*FAULTS, *NET_FAULTS)


def chosen(names: str, *, overlap: bool = False) -> list[Fault]:
    """Faults by name or id, separated by commas; "all" that work with servers inside the cluster, "net" those that work with servers on
    cables, "-name" for all but these; `overlap`: "all" has those that are several faults, too. Raises ValueError, also for faults that need different servers.
    """
    wanted = [name for name in names.split(",") if name]
    if not wanted or wanted == ["none"]:
        return []
    without = {name[1:] for name in wanted if name.startswith("-")}
    named = {name for name in wanted if not name.startswith("-")}
    every = (*ALL, *OVERLAPS, POWER)
    known = {fault.name for fault in every} | {fault.id for fault in every}
    if unknown := (named - {"all", "net"} | without) - known:
        raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    other = INSIDE if "net" in named else OUTSIDE
    named -= {"all", "net"}
    found = [
        fault
        for fault in (every if named else (*ALL, *OVERLAPS) if overlap else ALL)
        if (fault.servers != other if not named else bool(named & {fault.name, fault.id}))
        and not without & {fault.name, fault.id}
    ]
    if {INSIDE, OUTSIDE} <= {fault.servers for fault in found}:
        raise ValueError(
            "some of these faults need servers inside the cluster, some need them on cables: run them apart"
        )
    return found


def deck(faults: Sequence[Fault], rng: random.Random) -> Iterator[Fault]:
    """Each fault once in random order, again and again: all occur about equally often."""
    while faults:
        yield from rng.sample(list(faults), len(faults))
