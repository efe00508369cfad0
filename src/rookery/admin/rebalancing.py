"""Connections that move from edges with many to edges with few: who gives how many away. What an edge does then is in `edge.shedding`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rookery.admin import cluster_work
from rookery.admin.desk import Desk
from rookery.admin.errors import Unreachable

#: Of more than the mean, an edge keeps so much in percent: balancers do not count exactly.
TOLERANCE: Final = 10


class Share(NamedTuple):
    """What one edge gives away, and how many of that in a second."""

    connections: int
    rate: int


def plan(connections: Mapping[str, int], rate: int, tolerance: int = TOLERANCE) -> dict[str, Share]:
    """Who gives away how many: who has `tolerance` percent more than the mean gets down to it. `rate` is shared by what they give.

    With fewer than two edges nobody gives anything.
    """
    if len(connections) < 2:
        return {}
    mean = sum(connections.values()) / len(connections)
    surplus = {
        name: math.floor(count - mean)
        for name, count in connections.items()
        if count > mean * (1 + tolerance / 100)
    }
    total = sum(surplus.values())
    return {
        name: Share(count, max(1, round(rate * count / total))) for name, count in surplus.items() if count
    }


async def rebalance(
    desk: Desk, rate: int, tolerance: int, dry_run: bool = False
) -> dict[str, dict[str, int]]:
    """Let edges give connections away: {edge: {connections, left, rate}}, where `left` are still to go. Raises Unreachable."""
    found = await progress(desk)
    shares = plan({name: told["connections"] for name, told in found.items()}, rate, tolerance)
    for name, share in shares.items():
        if dry_run:
            found[name] |= {"left": share.connections, "rate": share.rate}
        else:
            detail = {"connections": share.connections, "rate": share.rate}
            found[name] = await desk.cluster.ask_process(name, "shed", detail)
    if not dry_run:
        moved = sum(share.connections for share in shares.values())
        await desk.tell([desk.audit("cluster rebalance", "edges", connections=moved, rate=rate)])
    return found


async def progress(desk: Desk) -> dict[str, dict[str, int]]:
    """How far it is, of each edge that lives and does not drain. Raises Unreachable when one does not answer."""
    return await _ask(desk)


async def stop(desk: Desk) -> dict[str, dict[str, int]]:
    """Let nobody give anything more away. Raises Unreachable."""
    found = await _ask(desk, {"connections": 0})
    await desk.tell([desk.audit("cluster rebalance-stop", "edges")])
    return found


async def _ask(desk: Desk, detail: Mapping[str, Any] | None = None) -> dict[str, dict[str, int]]:
    processes = (await cluster_work.status(desk))["processes"]
    edges = [one["incarnation"] for one in processes if "edge" in one["kinds"] and one["state"] == "up"]
    found = await desk.cluster.ask_processes(edges, "shed", detail)
    if silent := sorted(set(edges) - set(found)):
        raise Unreachable(f"{', '.join(silent)}: no answer, or of a version that cannot do that")
    return found
