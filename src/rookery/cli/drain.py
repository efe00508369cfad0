"""`rookery drain`: let one process give away what it holds and end."""

from __future__ import annotations

from typing import Unpack

import click

from rookery.admin import cluster_work
from rookery.admin.desk import Desk
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target


@click.command()
@click.argument("process")
@target_options
def drain(process: str, **target: Unpack[Target]) -> None:
    """Let PROCESS give away what it holds and end, as SIGTERM does; PROCESS is what `rookery status` shows in brackets.

    Whoever started it starts it anew: `rookery up`, systemd, Kubernetes.
    """
    config, _ = resolve(**target)

    async def ask(desk: Desk) -> None:
        await cluster_work.drain(desk, process)

    work(config, ask, cluster=True)
    click.echo(f"{process} drains: see `rookery status`")
