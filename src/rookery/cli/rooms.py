"""`rookery room`: chat rooms (XEP-0045), as an operator sees and changes them."""

from __future__ import annotations

import json
import time
from typing import Unpack

import click

from rookery.admin import rooms
from rookery.cli.desk import work
from rookery.cli.domain_change import domain_name
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target
from rookery.shared.xmpp.jid import Jid

_AFFILIATIONS = ("owner", "admin", "member", "none", "outcast")


@click.group()
def room() -> None:
    """Chat rooms: list, show, create and destroy them, and who is what in them.

    Changes are done by the room itself: those who are in it see them. Who may create rooms says `rookery domain set`.
    """


def _room(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    jid = _parsed(value)
    if jid.local is None or jid.resource:
        raise click.BadParameter(f"{value!r} is no room: write it as garden@conference.localhost")
    return str(jid)


def bare(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """A bare address or a domain. Raises click.BadParameter."""
    if not value:
        return value
    jid = _parsed(value)
    if jid.resource:
        raise click.BadParameter(f"{value!r} has a resource: write a bare address, or a domain")
    return str(jid)


def _parsed(value: str) -> Jid:
    try:
        return Jid.parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not an address: {error}") from None


@room.command("list")
@click.argument("service", default=None, required=False, callback=domain_name)
@click.option("--after", default="", metavar="JID", help="Begin behind this room.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="At most so many."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@target_options
def list_(service: str | None, after: str, limit: int, as_json: bool, **target: Unpack[Target]) -> None:
    """List rooms, hidden ones too: all, or those of a SERVICE as conference.localhost."""
    config, _ = resolve(**target)
    lines, more = work(config, lambda desk: rooms.page(desk, service or "", after, limit))
    if as_json:
        document = {"rooms": [line._asdict() for line in lines], "more": more}
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
        return
    width = max((len(line.jid) for line in lines), default=0)
    for line in lines:
        click.echo(f"{line.jid:{width}}  {line.occupants:5}  {_kind(line):19}  {line.name}".rstrip())
    if more:
        click.echo(f"(go on with --after {lines[-1].jid})", err=True)


@room.command()
@click.argument("jid", callback=_room)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@target_options
def show(jid: str, as_json: bool, **target: Unpack[Target]) -> None:
    """Show a room: what it is, who is in it, who is what."""
    config, _ = resolve(**target)
    view = work(config, lambda desk: rooms.find(desk, jid))
    line = view.line
    if as_json:
        document = {
            **line._asdict(),
            "occupants": [{"nick": nick, "jid": full} for nick, full in view.occupants],
            "affiliations": dict(view.affiliations),
        }
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
        return
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(line.created))
    click.echo(f"{line.jid}  {_kind(line)}  created {made}  {line.occupants} in it")
    for title, text in (("name", line.name), ("description", line.description)):
        if text:
            click.echo(f"  {title}: {text}")
    for nick, full in view.occupants:
        click.echo(f"  in it: {nick}  {full}")
    for whom, affiliation in view.affiliations:
        click.echo(f"  {affiliation}: {whom}")


@room.command()
@click.argument("jid", callback=_room)
@click.option("--owner", required=True, callback=bare, metavar="JID", help="Who owns it (a bare address).")
@click.option("--name", default="", help="Its name.")
@click.option("--hidden", is_flag=True, help="Not listed by discovery.")
@click.option("--members-only", is_flag=True, help="Only members come in.")
@target_options
def create(
    jid: str, owner: str, name: str, hidden: bool, members_only: bool, **target: Unpack[Target]
) -> None:
    """Create a room that stays when nobody is in it. Its owner configures what is not said here."""
    if "@" not in owner:
        raise click.BadParameter(f"{owner!r} is no account", param_hint="--owner")
    settings = rooms.settings(name, hidden=hidden, members_only=members_only)
    config, _ = resolve(**target)
    work(config, lambda desk: rooms.create(desk, jid, owner, settings), cluster=True)
    click.echo(f"created {jid}, owned by {owner}")


@room.command()
@click.argument("jid", callback=_room)
@click.option("--reason", default="", metavar="TEXT", help="What those who are in it are told.")
@click.option("--alternative", default="", callback=bare, metavar="JID", help="The room to go to instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@target_options
def destroy(jid: str, reason: str, alternative: str, yes: bool, **target: Unpack[Target]) -> None:
    """Destroy a room with its archive. There is no way back."""
    config, _ = resolve(**target)
    if not yes:
        click.confirm(f"destroy {jid} with its archive?", abort=True)
    work(config, lambda desk: rooms.destroy(desk, jid, reason, alternative), cluster=True)
    click.echo(f"destroyed {jid}")


@room.command()
@click.argument("jid", callback=_room)
@click.argument("whom", required=False, callback=bare)
@click.argument("affiliation", required=False, type=click.Choice(_AFFILIATIONS))
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept with the affiliation.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@target_options
def affiliations(
    jid: str,
    whom: str | None,
    affiliation: str | None,
    reason: str,
    as_json: bool,
    **target: Unpack[Target],
) -> None:
    """List who is what in a room; with WHOM and an AFFILIATION, change it: `outcast` bans, `none` takes back."""
    config, _ = resolve(**target)
    if whom and affiliation:
        work(config, lambda desk: rooms.affiliate(desk, jid, whom, affiliation, reason), cluster=True)
        click.echo(f"{whom} is {affiliation} in {jid}")
        return
    if whom:
        raise click.UsageError("say what it shall be: " + ", ".join(_AFFILIATIONS))
    view = work(config, lambda desk: rooms.find(desk, jid))
    if as_json:
        click.echo(json.dumps(dict(view.affiliations), indent=1, ensure_ascii=False))
        return
    for one, is_what in view.affiliations:
        click.echo(f"{is_what:8}  {one}")


def _kind(line: rooms.RoomLine) -> str:
    return f"{'public' if line.public else 'hidden'}, {'stays' if line.persistent else 'temporary'}"
