"""`rookery domain`: the hosted domains."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Unpack

import click

from rookery.admin import domains
from rookery.cli import CommandError
from rookery.cli.audit import audit
from rookery.cli.domain_change import change, domain_name
from rookery.cli.domain_set import line, set_, show
from rookery.cli.options import resolve, run, target_options
from rookery.cli.users import Target
from rookery.shared.bus.kinds import ACCOUNTS, ROOMS, SERVICES, domain_kinds


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
    "--no-rooms", is_flag=True, help=f"Do not add {SERVICES[ROOMS]}NAME for chat rooms beside a new domain."
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

    A new domain of accounts gets services of chat rooms, files, nodes and byte streams. It needs a certificate: `rookery up` makes one; else put it into <tls.directory>/NAME/.
    """
    if kind is not None and not domain_kinds()[kind].built:
        hosted = ", ".join(name for name, row in domain_kinds().items() if row.built)
        raise CommandError(f"this version has no {kind}: it hosts domains of the kinds {hosted}")
    config, _ = resolve(**target)
    opened = None if registration is None else registration == "open"

    async def work(conn: Any) -> domains.Hosted:
        return await domains.host(conn, name, opened, kind, parent, rooms=not no_rooms)

    users, fresh, rooms = change(
        config,
        work,
        lambda done: None if done[0] else audit("domain add", name, registration=registration, kind=kind),
    )
    _refuse_users(name, users)
    if rooms:
        click.echo(f"added {rooms} for chat rooms")
    if fresh and kind in (None, ACCOUNTS):
        others = [prefix + name for service, prefix in SERVICES.items() if service != ROOMS]
        click.echo(f"added {', '.join(others)}: each needs a certificate, too, but for that of the proxy")
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

    config, _ = resolve(**target)
    removed = remove_domain_users(config, name) if with_users else 0
    users, rooms, gone = change(
        config,
        partial(domains.forget, name=name),
        lambda done: audit("domain del", name, users_removed=removed) if done.gone else None,
    )
    _refuse_users(name, users, " or add --with-users")
    if rooms:
        raise CommandError(f"{name} has {rooms} rooms: remove them first (`rookery room destroy`)")
    if not gone:
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
