"""`rookery backup` and `rookery restore`: the database in one file, by the tools of Postgres, which are found for the operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rookery.cli import CommandError
from rookery.cli.options import config_option, load


def _options(function: Any) -> Any:
    for option in (
        click.option("--database-url", default="", metavar="URL", help="Postgres of the cluster."),
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            help="Data directory of a `rookery up`, whether it runs or not.  [default: that of `rookery up`]",
        ),
        config_option,
    ):
        function = option(function)
    return function


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_options
def backup(file: Path, database_url: str, data: Path | None, config_file: Path | None) -> None:
    """Write the whole database to FILE, as it is at one moment; the cluster may go on meanwhile.

    Files that users have uploaded are not in it: the command says which folder to copy as well, after this.
    """
    from rookery.cli import backup_work as work

    config = load(config_file).config
    draft = file.with_name(f".{file.name}.part")
    try:
        with work.server(config, data, database_url, make=False) as place:
            work.dump(place, draft)
            version = work.schema(place)
            draft.replace(file)
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)
    click.echo(f"wrote {file}: schema {version:04}, {file.stat().st_size / 1024 / 1024:.1f} MiB")
    for folder in work.uploads(config, place.home):
        click.echo(f"files of users are not in it: copy {folder} now, such as with rsync -a")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="Remove what is in the database before.")
@_options
def restore(
    file: Path, replace: bool, database_url: str, data: Path | None, config_file: Path | None
) -> None:
    """Read the database back from FILE, which `rookery backup` has written. No process of the cluster may run.

    It goes into an empty database, or with --replace over another. Then start the cluster: `rookery migrate` first when FILE is of an
    older version. What was accepted after the backup is gone; nobody gets a message twice.
    """
    from rookery.cli import backup_work as work

    config = load(config_file).config
    if work.running(config, data, database_url) is not None:
        raise CommandError("the cluster runs: stop its `rookery up` first")
    with work.server(config, data, database_url, make=True) as place:
        work.restore(place, file, replace=replace)
        told = work.judge(place)
    click.echo(f"restored {file}{told}")
    for folder in work.uploads(config, place.home):
        click.echo(f"files of users belong into {folder}")
