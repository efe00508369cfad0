"""`rookery domain`: the hosted domains."""

from __future__ import annotations

import json
from typing import Any, Final, Unpack

import click

from rookery.cli import CommandError
from rookery.cli.audit import audit
from rookery.cli.domain_change import change, domain_name
from rookery.cli.domain_set import line, set_, show
from rookery.cli.options import resolve, run, target_options
from rookery.cli.users import Target
from rookery.shared.bus.kinds import ACCOUNTS, PUBSUB_PREFIX, ROOMS_PREFIX, UPLOADS_PREFIX, domain_kinds

_USERS: Final = "SELECT count(*) FROM (SELECT FROM account WHERE domain = $1 LIMIT 10000) AS u"
_NODES: Final = """
DELETE FROM domain d WHERE d.name = $1 AND d.kind = 'pubsub' AND NOT EXISTS (SELECT FROM pubsub_node n WHERE n.domain = d.name)"""

_ROOMS: Final = "SELECT count(*) FROM (SELECT FROM room r JOIN archive_owner o ON o.id = r.id WHERE o.domain = $1 LIMIT 10000) AS r"
_SERVICE: Final = """
DELETE FROM domain d WHERE d.name = $1 AND d.kind = 'rooms' AND NOT EXISTS (SELECT FROM archive_owner o WHERE o.domain = d.name)"""
_UPLOADS: Final = "DELETE FROM domain WHERE name = $1 AND kind = 'upload'"


@click.group()
def domain() -> None:
    """Add, change, remove and list hosted domains. A change needs no restart."""


@domain.command()
@click.argument("name", callback=domain_name)
@click.option(
    "--registration", type=click.Choice(["open", "closed"]), help="In-band registration (XEP-0077)."
)
@click.option(
    "--kind",
    type=click.Choice(list(domain_kinds())),
    help=f"What its addresses are ({ACCOUNTS} unless said otherwise).",
)
@click.option(
    "--for",
    "parent",
    callback=domain_name,
    help="The hosted domain that lists this service; without, that is the one that it is below.",
)
@click.option(
    "--no-rooms", is_flag=True, help=f"Do not add {ROOMS_PREFIX}NAME for chat rooms beside a new domain."
)
@target_options
def add(
    name: str,
    registration: str | None,
    kind: str | None,
    parent: str | None,
    no_rooms: bool,
    **target: Unpack[Target],
) -> None:
    """Host the domain NAME, or change its registration or kind.

    A new domain of accounts gets a service of chat rooms. It needs a certificate: `rookery up` makes one; else put it into <tls.directory>/NAME/.
    """
    if kind is not None and not domain_kinds()[kind].built:
        hosted = ", ".join(name for name, row in domain_kinds().items() if row.built)
        raise CommandError(f"this version has no {kind}: it hosts domains of the kinds {hosted}")
    from rookery.workers.account import store

    config, _ = resolve(**target)
    opened = None if registration is None else registration == "open"

    async def work(conn: Any) -> tuple[int, bool, str]:
        async with conn.transaction():
            # Accounts stay where they are: a domain that has some keeps its kind.
            users = 0 if kind in (None, ACCOUNTS) else await conn.fetchval(_USERS, name)
            fresh = not users and await store.put_domain(conn, name, registration=opened, kind=kind)
            if not users and parent is not None:
                await store.list_with(conn, name, parent)
            rooms = ""
            if fresh and kind in (None, ACCOUNTS) and not no_rooms:
                rooms = await store.host_rooms(conn, name)
            if fresh and kind in (None, ACCOUNTS):
                await store.host_uploads(conn, name)
                await store.host_nodes(conn, name)
            return users, fresh, rooms

    users, fresh, rooms = change(
        config,
        work,
        lambda done: None if done[0] else audit("domain add", name, registration=registration, kind=kind),
    )
    _refuse_users(name, users)
    if rooms:
        click.echo(f"added {rooms} for chat rooms")
    click.echo(
        f"added {name}"
        if fresh
        else f"{name} was hosted already" + (f"; registration {registration}" if registration else "")
    )


@domain.command("del")
@click.argument("name", callback=domain_name)
@click.option(
    "--with-users", is_flag=True, help="Remove its users first, with every trace. There is no way back."
)
@target_options
def delete(name: str, with_users: bool, **target: Unpack[Target]) -> None:
    """Host the domain NAME no longer; it must have no users."""
    from rookery.cli.removal import remove_domain_users

    async def work(conn: Any) -> tuple[int, int, str]:
        async with conn.transaction():
            users = await conn.fetchval(_USERS, name)
            if users:
                return users, 0, ""
            rooms = await conn.fetchval(_ROOMS, name)
            if rooms:
                return 0, rooms, ""
            tag = await conn.execute("DELETE FROM domain WHERE name = $1", name)
            # Its own services of rooms and of nodes go with it, unless they are used.
            await conn.execute(_SERVICE, ROOMS_PREFIX + name)
            await conn.execute(_UPLOADS, UPLOADS_PREFIX + name)
            await conn.execute(_NODES, PUBSUB_PREFIX + name)
            return 0, 0, tag

    config, _ = resolve(**target)
    removed = remove_domain_users(config, name) if with_users else 0
    users, rooms, tag = change(
        config,
        work,
        lambda done: audit("domain del", name, users_removed=removed) if done[2] == "DELETE 1" else None,
    )
    _refuse_users(name, users, " or add --with-users")
    if rooms:
        raise CommandError(f"{name} has {rooms} rooms: remove them first (`rookery room destroy`)")
    if tag == "DELETE 0":
        raise CommandError(f"{name} is not hosted here: see `rookery domain list`")
    click.echo(f"removed {name}" + (f" and {removed} users" if removed else ""))


@domain.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@target_options
def list_(as_json: bool, **target: Unpack[Target]) -> None:
    """List the hosted domains and what holds for them."""
    from rookery.shared.db.bridge import open_database
    from rookery.workers.account import policies

    config, _ = resolve(**target)

    async def main() -> None:
        async with open_database(config.database) as db:
            for found in await db.run(0, policies.policies):
                click.echo(json.dumps(found.document(), ensure_ascii=False) if as_json else line(found))

    run(main)


def _refuse_users(name: str, users: int, otherwise: str = "") -> None:
    if users:
        count = users if users < 10_000 else "10000 or more"
        raise CommandError(f"{name} has {count} users: remove them first,{otherwise}".removesuffix(","))


domain.add_command(set_)
domain.add_command(show)
