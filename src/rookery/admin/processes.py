"""The processes of a cluster, what they hold, and its servers: asked of the bus and of Postgres at the same time."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.kinds import built
from rookery.shared.bus.messages import AskHolds, Beat, Item, Kind
from rookery.shared.bus.nats import open_bus
from rookery.shared.cluster.about import About
from rookery.shared.cluster.federation import federated
from rookery.shared.config import Config
from rookery.shared.db import migrate
from rookery.shared.db.api import Connection, Database, DatabaseUnavailable
from rookery.shared.settings import without_password

#: How long answers are collected; a process that is alive answers at once.
_LISTEN: Final = 0.5
_CONNECT: Final = 3.0
# A process that was killed still stands in the leases: only who beats and may write holds anything.
_HELD: Final = """
SELECT l.kind, l.incarnation, count(*) AS n, bool_and(m.expires > now() AND f.open) AS alive
FROM lease l LEFT JOIN member m USING (incarnation) LEFT JOIN fence f USING (incarnation)
WHERE l.incarnation IS NOT NULL GROUP BY l.kind, l.incarnation"""

_ROOMS: Final = """
SELECT (SELECT count(*) FROM room) AS total, count(DISTINCT room_id) AS occupied, count(*) AS occupants FROM room_occupant"""


def needed(config: Config) -> list[str]:
    """The kinds without which clients lack something; other servers are served only where federation is on."""
    kinds = [row.kind for row in built() if row.needed or row.by_default]
    return [kind.label for kind in kinds if kind != Kind.S2S or federated(config)]


Status = dict[str, Any]


class Heard(NamedTuple):
    """What a process says of itself: the fields of its beat."""

    incarnation: str
    kinds: Sequence[int]
    load: int
    state: str
    version: int
    about: Sequence[str] = ()


async def gather(
    config: Config,
    db: Database,
    parent: Mapping[str, Any] | None = None,
    heard: Mapping[str, Heard] | None = None,
) -> Status:
    """Everything at once. `parent` is what `/status` of a `rookery up` answered: it names processes and tells their ports.

    `heard` is what a process of the cluster knows of the others; without it they are asked over a connection of our own.
    """
    found: Status = {"nats": {"ok": False}, "postgres": {"ok": False}, "partitions": {}, "rooms": {}}
    beats: dict[str, Heard] = {}
    held: dict[str, dict[str, int]] = {}
    parent = parent or {}
    async with trio.open_nursery() as nursery:
        if heard is None:
            nursery.start_soon(ask_bus, config, found["nats"], beats)
        else:
            found["nats"] = {"ok": True, "url": without_password(config.bus.url)}
            beats.update(heard)
        nursery.start_soon(_ask_database, config, db, found, held)
    named = {
        process["incarnation"]: process for process in parent.get("processes", []) if process["incarnation"]
    }
    found["processes"] = [
        _process(name, beats.get(name), held.get(name, {}), named.get(name, {}))
        for name in sorted({*beats, *held, *named})
    ]
    found["servers"] = parent.get("servers", [])
    found["missing"] = missing(found, needed(config))
    return found


def missing(found: Status, kinds: list[str]) -> list[str]:
    """What clients lack when each of `kinds` is needed, a line each; [] when NATS or Postgres cannot tell."""
    if not (found["nats"]["ok"] and found["postgres"]["ok"]):
        return []
    lines = []
    if pending := found["postgres"].get("pending"):
        lines.append(f"schema: {pending} migrations: run `rookery migrate`")
    if not any("edge" in process["kinds"] and process["state"] != "silent" for process in found["processes"]):
        lines.append("edge: no process runs, clients cannot connect")
    for kind in dict.fromkeys((*kinds, *found["partitions"])):
        count = found["partitions"].get(kind)
        if count is None or not count["held"]:
            lines.append(f"{kind}: no process runs, none of its partitions has a holder")
        elif count["held"] < count["total"]:
            lines.append(
                f"{kind}: {count['total'] - count['held']} of {count['total']} partitions have no holder"
            )
    return lines


def _process(name: str, beat: Heard | None, held: dict[str, int], parent: Mapping[str, Any]) -> Status:
    about = About.read(beat.about if beat else ())
    ports = dict(parent.get("ports", {}))
    if about.admin_port:
        ports["admin"] = about.admin_port
    kinds = [Kind(number).label for number in beat.kinds] if beat else list(parent.get("kinds", sorted(held)))
    return {
        "incarnation": name,
        "name": parent.get("name", ""),
        "kinds": kinds,
        "host": about.host,
        "pid": about.pid or parent.get("pid"),
        "ports": ports,
        "uptime": max(0, round(time.time()) - about.started) if about.started else None,
        "release": about.release,
        "code": about.code,
        "zone": about.zone,
        "state": beat.state if beat else "silent",
        "load": beat.load if beat else 0,
        "version": beat.version if beat else None,
        "partitions": held,
    }


async def ask_bus(config: Config, told: Status, beats: dict[str, Heard]) -> None:
    """Collect the beats of all processes; `told` becomes what is to be said of NATS."""
    told["url"] = without_password(config.bus.url)

    def receive(source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        # Only the answer to our question says who the process is; its next beat does not.
        if isinstance(item, Beat) and (item.about or item.incarnation not in beats):
            beats[item.incarnation] = Heard(*item)

    started = time.monotonic()
    with trio.move_on_after(_CONNECT):
        async with open_bus(f"cli{secrets.token_hex(6)}", config.bus) as bus:
            bus.receiver = receive
            bus.on_control = lambda item: receive("", Kind.EDGE, 0, 0, item)
            bus.announce(AskHolds(bus.incarnation))
            told["ok"] = await bus.drain(_CONNECT)
            told["ms"] = round((time.monotonic() - started) * 1000, 1)
            await trio.sleep(_LISTEN)


async def _ask_database(config: Config, db: Database, found: Status, held: dict[str, dict[str, int]]) -> None:
    told = found["postgres"]
    told["url"] = without_password(config.database.url)

    async def read(conn: Connection) -> None:
        told["version"] = await conn.fetchval("SHOW server_version")
        if not told["schema"]:
            return  # an empty database: there are no tables yet
        total = await conn.fetchval("SELECT partitions FROM installation")
        for row in await conn.fetch("SELECT DISTINCT kind FROM lease ORDER BY kind"):
            found["partitions"][row["kind"]] = {"held": 0, "total": total}
        for row in await conn.fetch(_HELD):
            held.setdefault(row["incarnation"], {})[row["kind"]] = row["n"]
            if row["alive"]:
                found["partitions"][row["kind"]]["held"] += row["n"]
        if not told["pending"]:
            found["rooms"] = dict((await conn.fetchrow(_ROOMS)).items())

    started = time.monotonic()
    try:
        with trio.fail_after(_CONNECT):
            applied = await migrate.status(db)
            told["schema"], told["pending"] = applied.version, len(applied.pending)
            await db.run(0, read)
    except (DatabaseUnavailable, trio.TooSlowError) as error:
        told["error"] = str(error) or "no answer"
    else:
        told["ok"], told["ms"] = True, round((time.monotonic() - started) * 1000, 1)
