"""`rookery client`: the clients that may come back to an account with a token (XEP-0484)."""

from __future__ import annotations

import json
from typing import Unpack

import click
import msgspec

from rookery.admin import clients
from rookery.admin.clients import Row
from rookery.admin.desk import Desk
from rookery.admin.verbs.clients import shown
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target, parse_account
from rookery.shared.xmpp.jid import Jid


def _jid(_ctx: click.Context, _param: click.Parameter, value: str) -> Jid:
    return parse_account(value)


@click.group()
def client() -> None:
    """List and revoke clients that log in with a token in place of the password."""


@client.command("list")
@click.argument("jid", callback=_jid)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@target_options
def list_(jid: Jid, as_json: bool, **target: Unpack[Target]) -> None:
    """List the clients of the user JID, those that came last first."""
    config, _ = resolve(**target)

    async def what(desk: Desk) -> list[Row]:
        return await clients.listed(desk, jid)

    for row in work(config, what):
        click.echo(json.dumps(msgspec.to_builtins(shown(row)), ensure_ascii=False) if as_json else _line(row))


@client.command()
@click.argument("jid", callback=_jid)
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--all", "everyone", is_flag=True, help="All clients of the user.")
@target_options
def revoke(jid: Jid, ids: tuple[str, ...], everyone: bool, **target: Unpack[Target]) -> None:
    """End the tokens and the sessions of clients. Whoever knows the password may log in again: see `rookery user passwd`."""
    if bool(ids) == everyone:
        raise click.UsageError("name clients (`rookery client list JID` shows their ids), or --all")
    config, _ = resolve(**target)

    async def what(desk: Desk) -> list[Row]:
        return await clients.revoke(desk, jid, ids)

    for row in work(config, what, cluster=True):
        click.echo(f"revoked {_line(row)}")


def _line(row: Row) -> str:
    one = row.client
    name = " on ".join(filter(None, (one.software, one.device))) or "-"
    return f"{row.id}  {name}  last seen {one.last_seen:%Y-%m-%d}, until {one.expires:%Y-%m-%d}"
