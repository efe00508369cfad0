"""`rookery reload`: let running processes read their configuration again."""

from __future__ import annotations

import json
from typing import Unpack

import click

from rookery.admin import cluster_work
from rookery.cli import CommandError
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target


@click.command(name="reload")
@click.argument("process", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@target_options
def reload(process: str, as_json: bool, **target: Unpack[Target]) -> None:
    """Let PROCESS, or all, read certificates and configuration again, as SIGHUP does; PROCESS is what `rookery status` shows in brackets.

    Each reads its own file and environment. docs/settings.md says of each setting whether a change counts at once or at a restart.
    """
    config, _ = resolve(**target)
    found = work(config, lambda desk: cluster_work.reload(desk, process), cluster=True)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for name, told in found.items():
            said = [f"changed {' '.join(told['live'])}"] if told["live"] else []
            said += [f"a restart is needed for {' '.join(told['restart'])}"] if told["restart"] else []
            click.echo(f"{name}: {'; '.join([*said, *told['errors']]) or 'nothing has changed'}")
    if any(told["errors"] for told in found.values()):
        raise CommandError("not every process could read its configuration")
