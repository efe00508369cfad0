"""`rookery group`: groups of users who are in one another's rosters."""

from __future__ import annotations

import json
from typing import Any, Unpack

import click

from rookery.admin import groups, tags
from rookery.admin.errors import Invalid
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target


@click.group()
def group() -> None:
    """Make, change, list and remove shared groups, and say who is in them.

    Members of a group see one another in their rosters and online, without asking. They cannot remove one another.
    """


def _tag(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        return tags.checked(value) if value else ""
    except Invalid as error:
        raise click.BadParameter(str(error)) from None


@group.command()
@click.argument("name")
@click.option("--label", default="", help="What members see in their rosters.  [default: NAME]")
@click.option("--everybody", default="", metavar="DOMAIN", help="All users of this domain are members.")
@click.option(
    "--tag", default="", callback=_tag, help="Whoever has this tag (`rookery group tag`) is a member."
)
@target_options
def add(name: str, label: str, everybody: str, tag: str, **target: Unpack[Target]) -> None:
    """Make the group NAME, or give it another label. Without --everybody and --tag, `rookery group join` says who is in it."""
    config, _ = resolve(**target)
    new = work(config, lambda desk: groups.put(desk, name, label, everybody, tag))
    click.echo(f"{'added' if new else 'changed'} the group {name}")


@group.command("del")
@click.argument("name")
@target_options
def del_(name: str, **target: Unpack[Target]) -> None:
    """Remove the group NAME. Its members keep what they have agreed on themselves."""
    config, _ = resolve(**target)
    work(config, lambda desk: groups.remove(desk, name))
    click.echo(f"removed the group {name}")


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@target_options
def list_(as_json: bool, **target: Unpack[Target]) -> None:
    """List the groups by name."""
    config, _ = resolve(**target)
    for one in work(config, groups.listed):
        click.echo(json.dumps(one._asdict(), ensure_ascii=False) if as_json else _line(one))


@group.command()
@click.argument("name")
@target_options
def show(name: str, **target: Unpack[Target]) -> None:
    """List the members of the group NAME, a JID a line."""
    config, _ = resolve(**target)
    for jid in work(config, lambda desk: groups.shown(desk, name))[1]:
        click.echo(jid)


@group.command()
@click.argument("name")
@click.argument("jids", nargs=-1, metavar="JID...")
@click.option(
    "--from", "file", type=click.File("r", encoding="utf-8-sig"), help='A JID a line; "-" for standard input.'
)
@target_options
def join(name: str, jids: tuple[str, ...], file: Any, **target: Unpack[Target]) -> None:
    """Put users into the group NAME, all of them or none."""
    config, _ = resolve(**target)
    new = work(config, lambda desk: groups.join(desk, name, _named(jids, file)))
    click.echo(f"{len(new)} joined the group {name}")


@group.command()
@click.argument("name")
@click.argument("jids", nargs=-1, metavar="JID...")
@click.option(
    "--from", "file", type=click.File("r", encoding="utf-8-sig"), help='A JID a line; "-" for standard input.'
)
@target_options
def leave(name: str, jids: tuple[str, ...], file: Any, **target: Unpack[Target]) -> None:
    """Take users out of the group NAME."""
    config, _ = resolve(**target)
    gone = work(config, lambda desk: groups.leave(desk, name, _named(jids, file)))
    click.echo(f"{len(gone)} left the group {name}")


@group.command("tag")
@click.argument("tag", callback=_tag)
@click.argument("jids", nargs=-1, metavar="JID...")
@click.option(
    "--from", "file", type=click.File("r", encoding="utf-8-sig"), help='A JID a line; "-" for standard input.'
)
@target_options
def tag_(tag: str, jids: tuple[str, ...], file: Any, **target: Unpack[Target]) -> None:
    """Give users a tag, all of them or none: they are members of all groups of this tag."""
    config, _ = resolve(**target)
    new = work(config, lambda desk: tags.give(desk, tag, _named(jids, file)))
    click.echo(f"{len(new)} have the tag {tag} now")


@group.command()
@click.argument("tag", callback=_tag)
@click.argument("jids", nargs=-1, metavar="JID...")
@click.option(
    "--from", "file", type=click.File("r", encoding="utf-8-sig"), help='A JID a line; "-" for standard input.'
)
@target_options
def untag(tag: str, jids: tuple[str, ...], file: Any, **target: Unpack[Target]) -> None:
    """Take a tag from users."""
    config, _ = resolve(**target)
    gone = work(config, lambda desk: tags.take(desk, tag, _named(jids, file)))
    click.echo(f"{len(gone)} do not have the tag {tag} any more")


@group.command("tags")
@target_options
def tags_(**target: Unpack[Target]) -> None:
    """List the tags, and how many users have each."""
    config, _ = resolve(**target)
    for one in work(config, tags.listed):
        click.echo(f"{one.tag}  {one.users} users")


def _named(jids: tuple[str, ...], file: Any) -> list[str]:
    lines = (line.strip() for line in file or ())
    return [*jids, *(line for line in lines if line)]


def _line(one: groups.Group) -> str:
    who = f"everybody of {one.everybody}" if one.everybody else f"tag {one.tag}" if one.tag else "a list"
    return f"{one.name}  {json.dumps(one.label, ensure_ascii=False)}  {one.members} members, {who}"
