"""Watching one account: what its sessions send and get at every edge, as it happens. Whoever stops asking ends it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rookery.admin import cluster_work
from rookery.admin.desk import Desk
from rookery.admin.errors import Invalid
from rookery.shared.bus.kinds import Kind
from rookery.shared.xmpp.jid import Jid

#: Stanzas of one edge in one answer.
LIMIT: Final = 200


class Watched(NamedTuple):
    """Stanzas in the order of their times, and where to go on: the number of the last one of each edge."""

    stanzas: list[dict[str, Any]]
    cursor: dict[str, int]


async def edges(desk: Desk) -> list[str]:
    """The edges that answer."""
    found = await cluster_work.status(desk)
    return [
        one["incarnation"]
        for one in found["processes"]
        if Kind.EDGE.label in one["kinds"] and one["state"] != "silent"
    ]


async def begin(desk: Desk, jid: Jid, *, bodies: bool) -> None:
    """Tell the log who begins to watch whom."""
    await desk.tell([desk.audit("watch", jid.bare, bodies=bodies)])


async def look(desk: Desk, names: list[str], jid: Jid, cursor: Mapping[str, int], *, bodies: bool) -> Watched:
    """What has passed since. An edge that is asked remembers from then on, for as long as it is asked again within 15 s. Raises Invalid."""
    stanzas: list[dict[str, Any]] = []
    after = dict(cursor)
    for name in names:
        asked = {"account": jid.bare, "after": after.get(name, 0), "limit": LIMIT, "bodies": bodies}
        answer = (await desk.cluster.ask_processes([name], "watch", asked)).get(name)
        if answer is None:
            continue
        stanzas += [{**one, "edge": name} for one in answer]
        after[name] = answer[-1]["number"] if answer else after.get(name, 0)
    stanzas.sort(key=lambda one: float(one["at"]))
    return Watched(stanzas, after)


def packed(cursor: Mapping[str, int]) -> str:
    """Where to go on, as programs hand it back."""
    return json.dumps(dict(cursor), separators=(",", ":"))


def unpacked(text: str) -> dict[str, int]:
    """What `packed` made. Raises Invalid."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(type(number) is int for number in found.values()):
        raise Invalid("cursor is what the last answer said")
    return found
