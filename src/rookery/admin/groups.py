"""Shared roster groups: accounts that are in one another's rosters, of state `both`, because an operator says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.admin import names
from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.shared.bus.group_notices import shared_contacts
from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.db.api import Connection
from rookery.workers.roster.roster import MAX_NAME

#: Octets of the name by which operators call a group.
MAX_GROUP_NAME: Final = 64
_LIST: Final = """
SELECT g.name, g.label, coalesce(g.everybody, '') AS everybody,
    (SELECT count(*) FROM group_member m WHERE m.group_id = g.id) AS members, coalesce(g.tag, '') AS tag
FROM roster_group g"""
_MEMBERS: Final = """
SELECT a.localpart || '@' || a.domain AS jid FROM group_member m JOIN account a ON a.id = m.account_id
JOIN roster_group g ON g.id = m.group_id WHERE g.name = $1 ORDER BY a.domain, a.localpart"""
_HOSTED: Final = "SELECT EXISTS (SELECT FROM domain WHERE name = $1 AND kind = $2)"
# A group is locked by whoever changes it: what is said of the members before and after is true.
_LOCK: Final = "SELECT id, label, everybody, tag FROM roster_group WHERE name = $1 FOR UPDATE"
_ADD: Final = "INSERT INTO roster_group (name, label, everybody, tag) VALUES ($1, $2, $3, $4)"
_LABEL: Final = "UPDATE roster_group SET label = $2 WHERE name = $1"
_DELETE: Final = "DELETE FROM roster_group WHERE name = $1"
_JOIN: Final = """
WITH named AS (
    SELECT a.id, w.jid FROM unnest($2::text[], $3::text[], $4::text[]) AS w (jid, localpart, domain)
    JOIN account a ON a.domain = w.domain AND a.localpart = w.localpart
), joined AS (
    INSERT INTO roster_group_member (group_id, account_id) SELECT $1, id FROM named ON CONFLICT DO NOTHING RETURNING account_id
)
SELECT jid, EXISTS (SELECT FROM joined WHERE account_id = named.id) AS new FROM named"""
_LEAVE: Final = """
WITH named AS (
    SELECT a.id, w.jid FROM unnest($2::text[], $3::text[], $4::text[]) AS w (jid, localpart, domain)
    JOIN account a ON a.domain = w.domain AND a.localpart = w.localpart
)
DELETE FROM roster_group_member m USING named WHERE m.group_id = $1 AND m.account_id = named.id RETURNING named.jid"""


class Group(NamedTuple):
    """A group; `everybody` is a domain all of whose accounts are members, `tag` one that all members have; "" and "" for a list of members."""

    name: str
    label: str
    everybody: str
    members: int
    tag: str = ""


async def listed(desk: Desk) -> Sequence[Group]:
    """All groups, by name."""
    return await desk.run(lambda conn: _groups(conn, " ORDER BY g.name"))


async def shown(desk: Desk, name: str) -> tuple[Group, Sequence[str]]:
    """A group and the JIDs of its members. Raises NotFound."""

    async def read(conn: Connection) -> tuple[Sequence[Group], list[str]]:
        return await _groups(conn, " WHERE g.name = $1", name), await _members(conn, name)

    found, members = await desk.run(read)
    if not found:
        raise _missing(name)
    return found[0], members


async def put(desk: Desk, name: str, label: str = "", everybody: str = "", tag: str = "") -> bool:
    """Make a group, or change its label; returns whether it is new. Raises Invalid, NotFound, Conflict."""
    name, label = _name(name), label or name
    if not label or len(label.encode()) > MAX_NAME:
        raise Invalid(f"a label has 1 to {MAX_NAME} octets")
    if everybody and tag:
        raise Invalid("a group is of a domain or of a tag")
    domain = names.domain(everybody) if everybody else ""
    limit = desk.config.limits.group_members

    async def write(conn: Connection) -> tuple[bool, Sequence[str]]:
        async with conn.transaction():
            row = await conn.fetchrow(_LOCK, name)
            if row is not None and (row["everybody"] or "", row["tag"] or "") != (domain, tag):
                raise Conflict(f"the group {name} has other members: remove it first")
            if domain and not await conn.fetchval(_HOSTED, domain, ACCOUNTS):
                raise NotFound(f"{domain} is no domain of accounts here")
            if row is None:
                await conn.execute(_ADD, name, label, domain or None, tag or None)
            elif row["label"] == label:
                return False, ()
            else:
                await conn.execute(_LABEL, name, label)
            members = await _members(conn, name)
            if len(members) > limit:
                raise Conflict(f"{domain or tag} has {len(members)} users: a group has at most {limit}")
            return row is None, members

    new, members = await desk.run(write)
    await desk.tell(
        [
            *shared_contacts(members, members),
            desk.audit("group put", name, label=label, everybody=domain, tag=tag or None),
        ]
    )
    return new


async def remove(desk: Desk, name: str) -> None:
    """Remove a group; its members do not see one another any more, but for what they have agreed on themselves. Raises NotFound."""

    async def write(conn: Connection) -> Sequence[str]:
        async with conn.transaction():
            if await conn.fetchrow(_LOCK, name) is None:
                raise _missing(name)
            members = await _members(conn, name)
            await conn.execute(_DELETE, name)
            return members

    members = await desk.run(write)
    await desk.tell([*shared_contacts(members, members), desk.audit("group del", name)])


async def join(desk: Desk, name: str, jids: Sequence[str]) -> Sequence[str]:
    """Put users into a group, all or none; returns who is new there. Raises Invalid, NotFound, Conflict."""
    wanted = accounts(jids)
    limit = desk.config.limits.group_members

    async def write(conn: Connection) -> tuple[list[str], list[str]]:
        async with conn.transaction():
            group = await _list_of(conn, name)
            rows = await conn.fetch(_JOIN, group, *columns(wanted))
            missing = sorted(set(wanted) - {row["jid"] for row in rows})
            if missing:
                more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
                raise NotFound(f"there is no user {missing[0]}{more}")
            members = await _members(conn, name)
            if len(members) > limit:
                raise Conflict(f"that makes {len(members)} members: a group has at most {limit}")
            return [row["jid"] for row in rows if row["new"]], members

    new, members = await desk.run(write)
    await _tell(desk, "group join", name, new, members)
    return new


async def leave(desk: Desk, name: str, jids: Sequence[str]) -> Sequence[str]:
    """Take users out of a group; returns who was in it. Raises Invalid, NotFound, Conflict."""
    wanted = accounts(jids)

    async def write(conn: Connection) -> tuple[list[str], list[str]]:
        async with conn.transaction():
            group = await _list_of(conn, name)
            members = await _members(conn, name)
            return [row["jid"] for row in await conn.fetch(_LEAVE, group, *columns(wanted))], members

    gone, members = await desk.run(write)
    await _tell(desk, "group leave", name, gone, members)
    return gone


async def _tell(desk: Desk, command: str, name: str, changed: Sequence[str], members: Sequence[str]) -> None:
    """Those who changed see all of the others otherwise, and the others see only them so."""
    if changed:
        others = set(members) - set(changed)
        posts = [*shared_contacts(changed, members), *shared_contacts(sorted(others), changed)]
        await desk.tell([*posts, desk.audit(command, name, users=" ".join(changed[:20]))])


async def _groups(conn: Connection, where: str, *args: object) -> Sequence[Group]:
    return [Group(**dict(row)) for row in await conn.fetch(_LIST + where, *args)]


async def _members(conn: Connection, name: str) -> list[str]:
    return [row["jid"] for row in await conn.fetch(_MEMBERS, name)]


async def _list_of(conn: Connection, name: str) -> int:
    """The id of a group whose members stand in a list, locked."""
    row = await conn.fetchrow(_LOCK, name)
    if row is None:
        raise _missing(name)
    if row["everybody"] is not None:
        raise Conflict(f"everybody of {row['everybody']} is in the group {name}: it has no list of members")
    if row["tag"] is not None:
        raise Conflict(f"whoever has the tag {row['tag']} is in the group {name}: it has no list of members")
    return int(row["id"])


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no group {name}")


def _name(text: str) -> str:
    if not text or len(text.encode()) > MAX_GROUP_NAME or not text.isprintable() or "/" in text:
        raise Invalid(f"the name of a group has 1 to {MAX_GROUP_NAME} printable octets and no slash")
    return text


def accounts(jids: Sequence[str]) -> list[str]:
    """Prepared addresses of users, each once. Raises Invalid."""
    if not jids:
        raise Invalid("name at least one user")
    return list(dict.fromkeys(str(names.account(jid)) for jid in jids))


def columns(jids: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Addresses, their localparts and their domains."""
    return list(jids), [jid.partition("@")[0] for jid in jids], [jid.partition("@")[2] for jid in jids]
