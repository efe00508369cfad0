"""Tags of users: an operator's words for them, by which they are members of shared roster groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.admin.groups import accounts, columns
from rookery.shared.bus.group_notices import shared_contacts
from rookery.shared.db.api import Connection

#: Octets of a tag.
MAX_TAG: Final = 64
_COUNTS: Final = "SELECT tag, count(*) AS users FROM account_tag GROUP BY tag ORDER BY tag"
#: Groups of a tag are locked by whoever gives or takes it: what is said of the members before and after is true.
_LOCK: Final = "SELECT name FROM roster_group WHERE tag = $1 ORDER BY id FOR UPDATE"
_WITH: Final = """
SELECT a.localpart || '@' || a.domain AS jid FROM account_tag t JOIN account a ON a.id = t.account_id
WHERE t.tag = $1 ORDER BY a.domain, a.localpart"""
_TAG: Final = """
WITH named AS (
    SELECT a.id, w.jid FROM unnest($2::text[], $3::text[], $4::text[]) AS w (jid, localpart, domain)
    JOIN account a ON a.domain = w.domain AND a.localpart = w.localpart
), tagged AS (
    INSERT INTO account_tag (account_id, tag) SELECT id, $1 FROM named ON CONFLICT DO NOTHING RETURNING account_id
)
SELECT jid, EXISTS (SELECT FROM tagged WHERE account_id = named.id) AS new FROM named"""
_UNTAG: Final = """
WITH named AS (
    SELECT a.id, w.jid FROM unnest($2::text[], $3::text[], $4::text[]) AS w (jid, localpart, domain)
    JOIN account a ON a.domain = w.domain AND a.localpart = w.localpart
)
DELETE FROM account_tag t USING named WHERE t.tag = $1 AND t.account_id = named.id RETURNING named.jid"""


class Tag(NamedTuple):
    """A tag, and how many users have it."""

    tag: str
    users: int


def checked(tag: str) -> str:
    """The tag, when it can be one. Raises Invalid."""
    if not tag or len(tag.encode()) > MAX_TAG or not tag.isprintable() or any(one.isspace() for one in tag):
        raise Invalid(f"a tag has 1 to {MAX_TAG} printable octets without spaces")
    return tag


async def listed(desk: Desk) -> Sequence[Tag]:
    """All tags that somebody has."""
    return await desk.run(_counted)


async def _counted(conn: Connection) -> Sequence[Tag]:
    return [Tag(row["tag"], row["users"]) for row in await conn.fetch(_COUNTS)]


async def give(desk: Desk, tag: str, jids: Sequence[str]) -> Sequence[str]:
    """Give users a tag, all or none; returns who has it only now. Raises Invalid, NotFound, Conflict."""
    tag, wanted = checked(tag), accounts(jids)
    limit = desk.config.limits.group_members

    async def write(conn: Connection) -> tuple[list[str], list[str]]:
        async with conn.transaction():
            groups = await conn.fetch(_LOCK, tag)
            rows = await conn.fetch(_TAG, tag, *columns(wanted))
            missing = sorted(set(wanted) - {row["jid"] for row in rows})
            if missing:
                more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
                raise NotFound(f"there is no user {missing[0]}{more}")
            having = await _having(conn, tag)
            if groups and len(having) > limit:
                raise Conflict(f"that makes {len(having)} members of a group: it has at most {limit}")
            return [row["jid"] for row in rows if row["new"]], having if groups else []

    new, members = await desk.run(write)
    await _tell(desk, "user tag", tag, new, members)
    return new


async def take(desk: Desk, tag: str, jids: Sequence[str]) -> Sequence[str]:
    """Take a tag from users; returns who had it. Raises Invalid."""
    tag, wanted = checked(tag), accounts(jids)

    async def write(conn: Connection) -> tuple[list[str], list[str]]:
        async with conn.transaction():
            groups = await conn.fetch(_LOCK, tag)
            members = await _having(conn, tag) if groups else []
            return [row["jid"] for row in await conn.fetch(_UNTAG, tag, *columns(wanted))], members

    gone, members = await desk.run(write)
    await _tell(desk, "user untag", tag, gone, members)
    return gone


async def _having(conn: Connection, tag: str) -> list[str]:
    return [row["jid"] for row in await conn.fetch(_WITH, tag)]


async def _tell(desk: Desk, command: str, tag: str, changed: Sequence[str], members: Sequence[str]) -> None:
    """Those who changed see all others of the tag's groups otherwise, and the others see only them so; without groups nobody sees anything."""
    if changed:
        others = sorted(set(members) - set(changed))
        posts = [*shared_contacts(changed, members), *shared_contacts(others, changed)] if members else []
        await desk.tell([*posts, desk.audit(command, tag, users=" ".join(changed[:20]))])
