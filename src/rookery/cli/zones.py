"""Which kinds of process one zone can take away."""

from __future__ import annotations

from collections.abc import Iterable

from rookery.admin.processes import Heard
from rookery.shared.bus.messages import Beat, Kind
from rookery.shared.cluster.about import About


def one_zone_only(beats: Iterable[Beat | Heard]) -> list[str]:
    """Kinds whose processes all run in one zone although the cluster has several, a line each."""
    zones: dict[Kind, set[str]] = {}
    for beat in beats:
        # Of a process that does not say where it runs nothing can be said.
        if zone := About.read(beat.about).zone:
            for kind in (kind for kind in Kind if kind in beat.kinds):
                zones.setdefault(kind, set()).add(zone)
    every = set().union(*zones.values())
    if len(every) < 2:
        return []
    return [
        f"{kind.label}: all processes that say where they run are in zone {next(iter(found))}, the cluster has {', '.join(sorted(every))}"
        for kind, found in sorted(zones.items())
        if len(found) == 1
    ]
