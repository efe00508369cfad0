"""Hosted domains and what holds for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.shared.bus.kinds import ACCOUNTS, domain_kinds
from rookery.shared.db.api import Connection
from rookery.workers.account import policies, store
from rookery.workers.account.policies import Changes, Policy

_USERS: Final = "SELECT count(*) FROM (SELECT FROM account WHERE domain = $1 LIMIT 10000) AS u"
_SCHEMES: Final = ("mailto:", "xmpp:", "https://", "http://")


async def listed(desk: Desk) -> list[Policy]:
    """All hosted domains by name."""
    return await desk.run(policies.policies)


async def find(desk: Desk, name: str) -> Policy:
    """One domain. Raises NotFound."""
    for policy in await listed(desk):
        if policy.name == name:
            return policy
    raise NotFound(f"{name} is not hosted here")


async def put(desk: Desk, name: str, kind: str | None, changes: Changes) -> tuple[Policy, bool]:
    """Host a domain, or change what holds for it; returns it, and whether it is new. Raises Conflict, Invalid."""
    row = domain_kinds().get(kind or ACCOUNTS)
    if row is None or not row.built:
        hosted = ", ".join(name for name, row in domain_kinds().items() if row.built)
        raise Invalid(f"this version hosts domains of the kinds {hosted}")

    async def work(conn: Connection) -> tuple[Policy, bool] | None:
        async with conn.transaction():
            # Accounts stay where they are: a domain that has some keeps its kind.
            if kind not in (None, ACCOUNTS) and await conn.fetchval(_USERS, name):
                return None
            fresh = await store.put_domain(conn, name, registration=changes.registration, kind=kind)
            changed = await policies.change(conn, name, changes)
        assert changed is not None
        return changed, fresh

    done = await desk.run(work)
    if done is None:
        raise Conflict(f"{name} has users: remove them first")
    policy, fresh = done
    await desk.tell(
        [
            desk.audit(
                "domain add" if fresh else "domain set",
                name,
                kind=kind,
                registration=changes.registration,
                durability=changes.durability,
                contacts=" ".join(changes.contacts) or None,
                admins=None if changes.admins is None else " ".join(changes.admins) or "-",
            )
        ],
        domains=True,
    )
    return policy, fresh


async def remove(desk: Desk, name: str) -> None:
    """Host a domain no longer. Raises Conflict while it has users, NotFound."""

    async def work(conn: Connection) -> tuple[int, str]:
        async with conn.transaction():
            users = await conn.fetchval(_USERS, name)
            return users, "" if users else await conn.execute("DELETE FROM domain WHERE name = $1", name)

    users, tag = await desk.run(work)
    if users:
        raise Conflict(f"{name} has {users if users < 10_000 else '10000 or more'} users: remove them first")
    if tag == "DELETE 0":
        raise NotFound(f"{name} is not hosted here")
    await desk.tell([desk.audit("domain del", name)], domains=True)


def contacts(given: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Role of XEP-0157 -> URIs as field -> URIs. Raises Invalid."""
    found: dict[str, list[str]] = {}
    for role, uris in given.items():
        field = policies.CONTACTS.get(role.removesuffix("-addresses"))
        if field is None:
            raise Invalid(f"there is no role {role!r}: choose from {', '.join(policies.CONTACTS)}")
        for uri in uris:
            if not uri.startswith(_SCHEMES) or not uri.isprintable() or " " in uri or len(uri) > 1024:
                raise Invalid(f"{uri!r} is no address: begin with {', '.join(_SCHEMES)}")
        found[field] = list(uris)
    return found
