"""Hosted domains and what holds for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from rookery.admin import rooms as chat_rooms
from rookery.admin import speaking
from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.shared.bus.kinds import ACCOUNTS, PROXIES, PUBSUB, ROOMS, SERVICES, UPLOADS, domain_kinds
from rookery.shared.db.api import Connection
from rookery.workers.account import policies, store
from rookery.workers.account.logins import settings
from rookery.workers.account.policies import Changes, Policy

_USERS: Final = "SELECT count(*) FROM (SELECT FROM account WHERE domain = $1 LIMIT 10000) AS u"
_ROOMS: Final = "SELECT count(*) FROM (SELECT FROM room r JOIN archive_owner o ON o.id = r.id WHERE o.domain = $1 LIMIT 10000) AS r"
_SERVICE: Final = "DELETE FROM domain d WHERE d.name = $1 AND d.kind = $2"
#: Removes a service that nobody has used.
_UNUSED: Final = {
    ROOMS: f"{_SERVICE} AND NOT EXISTS (SELECT FROM archive_owner o WHERE o.domain = d.name)",
    UPLOADS: _SERVICE,
    PROXIES: _SERVICE,
    PUBSUB: f"{_SERVICE} AND NOT EXISTS (SELECT FROM pubsub_node n WHERE n.domain = d.name)",
}
_SCHEMES: Final = ("mailto:", "xmpp:", "https://", "http://")


class Hosted(NamedTuple):
    """What hosting a domain came to: nothing was changed when it has `users` and would become another kind; `rooms` is a new service of it."""

    users: int
    fresh: bool
    rooms: str


class Forgotten(NamedTuple):
    """What stands in the way of hosting a domain no longer, and whether it is gone."""

    users: int
    rooms: int
    gone: bool


async def host(
    conn: Connection,
    name: str,
    registration: bool | None,
    kind: str | None,
    parent: str | None = None,
    *,
    rooms: bool = True,
) -> Hosted:
    """A unit of work: host a domain or change it. A new one of accounts gets services of rooms, of files and of nodes."""
    async with conn.transaction():
        # Accounts stay where they are: a domain that has some keeps its kind.
        users = 0 if kind in (None, ACCOUNTS) else await conn.fetchval(_USERS, name)
        if users:
            return Hosted(users, False, "")
        fresh = await store.put_domain(conn, name, registration=registration, kind=kind)
        if parent is not None:
            await store.list_with(conn, name, parent)
        service = ""
        if fresh and kind in (None, ACCOUNTS):
            made = {
                one: await store.host_service(conn, name, one) for one in SERVICES if rooms or one != ROOMS
            }
            service = made.get(ROOMS, "")
    return Hosted(0, fresh, service)


async def forget(conn: Connection, name: str) -> Forgotten:
    """A unit of work: host a domain no longer, nor its own services, unless they are used."""
    async with conn.transaction():
        if users := await conn.fetchval(_USERS, name):
            return Forgotten(users, 0, False)
        if rooms := await conn.fetchval(_ROOMS, name):
            return Forgotten(0, rooms, False)
        tag = await conn.execute("DELETE FROM domain WHERE name = $1", name)
        for kind, prefix in SERVICES.items():
            await conn.execute(_UNUSED[kind], prefix + name, kind)
    return Forgotten(0, 0, tag != "DELETE 0")


def auth(said: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Who keeps the passwords, as a row keeps it. Raises Invalid."""
    if said is None or said == {"type": settings.INTERNAL}:
        return None if said is None else {}
    try:
        settings.load(said)
    except ValueError as error:
        raise Invalid(f"auth: {error}") from None
    return said


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
            hosted = await host(conn, name, changes.registration, kind)
            if changes.room_creation is not None and not await chat_rooms.is_service(conn, name):
                raise Invalid(f"{name} is no service of rooms")
            changed = None if hosted.users else await policies.change(conn, name, changes)
        return None if changed is None else (changed, hosted.fresh)

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
                joining=changes.joining,
                captcha=None if changes.captcha is None else changes.captcha.get("kind", "off"),
                durability=changes.durability,
                archive_days=changes.archive_days,
                room_creation=changes.room_creation,
                contacts=" ".join(changes.contacts) or None,
                auth=None if changes.auth is None else changes.auth.get("type", settings.INTERNAL),
                motd=short(changes.motd),
                welcome=short(changes.welcome),
                federation=None
                if changes.federation is None
                else speaking.described(changes.federation) or "-",
                admins=None if changes.admins is None else " ".join(changes.admins) or "-",
            )
        ],
        domains=True,
    )
    return policy, fresh


def short(text: str | None) -> str | None:
    """A text as the log tells it: whether there is one."""
    return None if text is None else "set" if text else "-"


async def remove(desk: Desk, name: str) -> None:
    """Host a domain no longer. Raises Conflict while it has users or rooms, NotFound."""

    users, rooms, gone = await desk.run(partial(forget, name=name))
    if users:
        raise Conflict(f"{name} has {users if users < 10_000 else '10000 or more'} users: remove them first")
    if rooms:
        raise Conflict(f"{name} has {rooms if rooms < 10_000 else '10000 or more'} rooms: remove them first")
    if not gone:
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
