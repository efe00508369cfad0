"""`rookery import` and `rookery export`: from and to other servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

import click

from rookery.cli import CommandError
from rookery.cli.domain_change import domain_name
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target
from rookery.moving.records import MovingError, Record


@click.group("import")
def import_() -> None:
    """Bring users and rooms from another server, with all that they kept there.

    \b
    Accounts (passwords or SCRAM keys), rosters with requests, vCards, private data, block lists, messages that
    wait, archives, nodes with bookmarks and avatars; rooms with settings, members and archives.

    Accounts and rooms that are there already stay as they are, so an import that was interrupted is repeated.
    For a table of names and passwords there is `rookery user import`.
    """


def _options(function: Any) -> Any:
    for option in (
        click.option("--dry-run", is_flag=True, help="Only read everything and say what would come in."),
        click.option(
            "--report",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write all that could not be carried there: one JSON object a line.",
        ),
    ):
        function = option(function)
    return target_options(function)


@import_.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@_options
def prosody(folder: Path, dry_run: bool, report: Path | None, **target: Unpack[Target]) -> None:
    """Import from Prosody's FOLDER of data (data_path, internal storage). Prosody should not run meanwhile."""
    from rookery.moving.prosody import read

    _import(read(folder), f"prosody {folder}", dry_run, report, target)


@import_.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_options
def ejabberd(file: Path, dry_run: bool, report: Path | None, **target: Unpack[Target]) -> None:
    """Import from the FILE that `ejabberdctl export_piefxis FOLDER` has written: the one that names those of the hosts.

    ejabberd writes no archives and no rooms there.
    """
    _import(_pie(file), f"ejabberd {file}", dry_run, report, target)


@import_.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_options
def xep0227(file: Path, dry_run: bool, report: Path | None, **target: Unpack[Target]) -> None:
    """Import from a FILE of XEP-0227, such as `rookery export` writes; it may include others of its folder."""
    _import(_pie(file), f"xep0227 {file}", dry_run, report, target)


def _pie(file: Path) -> Iterator[Record]:
    from rookery.moving import pie
    from rookery.moving.files import opener

    return pie.read(opener(file.parent), file.name)


def _import(records: Iterator[Record], what: str, dry_run: bool, report: Path | None, target: Target) -> None:
    from rookery.cli import moving_work

    config, _ = resolve(**target)
    try:
        moving_work.bring(records, config, what, dry_run=dry_run, report=report)
    except MovingError as error:
        raise CommandError(f"{error}; what came before is imported, repeat it when that is mended") from None


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--domain", callback=domain_name, help="Only this domain of accounts, and its rooms.")
@target_options
def export(file: Path, domain: str | None, **target: Unpack[Target]) -> None:
    """Write all users and rooms to FILE ("-" for standard output) as XEP-0227, for this server or others.

    Only this user may read it: it has SCRAM keys and messages. What changes meanwhile may or may not be in it.
    """
    from rookery.cli import moving_work

    config, _ = resolve(**target)
    moving_work.take(file, domain, config)
