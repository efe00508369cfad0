"""`rookery rebalance`: let edges with many connections give some to those with few."""

from __future__ import annotations

import json
from typing import Unpack

import click

from rookery.admin import rebalancing
from rookery.admin.desk import Desk
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target


@click.command()
@click.option(
    "--rate",
    default=50,
    type=click.IntRange(1, 1_000_000),
    help="Connections a second, of all edges together.",
)
@click.option(
    "--tolerance",
    default=rebalancing.TOLERANCE,
    type=click.IntRange(0, 1000),
    help="An edge gives nothing away while it has at most so many percent more than the mean.",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option("--status", is_flag=True, help="Only tell how far it is.")
@click.option("--cancel", is_flag=True, help="Let nobody give anything more away.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@target_options
def rebalance(
    rate: int,
    tolerance: int,
    dry_run: bool,
    status: bool,
    cancel: bool,
    as_json: bool,
    **target: Unpack[Target],
) -> None:
    """Let edges that have more connections than the mean give some away, after edges were added.

    Only streams that can be resumed are ended: their clients go on at another edge and lose nothing. An edge is not ready
    (/readyz) while it gives connections away, so a balancer that asks for that sends nobody back.
    """
    if dry_run + status + cancel > 1:
        raise click.UsageError("give one of --dry-run, --status and --cancel")
    config, _ = resolve(**target)

    async def ask(desk: Desk) -> dict[str, dict[str, int]]:
        if status:
            return await rebalancing.progress(desk)
        if cancel:
            return await rebalancing.stop(desk)
        return await rebalancing.rebalance(desk, rate, tolerance, dry_run)

    found = work(config, ask, cluster=True)
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, told in sorted(found.items()):
        going = f", {told['left']} to give away at {told['rate']} a second" if told["left"] else ""
        click.echo(f"{name}: {told['connections']} connections{going}")
