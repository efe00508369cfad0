"""`rookery session`: who is online, and ending sessions."""

from __future__ import annotations

import json
from typing import Any, Unpack

import click

from rookery.admin import sessions
from rookery.admin.cluster import Cluster, open_cluster
from rookery.admin.errors import Unreachable
from rookery.cli import EX_UNAVAILABLE, CommandError
from rookery.cli.audit import audit
from rookery.cli.notify import notify
from rookery.cli.options import resolve, run, target_options
from rookery.cli.users import Target
from rookery.shared.config import Config
from rookery.shared.db.bridge import open_database
from rookery.shared.xmpp.jid import Jid, bare_of, prepare_domain


@click.group()
def session() -> None:
    """Who is online: list, count and end sessions.

    A session is one connected client, or one that lost its connection and may still resume.
    """


def _where(text: str) -> tuple[str, str]:
    """(account, domain) of what was asked for."""
    if "@" in text:
        return bare_of(str(_address(text))), ""
    return "", _domain(text)


def _domain(text: str) -> str:
    try:
        return prepare_domain(text) if text else ""
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a domain: {error}") from None


def _address(text: str) -> Jid:
    try:
        jid = Jid.parse(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not an address: {error}") from None
    if jid.local is None:
        raise click.BadParameter(f"{text!r} is not a user: write it as alice@localhost")
    return jid


def _work(config: Config, what: Any, *arguments: object) -> Any:
    async def work() -> Any:
        async with open_database(config.database) as db, open_cluster(config, db) as cluster:
            return await what(cluster, *arguments)

    try:
        return run(work)
    except Unreachable as error:
        raise CommandError(str(error), EX_UNAVAILABLE) from None


@session.command("list")
@click.argument("whose", default="", metavar="[DOMAIN|JID]")
@click.option("--after", default="", metavar="JID", help="Begin behind this full JID.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@target_options
def list_(whose: str, after: str, limit: int, as_json: bool, **target: Unpack[Target]) -> None:
    """List sessions: all, of a domain, or of one user."""
    account, domain = _where(whose)
    config, _ = resolve(**target)
    if account:
        page = _work(config, sessions.of_account, account)
    else:
        page = _work(config, sessions.listed, domain, after, limit)
    if as_json:
        rows = [row._asdict() | {"state": row.state} for row in page.rows]
        click.echo(
            json.dumps(
                {"sessions": rows, "total": page.total, "more": page.more}, indent=1, ensure_ascii=False
            )
        )
        return
    width = max((len(row.jid) for row in page.rows), default=0)
    for row in page.rows:
        resumable = "resumable" if row.resumable else ""
        click.echo(
            f"{row.jid:{width}}  {row.state:11}  {row.priority:4}  {row.edge or '-':24}  {resumable}".rstrip()
        )
    if page.more:
        click.echo(f"({len(page.rows)} of {page.total}; go on with --after {page.rows[-1].jid})", err=True)


@session.command()
@click.argument("domain", default="")
@target_options
def count(domain: str, **target: Unpack[Target]) -> None:
    """Count the sessions of a domain, or all."""
    config, _ = resolve(**target)
    click.echo(_work(config, sessions.counted, _domain(domain)))


@session.command()
@click.argument("jid")
@click.option("--reason", default="", metavar="TEXT", help="What the client is told.")
@target_options
def kick(jid: str, reason: str, **target: Unpack[Target]) -> None:
    """End the session of a full JID, or all sessions of a user. Clients may log in again: see `rookery user disable`."""
    whom = _address(jid)
    config, _ = resolve(**target)

    async def work(cluster: Cluster) -> int:
        return await sessions.ended(cluster, whom, reason)

    number = _work(config, work)
    if number:
        run(_told, config, whom, number)
    click.echo(f"ended {number} session{'' if number == 1 else 's'} of {whom}")
    if not number:
        raise CommandError(f"{whom} has no session")


async def _told(config: Config, whom: Jid, number: int) -> None:
    async with open_database(config.database) as db:
        await notify(
            config.bus,
            db,
            [audit("session kick", bare_of(str(whom)), resource=whom.resource, sessions=number)],
        )
