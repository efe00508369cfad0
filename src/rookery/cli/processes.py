"""`rookery edge`, `rookery router` and `rookery worker`: one process each, for production."""

from __future__ import annotations

from pathlib import Path

import click

from rookery.cli import CommandError
from rookery.cli.options import config_option, load
from rookery.shared.bus.kinds import KINDS, Kind, labelled, workers


@click.command()
@config_option
def edge(config_file: Path | None) -> None:
    """Run one edge: sockets, TLS and streams of clients. It needs NATS, and no database.

    Several edges on one machine share fixed ports. SIGTERM drains, SIGHUP reads certificates and the configuration again.
    """
    _run(config_file, (Kind.EDGE,))


@click.command()
@config_option
def router(config_file: Path | None) -> None:
    """Run one router: sessions and delivery of a share of the accounts. It needs NATS and Postgres."""
    _run(config_file, (Kind.ROUTER,))


def _help() -> str:
    rows = [KINDS[labelled(label)] for label in workers()]
    width = max(len(row.kind.label) for row in rows)
    listed = "\n".join(f"  {row.kind.label:{width}}  {row.help}" for row in rows)
    return (
        "Run one worker process of the kinds named. It needs NATS and Postgres.\n\n"
        "Any mix of kinds may share a process; each is scaled by starting more processes.\n\n"
        f"\b\nKinds:\n{listed}"
    )


@click.command(help=_help())
@click.argument("kinds", nargs=-1, required=True, metavar="KIND...")
@config_option
def worker(kinds: tuple[str, ...], config_file: Path | None) -> None:
    """Run one worker process; its help is made from the table of kinds."""
    _run(config_file, tuple(dict.fromkeys(_worker(name) for name in kinds)))


def _worker(name: str) -> Kind:
    try:
        row = KINDS[labelled(name)]
    except ValueError:
        row = None
    if row is None or not row.worker:
        raise click.UsageError(f"no kind {name!r}: choose from {', '.join(workers())}")
    if not row.built:
        raise CommandError(f"this version has no {name} worker: it has {', '.join(workers())}")
    return row.kind


def _run(config_file: Path | None, kinds: tuple[Kind, ...]) -> None:
    config = load(config_file).config
    from rookery import wiring

    wiring.run_process(config, kinds, source=lambda: load(config_file).config)
