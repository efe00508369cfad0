"""`rookery status`: the processes of a cluster, what they hold, and its servers."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
import trio

from rookery.cli import EX_FAILED, EX_UNAVAILABLE
from rookery.cli.options import resolve, run, target_options
from rookery.shared.bus.api import Call
from rookery.shared.bus.kinds import built
from rookery.shared.bus.messages import AskHolds, Beat, Item, Kind
from rookery.shared.bus.nats import open_bus
from rookery.shared.cluster.about import About
from rookery.shared.config import Config
from rookery.shared.db import migrate
from rookery.shared.db.api import Connection, DatabaseUnavailable
from rookery.shared.db.bridge import open_database
from rookery.shared.observe.client import get
from rookery.shared.settings import without_password
from rookery.up.state import Running

#: How long answers are collected; a process that is alive answers at once.
_LISTEN: Final = 0.5
_CONNECT: Final = 3.0
# A process that was killed still stands in the leases: only who beats and may write holds anything.
_HELD: Final = """
SELECT l.kind, l.incarnation, count(*) AS n, bool_and(m.expires > now() AND f.open) AS alive
FROM lease l LEFT JOIN member m USING (incarnation) LEFT JOIN fence f USING (incarnation)
WHERE l.incarnation IS NOT NULL GROUP BY l.kind, l.incarnation"""
#: Kinds without which clients cannot be served.
_NEEDED: Final = tuple([row.kind.label for row in built() if row.needed or row.by_default])

Status = dict[str, Any]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@target_options
@click.pass_context
def status(
    ctx: click.Context,
    as_json: bool,
    config_file: Path | None,
    data: Path | None,
    database_url: str,
    nats_url: str,
) -> None:
    """Show processes, the partitions they hold, NATS and Postgres.

    Exit code 69 when NATS or Postgres cannot be reached, 1 when something is missing: an edge, or a holder for partitions.
    """
    config, running = resolve(config_file, data, database_url, nats_url)
    found = run(_gather, config, running)
    click.echo(json.dumps(found, indent=1, ensure_ascii=False)) if as_json else _show(found)
    if not (found["nats"]["ok"] and found["postgres"]["ok"]):
        ctx.exit(EX_UNAVAILABLE)
    if found["missing"]:
        ctx.exit(EX_FAILED)


async def _gather(config: Config, running: Running | None) -> Status:
    found: Status = {"nats": {"ok": False}, "postgres": {"ok": False}, "partitions": {}}
    beats: dict[str, Beat] = {}
    held: dict[str, dict[str, int]] = {}
    parent: dict[str, Any] = {}

    async def ask_parent() -> None:
        if running is not None:
            try:
                _, body = await get("127.0.0.1", running.admin_port, "/status")
                parent.update(json.loads(body))
            except (OSError, ValueError):
                pass  # it is stopping, or of another version: what the bus says remains

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_parent)
        nursery.start_soon(ask_bus, config, found["nats"], beats)
        nursery.start_soon(_ask_database, config, found, held)
    named = {
        process["incarnation"]: process for process in parent.get("processes", []) if process["incarnation"]
    }
    found["processes"] = [
        _process(name, beats.get(name), held.get(name, {}), named.get(name, {}))
        for name in sorted({*beats, *held, *named})
    ]
    found["servers"] = parent.get("servers", [])
    found["missing"] = missing(found)
    return found


def missing(found: Status) -> list[str]:
    """What clients lack, a line each; [] when NATS or Postgres cannot tell."""
    if not (found["nats"]["ok"] and found["postgres"]["ok"]):
        return []
    lines = []
    if not any("edge" in process["kinds"] and process["state"] != "silent" for process in found["processes"]):
        lines.append("edge: no process runs, clients cannot connect")
    for kind in dict.fromkeys((*_NEEDED, *found["partitions"])):
        count = found["partitions"].get(kind)
        if count is None or not count["held"]:
            lines.append(f"{kind}: no process runs, none of its partitions has a holder")
        elif count["held"] < count["total"]:
            lines.append(
                f"{kind}: {count['total'] - count['held']} of {count['total']} partitions have no holder"
            )
    return lines


def _process(name: str, beat: Beat | None, held: dict[str, int], parent: Mapping[str, Any]) -> Status:
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


async def ask_bus(config: Config, told: Status, beats: dict[str, Beat]) -> None:
    """Collect the beats of all processes; `told` becomes what is to be said of NATS."""
    told["url"] = without_password(config.bus.url)

    def receive(source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        # Only the answer to our question says who the process is; its next beat does not.
        if isinstance(item, Beat) and (item.about or item.incarnation not in beats):
            beats[item.incarnation] = item

    started = time.monotonic()
    with trio.move_on_after(_CONNECT):
        async with open_bus(f"cli{secrets.token_hex(6)}", config.bus) as bus:
            bus.receiver = receive
            bus.on_control = lambda item: receive("", Kind.EDGE, 0, 0, item)
            bus.announce(AskHolds(bus.incarnation))
            told["ok"] = await bus.drain(_CONNECT)
            told["ms"] = round((time.monotonic() - started) * 1000, 1)
            await trio.sleep(_LISTEN)


async def _ask_database(config: Config, found: Status, held: dict[str, dict[str, int]]) -> None:
    told = found["postgres"]
    told["url"] = without_password(config.database.url)

    async def read(conn: Connection) -> None:
        told["version"] = await conn.fetchval("SHOW server_version")
        total = await conn.fetchval("SELECT partitions FROM installation")
        for row in await conn.fetch("SELECT DISTINCT kind FROM lease ORDER BY kind"):
            found["partitions"][row["kind"]] = {"held": 0, "total": total}
        for row in await conn.fetch(_HELD):
            held.setdefault(row["incarnation"], {})[row["kind"]] = row["n"]
            if row["alive"]:
                found["partitions"][row["kind"]]["held"] += row["n"]

    started = time.monotonic()
    async with open_database(config.database) as db:
        try:
            with trio.fail_after(_CONNECT):
                applied = await migrate.status(db)
                told["schema"], told["pending"] = applied.version, len(applied.pending)
                await db.run(0, read)
        except (DatabaseUnavailable, trio.TooSlowError) as error:
            told["error"] = str(error) or "no answer"
        else:
            told["ok"], told["ms"] = True, round((time.monotonic() - started) * 1000, 1)


def _show(found: Status) -> None:
    for name in ("nats", "postgres"):
        told = found[name]
        more = (
            f"version {told['version']}, schema {told['schema']:04}"
            if "version" in told
            else told.get("error", "")
        )
        state = f"ok in {told['ms']} ms" if told["ok"] else "NOT REACHED"
        click.echo(f"{name:9} {state:16} {told['url']}  {more}".rstrip())
    for line in found["missing"]:
        click.echo(f"MISSING   {line}")
    names = [process["name"] or "+".join(process["kinds"]) for process in found["processes"]]
    width = max(map(len, ["postgres", *names]))
    places = [_place(process) for process in found["processes"]]
    room = max(map(len, ["where", *places]))
    click.echo(
        f"\n{'process':{width}} {'pid':>8} {'state':9} {'up':>7} {'load/s':>7}  {'where':{room}}  {'runs':14}  holds"
    )
    for name, place, process in zip(names, places, found["processes"], strict=True):
        holds = ", ".join(f"{kind} {count}" for kind, count in sorted(process["partitions"].items()))
        click.echo(
            f"{name:{width}} {process['pid'] or '-':>8} {process['state']:9} {_age(process['uptime']):>7} {process['load']:>7}"
            f"  {place:{room}}  {_runs(process):14}  {holds or '-'}  [{process['incarnation']}]"
        )
    for server in found["servers"]:
        click.echo(f"{server['kinds'][0]:{width}} {server['pid']:>8} {'up':9}")


def _place(process: Status) -> str:
    port = process["ports"].get("admin")
    place = (process["host"] or "-") + (f" admin {port}" if port else "")
    return place + (f" zone {process['zone']}" if process["zone"] else "")


def _runs(process: Status) -> str:
    return " ".join(filter(None, (process["release"], process["code"]))) or "-"


def _age(seconds: int | None) -> str:
    """A time in two parts at most: 42s, 7m, 3h20m, 12d4h."""
    if seconds is None:
        return "-"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days:
        return f"{days}d{hours % 24}h"
    if hours:
        return f"{hours}h{minutes % 60}m"
    return f"{minutes}m" if minutes else f"{seconds}s"
