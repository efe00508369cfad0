"""Reads and clean-up of the message store. Each function is a unit of work: `db.run(partition, lambda conn: owed_page(conn, ...))`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.db.api import FENCE, Connection, Fenced

_PAGE: Final = """
SELECT id, peer, stamp, stanza, archived, $1::bigint FROM (
    SELECT id, peer, stamp, stanza, archived, sum(octet_length(stanza)) OVER (ORDER BY id) - octet_length(stanza) AS before
    FROM (
        SELECT id, peer, extract(epoch FROM stamp)::float8 AS stamp, stanza, archived FROM message
        WHERE account_id = $1 AND owed AND id > $2 ORDER BY id LIMIT $3
    ) AS page
) AS measured
WHERE before < $4 ORDER BY id"""
_USAGE: Final = "SELECT count(*), coalesce(sum(octet_length(stanza)), 0)::bigint FROM message WHERE account_id = $1 AND owed"
#: Oldest first within a partition of the table; an archived row stays and is only no longer owed.
_EXPIRE: Final = f"""{FENCE},
old AS MATERIALIZED (
    SELECT m.account_id, m.id FROM message m, fence_ok WHERE m.stamp < to_timestamp($2) AND m.owed LIMIT $3
),
gone AS (
    DELETE FROM message m USING old WHERE m.account_id = old.account_id AND m.id = old.id AND NOT m.archived RETURNING 1
),
kept AS (
    UPDATE message m SET owed = false FROM old
    WHERE m.account_id = old.account_id AND m.id = old.id AND m.archived RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, (SELECT count(*) FROM gone) + (SELECT count(*) FROM kept) AS done"""  # noqa: S608
_ERASE: Final = f"""{FENCE},
stray AS MATERIALIZED (
    SELECT m.account_id, m.id FROM fence_ok, erased e JOIN message m ON m.account_id = e.account_id LIMIT $3
),
gone AS (
    DELETE FROM message m USING stray WHERE m.account_id = stray.account_id AND m.id = stray.id RETURNING 1
),
forgotten AS (
    DELETE FROM erased e USING fence_ok
    WHERE e.at < to_timestamp($2) AND NOT EXISTS (SELECT FROM message m WHERE m.account_id = e.account_id)
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, (SELECT count(*) FROM gone) AS done"""  # noqa: S608
_RETAIN: Final = f"""{FENCE},
old AS MATERIALIZED (
    SELECT m.account_id, m.id FROM message m, fence_ok WHERE m.stamp < to_timestamp($2) AND NOT m.owed LIMIT $3
),
gone AS (
    DELETE FROM message m USING old WHERE m.account_id = old.account_id AND m.id = old.id RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, (SELECT count(*) FROM gone) AS done"""  # noqa: S608
#: Of several forms that a sender gave one number, each is there.
_STORED: Final = """
SELECT m.account_id, m.stream, m.n, m.id, m.owed
FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS want(account_id, stream, n)
JOIN message m ON m.account_id = want.account_id AND m.stream = want.stream AND m.n = want.n AND NOT m.outgoing"""


#: Of what an owner is owed, that which its archive has, too, up to an id.
_FORGO: Final = f"""{FENCE},
done AS (
    UPDATE message m SET owed = false FROM fence_ok
    WHERE m.account_id = $2 AND m.owed AND m.archived AND m.id <= $3 RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, (SELECT count(*) FROM done) AS done"""  # noqa: S608


class Owed(NamedTuple):
    """A message that offline delivery has to bring; `stamp` is in Unix seconds, `stanza` packed."""

    id: int
    peer: str
    stamp: float
    stanza: bytes
    archived: bool
    owner_id: int


async def owed_page(
    conn: Connection, owner_id: int, *, after: int = 0, max_rows: int = 100, max_bytes: int = 262_144
) -> list[Owed]:
    """The oldest owed messages with an id above `after`: at most `max_rows`, and no more once `max_bytes` are reached.

    There is always at least one row when there is any; an empty page ends the flush.
    """
    return [Owed(*row) for row in await conn.fetch(_PAGE, owner_id, after, max_rows, max_bytes)]


async def owed_usage(conn: Connection, owner_id: int) -> tuple[int, int]:
    """How many messages, and bytes of packed stanzas, an owner is owed: what its offline quota limits."""
    count, size = await conn.fetchrow(_USAGE, owner_id)
    return count, size


async def forgo(conn: Connection, incarnation: str, owner_id: int, last: int) -> int:
    """What the archive of an owner has up to the id `last` is not owed any more; returns how many messages. Raises Fenced."""
    row = await conn.fetchrow(_FORGO, incarnation, owner_id, last)
    if not row["open"]:
        raise Fenced(incarnation)
    done: int = row["done"]
    return done


async def stored_uids(
    conn: Connection, uids: Sequence[tuple[int, bytes, int]]
) -> dict[tuple[int, bytes, int], tuple[int, bool]]:
    """Of incoming messages (owner, stream, n), those that are stored: (archive id, owed)."""
    rows = await conn.fetch(
        _STORED, *([list(column) for column in zip(*uids, strict=True)] if uids else ([], [], []))
    )
    return {(row["account_id"], bytes(row["stream"]), row["n"]): (row["id"], row["owed"]) for row in rows}


async def erase(conn: Connection, incarnation: str, before: float, limit: int = 1000) -> int:
    """Delete what was stored for owners that are removed, like `expire_owed`; forget those removed before `before` with nothing left."""
    return await _swept(conn, _ERASE, incarnation, before, limit)


async def expire_owed(conn: Connection, incarnation: str, before: float, limit: int = 1000) -> int:
    """Give up on owed messages older than `before` (Unix seconds), at most `limit`; returns how many. Raises Fenced.

    Call again until it returns less than `limit`; several callers at once do no harm.
    """
    return await _swept(conn, _EXPIRE, incarnation, before, limit)


async def delete_archived(conn: Connection, incarnation: str, before: float, limit: int = 1000) -> int:
    """Delete messages that nobody is owed and that are older than `before`, like `expire_owed`. Raises Fenced."""
    return await _swept(conn, _RETAIN, incarnation, before, limit)


async def _swept(conn: Connection, statement: str, incarnation: str, before: float, limit: int) -> int:
    row = await conn.fetchrow(statement, incarnation, before, limit)
    if not row["open"]:
        raise Fenced(incarnation)
    done: int = row["done"]
    return done
