"""Messages from elsewhere for owners that are new: an import. Everything else is written by `shared.store.writer`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rookery.shared.db.api import Connection
from rookery.shared.store import partitions
from rookery.shared.store.rows import Row
from rookery.shared.store.statements import peer_mark

#: Rows and bytes in one statement: each stays far below the statement timeout.
ROWS: Final = 2000
_BYTES: Final = 4 * 1024 * 1024
#: Days before today that an archive reaches back at most: what is older goes to the first of them.
_REACH: Final = 3660
_DAY: Final = 86_400
#: A message goes to the day on which it came, so that it is let go of as if it had always been here.
_PUT: Final = """
WITH place AS MATERIALIZED (
    SELECT archive_from IS NULL AS before, (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01' AS day FROM installation
),
r AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[], $6::text[], $7::boolean[],
        $8::boolean[], $9::boolean[], $10::float8[], $11::bytea[], $12::integer[]
    ) AS r (owner_id, id, stream, n, digest, peer, outgoing, archived, owed, stamp, stanza, mark)
),
before AS (
    INSERT INTO message (account_id, id, stream, n, digest, peer, outgoing, archived, owed, stamp, stanza)
    SELECT owner_id, id, stream, n, digest, peer, outgoing, archived, owed, to_timestamp(stamp), stanza FROM place, r WHERE place.before
),
kept AS (
    INSERT INTO archive (owner_id, id, stamp, day, mark, outgoing, peer, stanza)
    SELECT owner_id, id, to_timestamp(stamp), greatest(place.day - $13, least(place.day, floor(stamp / 86400)::integer)),
        mark, outgoing, peer, stanza
    FROM place, r WHERE NOT place.before AND archived
)
INSERT INTO owed (owner_id, id, stamp, archived, peer, stanza)
SELECT owner_id, id, to_timestamp(stamp), archived, peer, stanza FROM place, r WHERE NOT place.before AND owed"""


async def reach(conn: Connection, stamp: float) -> None:
    """Make days for messages that came at `stamp` (Unix seconds) or later. Comes before the transaction that has `put`."""
    await partitions.make(conn)
    await partitions.reach(conn, int(stamp // _DAY), _REACH)


async def put(conn: Connection, rows: Iterable[Row]) -> None:
    """Store rows of owners that nobody writes for yet: their uids are not remembered. Raises Postgres's error."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row.stanza)
        if len(batch) == ROWS or size > _BYTES:
            await _put(conn, batch)
            batch, size = [], 0
    if batch:
        await _put(conn, batch)


async def _put(conn: Connection, rows: Sequence[Row]) -> None:
    columns: list[list[object]] = [list(column) for column in zip(*rows, strict=True)]
    await conn.execute(_PUT, *columns, [peer_mark(row.peer) for row in rows], _REACH)
