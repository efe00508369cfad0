"""`rookery migrate`."""

from __future__ import annotations

from pathlib import Path

import click

from rookery.cli.options import resolve, run


@click.command()
@click.option("--status", "only_status", is_flag=True, help="Only show what is applied and what is missing.")
@click.option("--database-url", default="", metavar="URL", help="Postgres of the cluster.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data directory of a running `rookery up`.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="ROOKERY_CONFIG",
    help="TOML file.",
)
def migrate(only_status: bool, database_url: str, data: Path | None, config_file: Path | None) -> None:
    """Bring the database schema up to date. Safe to run from many places at once, and while the cluster runs."""
    from rookery.shared.db import migrate as schema
    from rookery.shared.db.bridge import open_database

    config, _ = resolve(config_file, data, database_url, "")

    async def main() -> None:
        if only_status:
            async with open_database(config.database) as db:
                found = await schema.status(db)
        else:
            found = await schema.up(config.database, report=_told)
        click.echo(f"schema version {found.version:04}")
        for one in found.pending:
            click.echo(f"missing {one.number:04}_{one.name}")
        for one in found.waiting:
            click.echo(f"waiting {one.number:04}_{one.name}: migrate again when no older process runs")

    run(main)


def _told(line: str) -> None:
    click.echo(line if ": " in line else f"applied {line}")
