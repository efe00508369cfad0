"""`rookery log-level`: which lines running processes log, as a whole or in single parts."""

from __future__ import annotations

from typing import Unpack

import click

from rookery.admin import cluster_work
from rookery.admin.desk import Desk
from rookery.cli import CommandError
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target


@click.command("log-level")
@click.argument("level", type=click.Choice((*cluster_work.LEVELS, "default")))
@click.option("--process", default="", help="Only this one, as `rookery status` shows it in brackets.")
@click.option(
    "--module",
    "modules",
    multiple=True,
    help="Only this part, as `workers.s2s` or `edge.login`; may be repeated. Other parts have the level of all.",
)
@target_options
def log_level(level: str, process: str, modules: tuple[str, ...], **target: Unpack[Target]) -> None:
    """Log lines of LEVEL and above, in all processes or in one, until it ends. A new process follows the configuration.

    `default` takes back what was said of parts.
    """
    config, _ = resolve(**target)
    if level == "default" and modules:
        raise click.UsageError("default is for all parts: leave --module out")
    missing: set[str] = set()

    async def ask(desk: Desk) -> None:
        if level == "default" or modules:
            said = await cluster_work.log_modules(desk, [f"{one}={level}" for one in modules], process)
            if said:
                missing.update(set.intersection(*map(set, said.values())))
        else:
            await cluster_work.log_level(desk, level, process)

    work(config, ask, cluster=True)
    if missing:
        raise CommandError(f"no process has a part {', '.join(sorted(missing))}")
    who = process or "every process"
    if level == "default":
        click.echo(f"{who}: all parts have the level of all")
    else:
        click.echo(f"{who} logs {level} and above{' of ' + ', '.join(modules) if modules else ''}")
