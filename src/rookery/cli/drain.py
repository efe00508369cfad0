"""`rookery drain`: let one process give away what it holds and end."""

from __future__ import annotations

from typing import Unpack

import click
import trio

from rookery.admin import cluster_work
from rookery.admin.desk import Desk
from rookery.admin.errors import NotFound, Unreachable
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target

_PAUSE = 1.0


@click.command()
@click.argument("process")
@click.option(
    "--rate",
    default=0,
    type=click.IntRange(0, 1_000_000),
    help="End at most so many connections a second, however long that takes; 0: cluster.drain_rate.",
)
@click.option("--status", is_flag=True, help="Only tell how far it is.")
@click.option(
    "--cancel", is_flag=True, help="Let clients in again; only an edge that still ends connections can."
)
@click.option("--wait", is_flag=True, help="Tell how far it is until it has ended.")
@target_options
def drain(process: str, rate: int, status: bool, cancel: bool, wait: bool, **target: Unpack[Target]) -> None:
    """Let PROCESS give away what it holds and end, as SIGTERM does; PROCESS is what `rookery status` shows in brackets.

    Whoever started it starts it anew: `rookery up`, systemd, Kubernetes. The drain of an edge can be called off while it
    ends connections; those that have ended are elsewhere by then.
    """
    if status + cancel + wait > 1:
        raise click.UsageError("give one of --status, --cancel and --wait")
    config, _ = resolve(**target)

    async def ask(desk: Desk) -> None:
        if status:
            click.echo(await _told(desk, process))
            return
        if cancel:
            found = await cluster_work.undrain(desk, process)
            click.echo(f"{process} lets clients in again, {found['connections']} connections")
            return
        await cluster_work.drain(desk, process, rate)
        if wait:
            await _wait(desk, process)

    work(config, ask, cluster=True)
    if not (status or cancel or wait):
        click.echo(f"{process} drains: see `rookery drain {process} --status`")


async def _told(desk: Desk, process: str) -> str:
    found = await cluster_work.drain_status(desk, process)
    if not found["draining"]:
        return f"{process} does not drain, {found['connections']} connections"
    pace = f", {found['rate']} a second" if found["rate"] else ""
    return f"{process} drains, {found['connections']} connections left{pace}"


async def _wait(desk: Desk, process: str) -> None:
    while True:
        await trio.sleep(_PAUSE)
        try:
            click.echo(await _told(desk, process))
        except (NotFound, Unreachable):
            click.echo(f"{process} has ended")
            return
