"""`rookery log-level`: which lines running processes log."""

from __future__ import annotations

from typing import Unpack

import click

from rookery.admin import cluster_work
from rookery.admin.desk import Desk
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target


@click.command("log-level")
@click.argument("level", type=click.Choice(cluster_work.LEVELS))
@click.option("--process", default="", help="Only this one, as `rookery status` shows it in brackets.")
@target_options
def log_level(level: str, process: str, **target: Unpack[Target]) -> None:
    """Log lines of LEVEL and above, in all processes or in one, until it ends. A new process follows the configuration."""
    config, _ = resolve(**target)

    async def ask(desk: Desk) -> None:
        await cluster_work.log_level(desk, level, process)

    work(config, ask, cluster=True)
    click.echo(f"{process or 'every process'} logs {level} and above")
