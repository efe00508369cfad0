"""`rookery status`: the processes of a cluster, what they hold, and its servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rookery.admin.processes import Status, gather
from rookery.cli import EX_FAILED, EX_UNAVAILABLE
from rookery.cli.options import resolve, run, target_options
from rookery.shared.config import Config
from rookery.shared.db.bridge import open_database
from rookery.shared.observe.client import get
from rookery.up.state import Running


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
    parent: dict[str, Any] = {}
    if running is not None:
        try:
            _, body = await get("127.0.0.1", running.admin_port, "/status")
            parent = json.loads(body)
        except (OSError, ValueError):
            pass  # it is stopping, or of another version: what the bus says remains
    async with open_database(config.database) as db:
        return await gather(config, db, parent)


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
    if rooms := found["rooms"]:
        click.echo(f"{'rooms':9} {rooms['total']}, {rooms['occupied']} with {rooms['occupants']} occupants")
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
