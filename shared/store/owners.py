"""Archive owners: who an archive belongs to. An account, a room, a node of PubSub.

All owners have numbers of one sequence. An account is an owner by its own number (`account.id`); every other owner has a row of the
table `archive_owner`, which the kind that serves it makes. Each function is a unit of work.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.shared.db.api import FENCE, Connection, Fenced

#: Rows of an archive that one statement deletes: each stays far below the statement timeout.
CHUNK: Final = 5000
#: Whether there is an owner with the number {0}: an account, or something with an archive of its own.
KNOWN: Final = "(EXISTS (SELECT FROM account a WHERE a.id = {0}) OR EXISTS (SELECT FROM archive_owner o WHERE o.id = {0}))"
_FIND: Final = "SELECT id FROM archive_owner WHERE domain = $1 AND kind = $2 AND name = $3"
_MAKE: Final = f"""{FENCE},
made AS (
    INSERT INTO archive_owner (domain, kind, name) SELECT $2, $3, $4 FROM fence_ok
    ON CONFLICT (domain, kind, name) DO NOTHING RETURNING id
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, (SELECT id FROM made) AS id"""  # noqa: S608  constants only
#: Behind FENCE: deletes up to $3 rows of the owner $2 from each table; goes on with the end of the statement, which may read `emptied`.
EMPTY: Final = """,
old AS MATERIALIZED (SELECT a.owner_id, a.id, a.day FROM archive a, fence_ok WHERE a.owner_id = $2 LIMIT $3),
gone_old AS (
    DELETE FROM archive a USING old WHERE a.owner_id = old.owner_id AND a.id = old.id AND a.day = old.day RETURNING 1
),
gone_owed AS (DELETE FROM owed o USING fence_ok WHERE o.owner_id = $2 RETURNING 1),
gone_before AS (
    DELETE FROM message m USING fence_ok
    WHERE m.account_id = $2 AND m.id IN (SELECT id FROM message WHERE account_id = $2 LIMIT $3) RETURNING 1
),
emptied AS (SELECT greatest((SELECT count(*) FROM gone_old), (SELECT count(*) FROM gone_before)) AS rows)
"""
_EMPTY: Final = f"""{FENCE}{EMPTY}
SELECT EXISTS (SELECT FROM fence_ok) AS open, rows AS gone FROM emptied"""  # noqa: S608
_FORGET: Final = f"""{FENCE},
gone AS (
    DELETE FROM archive_owner o USING fence_ok WHERE o.id = $2 RETURNING o.id
),
noted AS (
    INSERT INTO erased (account_id) SELECT id FROM gone
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, EXISTS (SELECT FROM gone) AS gone"""  # noqa: S608


class Owner(NamedTuple):
    """Whose archive it is: its number, and the bare JID that its messages come from when they are read."""

    id: int
    address: str


async def find_owner(conn: Connection, domain: str, kind: str, name: str) -> int | None:
    """The number of an owner that is no account; None when there is no such owner."""
    found: int | None = await conn.fetchval(_FIND, domain, kind, name)
    return found


async def make_owner(conn: Connection, incarnation: str, domain: str, kind: str, name: str) -> int:
    """The number of an owner that is no account, which is made when there is none. Safe to repeat. Raises Fenced."""
    while True:
        row = await conn.fetchrow(_MAKE, incarnation, domain, kind, name)
        if not row["open"]:
            raise Fenced(incarnation)
        # Another process may have made it a moment ago, and a removal may follow at once.
        found: int | None = row["id"] or await find_owner(conn, domain, kind, name)
        if found is not None:
            return found


async def remove_owner(conn: Connection, incarnation: str, owner: int) -> bool:
    """Remove an owner that is no account, with its archive; False when there is none. Raises Fenced.

    It is emptied in pieces; a removal that was interrupted is only to be repeated. What is still stored for it is deleted by the sweep
    (`shared.store.reader.erase`).
    """
    while True:
        row = await conn.fetchrow(_EMPTY, incarnation, owner, CHUNK)
        if not row["open"]:
            raise Fenced(incarnation)
        if row["gone"] < CHUNK:
            break
    row = await conn.fetchrow(_FORGET, incarnation, owner)
    if not row["open"]:
        raise Fenced(incarnation)
    gone: bool = row["gone"]
    return gone
