"""`rookery s2s`: other servers, and what waits for them."""

from __future__ import annotations

import json
import time
from typing import Any, Unpack

import click

from rookery.admin import federation
from rookery.cli import CommandError
from rookery.cli.desk import work
from rookery.cli.domain_change import domain_name
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target

Found = list[dict[str, Any]]


@click.group()
def s2s() -> None:
    """Other servers: what waits for them, what was wrong, and trying again."""


@s2s.command("list")
@click.option("--all", "everything", is_flag=True, help="Also domains for which nothing waits.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@target_options
def list_(everything: bool, as_json: bool, **target: Unpack[Target]) -> None:
    """List the remote domains for which something waits, the most first."""
    found = [one for one in _read("", target) if everything or one["waiting"]]
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("nothing waits for other servers" if not everything else "no other server is known")


@s2s.command()
@click.argument("name", callback=domain_name)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@target_options
def show(name: str, as_json: bool, **target: Unpack[Target]) -> None:
    """Show what is known of the remote domain NAME."""
    found = _read(name, target)
    if not found:
        raise CommandError(f"nothing is known of {name}: nobody here has written to it")
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for one in found:
        click.echo(_line(one))
        if one["mute"]:
            click.echo("  it cannot acknowledge what it has: each message is sent once")
        if one["waiting"]:
            click.echo(f"  the oldest waits {_ago(one['oldest'])}, and comes back {_ahead(one['expires'])}")


@s2s.command()
@click.argument("name", callback=domain_name)
@target_options
def retry(name: str, **target: Unpack[Target]) -> None:
    """Try to reach the remote domain NAME now, whatever has failed before."""
    config, _ = resolve(**target)
    work(config, lambda desk: federation.retry(desk, name), cluster=True)
    click.echo(f"{name} is tried now: see `rookery s2s show {name}`")


@s2s.command()
@click.argument("name", callback=domain_name)
@target_options
def drop(name: str, **target: Unpack[Target]) -> None:
    """Give up what waits for the remote domain NAME: each message goes back to its sender as an error."""
    config, _ = resolve(**target)
    count = work(config, lambda desk: federation.drop(desk, name))
    click.echo(f"{count} messages for {name} go back to their senders")


def _read(name: str, target: Target) -> Found:
    config, _ = resolve(**target)
    return work(config, lambda desk: federation.peers(desk, name))


def _line(one: dict[str, Any]) -> str:
    parts = [f"{one['remote']}  from {one['local']}  {one['waiting']} waiting"]
    if one["waiting"]:
        parts.append(f"{one['bytes']} bytes")
    parts.append(f"reached {_ago(one['worked'])}" if one["worked"] else "never reached")
    if one["trouble"]:
        parts.append(f"failed {_ago(one['failed'])}: {one['trouble']}")
    return "  ".join(parts)


def _ago(at: float | None) -> str:
    return "never" if at is None else f"{max(0, round(time.time() - at))} s ago"


def _ahead(at: float | None) -> str:
    seconds = 0 if at is None else round(at - time.time())
    return "now" if seconds <= 0 else f"in {seconds} s"
