"""`rookery token`: what programs show to the HTTP API."""

from __future__ import annotations

import json
from typing import Unpack

import click
import msgspec

from rookery.admin import tokens
from rookery.admin.desk import Desk
from rookery.admin.verb import SCOPES
from rookery.admin.verbs.tokens import shown
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target


@click.group()
def token() -> None:
    """Make, list and revoke tokens of the HTTP API (docs/administration.md)."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help=f"What it allows, of {', '.join(SCOPES)}; several with commas or by repeating. `read` changes nothing, `all` is everything.",
)
@click.option(
    "--expires", default="", metavar="WHEN", help="After 12h, 30d, 4w, 1y, or on a date.  [default: never]"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@target_options
def create(name: str, scopes: tuple[str, ...], expires: str, as_json: bool, **target: Unpack[Target]) -> None:
    """Make the token NAME and print its secret. Nobody can read it again."""
    config, _ = resolve(**target)

    async def make(desk: Desk) -> tuple[tokens.Token, str]:
        return await tokens.create(desk, name, scopes, expires)

    made, secret = work(config, make)
    if as_json:
        click.echo(json.dumps({"token": msgspec.to_builtins(shown(made)), "secret": secret}))
        return
    click.echo(secret)
    click.echo(f"keep it: this is the only time that it is shown ({_line(made)})", err=True)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@target_options
def list_(as_json: bool, **target: Unpack[Target]) -> None:
    """List tokens, without their secrets."""
    config, _ = resolve(**target)
    for one in work(config, tokens.listed):
        click.echo(json.dumps(msgspec.to_builtins(shown(one))) if as_json else _line(one))


@token.command()
@click.argument("name")
@target_options
def revoke(name: str, **target: Unpack[Target]) -> None:
    """Take the token NAME back: the next call with it is refused."""
    config, _ = resolve(**target)

    async def take(desk: Desk) -> None:
        await tokens.revoke(desk, name)

    work(config, take)
    click.echo(f"revoked {name}")


def _line(one: tokens.Token) -> str:
    parts = [one.name, ",".join(scope for scope in SCOPES if scope in one.scopes)]
    if one.expires is not None:
        parts.append(f"{'expired' if one.expired else 'expires'} {one.expires:%Y-%m-%d %H:%M} UTC")
    parts.append(f"used {one.last_used:%Y-%m-%d %H:%M} UTC" if one.last_used else "never used")
    parts.append(f"made by {one.made_by}")
    return "  ".join(parts)
