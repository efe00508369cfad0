"""`rookery invite`: people who may make an account."""

from __future__ import annotations

import json
import sys
from typing import Unpack

import click
import msgspec

from rookery.admin import invitations
from rookery.admin.desk import Desk
from rookery.admin.verbs.invitations import shown
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target


@click.group()
def invite() -> None:
    """Invite people to make an account, also where registration is closed (XEP-0401, XEP-0445)."""


@invite.command()
@click.argument("domain")
@click.option(
    "--user", default="", metavar="NAME", help="Keep this username for whoever comes.  [default: free choice]"
)
@click.option(
    "--inviter", default="", metavar="JID", help="Becomes a contact of the new user, and sees that at once."
)
@click.option(
    "--days",
    type=click.IntRange(1, invitations.MAX_DAYS),
    default=None,
    help="How long it holds.  [default: invitations.days]",
)
@click.option(
    "--uses",
    type=click.IntRange(1, invitations.MAX_USES),
    default=1,
    show_default=True,
    help="Accounts that it makes.",
)
@click.option("--qr", is_flag=True, help="Draw the address as a QR code, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@target_options
def create(
    domain: str,
    user: str,
    inviter: str,
    days: int | None,
    uses: int,
    qr: bool,
    as_json: bool,
    **target: Unpack[Target],
) -> None:
    """Make an invitation to DOMAIN and print its two addresses: for a client, and for a browser. Nobody can read them again."""
    config, _ = resolve(**target)
    wanted = invitations.Wanted(domain, user, inviter, days or 0, uses)

    async def make(desk: Desk) -> invitations.Made:
        return await invitations.create(desk, wanted)

    made = work(config, make)
    if as_json:
        told = {"invitation": msgspec.to_builtins(shown(made.invitation)), "uri": made.uri, "page": made.page}
        click.echo(json.dumps(told))
        return
    click.echo(made.uri)
    if made.page:
        click.echo(made.page)
    if qr:
        import segno

        segno.make(made.uri).terminal(out=sys.stdout, compact=True)
    click.echo(f"this is the only time that they are shown ({_line(made.invitation)})", err=True)


@invite.command("list")
@click.argument("domain", default="")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@target_options
def list_(domain: str, as_json: bool, **target: Unpack[Target]) -> None:
    """List invitations, without their addresses; those of DOMAIN, or all."""
    config, _ = resolve(**target)
    for one in work(config, lambda desk: invitations.listed(desk, domain)):
        click.echo(json.dumps(msgspec.to_builtins(shown(one))) if as_json else _line(one))


@invite.command()
@click.argument("id")
@target_options
def revoke(id: str, **target: Unpack[Target]) -> None:
    """Take the invitation ID back: nobody can use it any more."""
    config, _ = resolve(**target)
    work(config, lambda desk: invitations.revoke(desk, id))
    click.echo(f"revoked {id}")


def _line(one: invitations.Invitation) -> str:
    parts = [one.id, f"{one.username}@{one.domain}" if one.username else one.domain]
    parts.append(f"until {one.expires:%Y-%m-%d %H:%M} UTC")
    parts.append(f"for {one.uses} {'account' if one.uses == 1 else 'accounts'}" if one.uses else "used up")
    if one.inviter:
        parts.append(f"by {one.inviter}")
    parts.append(f"made by {one.made_by}")
    return "  ".join(parts)
