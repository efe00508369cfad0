"""`rookery report`: what users report when they block somebody (XEP-0377)."""

from __future__ import annotations

import json
from typing import Unpack

import click
import msgspec

from rookery.admin import reports
from rookery.admin.verbs.reports import shown
from rookery.cli.desk import work
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target

_REASON = "urn:xmpp:reporting:"


@click.group()
def report() -> None:
    """Show and remove reports of spam and abuse."""


@report.command("list")
@click.argument("about", default="")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@target_options
def list_(about: str, limit: int, as_json: bool, **target: Unpack[Target]) -> None:
    """List the newest reports; those about the address or the domain ABOUT, or all."""
    config, _ = resolve(**target)
    for one in work(config, lambda desk: reports.listed(desk, about, limit)):
        click.echo(json.dumps(msgspec.to_builtins(shown(one))) if as_json else _line(one))


@report.command("del")
@click.argument("id", type=click.IntRange(1))
@target_options
def del_(id: int, **target: Unpack[Target]) -> None:
    """Remove the report ID: it is dealt with."""
    config, _ = resolve(**target)
    work(config, lambda desk: reports.drop(desk, id))
    click.echo(f"removed report {id}")


def _line(one: reports.Row) -> str:
    parts = [str(one.id), f"{one.at:%Y-%m-%d %H:%M} UTC", one.reported, one.reason.removeprefix(_REASON)]
    parts.append(f"by {one.reporter}")
    if one.stanza_ids:
        parts.append(f"{len(one.stanza_ids)} {'message' if len(one.stanza_ids) == 1 else 'messages'}")
    if one.text:
        parts.append(json.dumps(one.text, ensure_ascii=False))
    return "  ".join(parts)
