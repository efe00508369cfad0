"""`rookery room ban|unban|bans`: who comes into no room of a service."""

from __future__ import annotations

import json
from typing import Any, Unpack

import click

from rookery.admin import rooms
from rookery.cli import CommandError
from rookery.cli.audit import audit
from rookery.cli.domain_change import change, domain_name
from rookery.cli.options import resolve, run, target_options
from rookery.cli.rooms import bare, room
from rookery.cli.users import Target
from rookery.shared.cluster.domains import bans_of
from rookery.shared.db.api import Connection

_CHANGE = """
UPDATE domain SET policy = jsonb_set(policy, '{bans}', (coalesce(policy->'bans', '{}'::jsonb) - $2::text) || $3::jsonb) WHERE name = $1"""


@room.command()
@click.argument("service", callback=domain_name)
@click.argument("jid", callback=bare)
@click.option("--reason", default="", metavar="TEXT", help="What it is told when it is in a room now.")
@target_options
def ban(service: str, jid: str, reason: str, **target: Unpack[Target]) -> None:
    """Let JID, a bare address or a whole domain, into no room of SERVICE. Where it is in one, it is put out; a room's own lists stay as they are."""
    _write(service, jid, {jid: reason}, "room ban", target)
    click.echo(f"{jid} comes into no room of {service}")


@room.command()
@click.argument("service", callback=domain_name)
@click.argument("jid", callback=bare)
@target_options
def unban(service: str, jid: str, **target: Unpack[Target]) -> None:
    """Let JID into the rooms of SERVICE again."""
    _write(service, jid, {}, "room unban", target)
    click.echo(f"{jid} may come into rooms of {service}")


@room.command()
@click.argument("service", callback=domain_name)
@click.option("--json", "as_json", is_flag=True, help="One JSON object: address and reason.")
@target_options
def bans(service: str, as_json: bool, **target: Unpack[Target]) -> None:
    """List who comes into no room of SERVICE."""
    from rookery.shared.db.bridge import open_database

    config, _ = resolve(**target)

    async def main() -> dict[str, str]:
        async with open_database(config.database) as db:
            return await db.run(0, lambda conn: _read(conn, service))

    found = run(main)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for jid, reason in sorted(found.items()):
        click.echo(f"{jid}  {reason}".rstrip())


async def _read(conn: Connection, service: str) -> dict[str, str]:
    if not await rooms.is_service(conn, service):
        raise CommandError(f"{service} is no service of rooms: see `rookery domain list`")
    policy = await conn.fetchval("SELECT policy FROM domain WHERE name = $1", service)
    return dict(bans_of(json.loads(policy) if isinstance(policy, str) else policy))


def _write(service: str, jid: str, entry: dict[str, Any], verb: str, target: Target) -> None:
    config, _ = resolve(**target)

    async def work(conn: Connection) -> bool:
        before = await _read(conn, service)
        if not entry and jid not in before:
            raise CommandError(f"{jid} is not banned from {service}")
        await conn.execute(_CHANGE, service, jid, json.dumps(entry))
        return True

    change(config, work, lambda _done: audit(verb, service, jid=jid))
