"""`rookery edge`, `rookery router` and `rookery worker`: one process each, for production."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from rookery.cli import CommandError
from rookery.cli.options import config_option, load
from rookery.shared.bus.messages import Kind

_WORKERS: Final = ("roster", "presence", "offline", "account")
#: Kinds that the design has and this version has not.
_LATER: Final = ("muc", "s2s")


@click.command()
@config_option
def edge(config_file: Path | None) -> None:
    """Run one edge: sockets, TLS and streams of clients. It needs NATS, and no database.

    Several edges on one machine share fixed ports. SIGTERM drains, SIGHUP reads certificates again.
    """
    _run(config_file, (Kind.EDGE,))


@click.command()
@config_option
def router(config_file: Path | None) -> None:
    """Run one router: sessions and delivery of a share of the accounts. It needs NATS and Postgres."""
    _run(config_file, (Kind.ROUTER,))


@click.command()
@click.argument("kinds", nargs=-1, required=True, metavar="KIND...")
@config_option
def worker(kinds: tuple[str, ...], config_file: Path | None) -> None:
    """Run one worker process of the kinds named: roster, presence, offline, account. It needs NATS and Postgres.

    Any mix of kinds may share a process; each is scaled by starting more processes.
    """
    for kind in kinds:
        if kind in _LATER:
            raise CommandError(f"this version has no {kind} worker: it has {', '.join(_WORKERS)}")
        if kind not in _WORKERS:
            raise click.UsageError(f"no kind {kind!r}: choose from {', '.join(_WORKERS)}")
    _run(config_file, tuple(dict.fromkeys(Kind[kind.upper()] for kind in kinds)))


def _run(config_file: Path | None, kinds: tuple[Kind, ...]) -> None:
    config = load(config_file).config
    from rookery import wiring

    wiring.run_process(config, kinds)
