"""`rookery user pending`, `approve` and `reject`: people who wait for their accounts."""

from __future__ import annotations

import json
from typing import Unpack

import click

from rookery.admin import registrations
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target, account_argument, user
from rookery.shared.xmpp.jid import Jid


@user.command()
@click.argument("domain", default="")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@target_options
def pending(domain: str, as_json: bool, **target: Unpack[Target]) -> None:
    """List who waits for approval, in DOMAIN or in all domains."""
    config, _ = resolve(**target)
    for one in work(config, lambda desk: registrations.pending(desk, domain)):
        since = one.at.isoformat(timespec="seconds")
        if as_json:
            click.echo(json.dumps({**one._asdict(), "at": since}, ensure_ascii=False))
        else:
            click.echo(f"{one.jid}  {one.email or '-'}  {one.address}  since {since}")


@user.command()
@click.argument("jid", callback=account_argument)
@target_options
def approve(jid: Jid, **target: Unpack[Target]) -> None:
    """Let the user JID, who waits for approval, log in."""
    config, _ = resolve(**target)
    work(config, lambda desk: registrations.approve(desk, jid))
    click.echo(f"approved {jid}")


@user.command()
@click.argument("jid", callback=account_argument)
@target_options
def reject(jid: Jid, **target: Unpack[Target]) -> None:
    """Remove the user JID, who waits for approval; the name is free again."""
    config, _ = resolve(**target)
    work(config, lambda desk: registrations.reject(desk, jid))
    click.echo(f"rejected {jid}")
