"""The rows by which processes that hold partitions know of each other: `member` (heartbeat) and `fence` (may it write).

All times are the database's, so clocks of machines do not matter.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.shared.bus.messages import VERSION, Kind
from rookery.shared.cluster.assign import Place
from rookery.shared.db.api import Connection
from rookery.shared.db.migrate import newest

#: A member whose heartbeat is so old, and which holds nothing, is forgotten.
_FORGET: Final = "10 minutes"

# set_config: a heartbeat that a crash of Postgres forgets is made good in a second, so it need not wait for the disk.
_BEAT = """
WITH beat AS (
    UPDATE member SET expires = now() + make_interval(secs => $2), draining = $3 WHERE incarnation = $1
    RETURNING set_config('synchronous_commit', 'off', true)
)
SELECT m.incarnation, m.kinds, m.zone, m.host, m.draining, f.open, extract(epoch FROM now() - m.expires)::float8 AS late,
       (SELECT count(*) FROM beat)::int AS beaten
FROM member m JOIN fence f USING (incarnation)
"""

_JOIN = """
WITH fenced AS (INSERT INTO fence (incarnation) VALUES ($1))
INSERT INTO member (incarnation, kinds, version, expires, zone, host, schema)
VALUES ($1, $2, $3, now() + make_interval(secs => $4), $5, $6, $7)
"""

_LEASE_ROWS = """
INSERT INTO lease (kind, partition)
SELECT k, p FROM unnest($1::text[]) k, generate_series(0, $2::int - 1) p ON CONFLICT DO NOTHING
"""

_LEAVE = """
WITH fenced AS (UPDATE fence SET open = false WHERE incarnation = $1),
     freed AS (UPDATE lease SET incarnation = NULL WHERE incarnation = $1)
DELETE FROM member WHERE incarnation = $1
"""

_SWEEP = f"""
WITH old AS (
    DELETE FROM member m WHERE expires < now() - interval '{_FORGET}'
    AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.incarnation = m.incarnation) RETURNING incarnation
)
DELETE FROM fence f WHERE incarnation IN (SELECT incarnation FROM old)
   OR (NOT open AND NOT EXISTS (SELECT 1 FROM member m WHERE m.incarnation = f.incarnation))
"""  # noqa: S608  a constant


#: A process that is not told where it runs.
NOWHERE: Final = Place("", "")


class Member(NamedTuple):
    """One member row: `late` is how many seconds ago its heartbeat expired (negative: not yet).

    `place` is None for a process of a version that does not say where it runs."""

    incarnation: str
    kinds: frozenset[str]
    draining: bool
    open: bool
    late: float
    place: Place | None = None


async def join(
    conn: Connection,
    incarnation: str,
    kinds: tuple[Kind, ...],
    ttl: float,
    version: int = VERSION,
    *,
    place: Place = NOWHERE,
) -> int:
    """Make the rows of a new process that reads `version`; returns the number of partitions of the installation."""
    labels = [kind.label for kind in kinds]
    partitions: int = await conn.fetchval("SELECT partitions FROM installation")
    count = await conn.fetchval("SELECT count(*) FROM lease WHERE kind = ANY($1)", labels)
    if count < partitions * len(labels):
        await conn.execute(_LEASE_ROWS, labels, partitions)
    # A repetition after a lost connection finds its own row.
    if not await conn.fetchval("SELECT 1 FROM member WHERE incarnation = $1", incarnation):
        await conn.execute(_JOIN, incarnation, labels, version, ttl, *place, newest())
    return partitions


async def beat(conn: Connection, incarnation: str, ttl: float, draining: bool) -> tuple[bool, list[Member]]:
    """Renew the heartbeat and look at everyone: (whether this process may go on, members). One statement."""
    rows = await conn.fetch(_BEAT, incarnation, ttl, draining)
    members = [
        Member(
            r["incarnation"],
            frozenset(r["kinds"]),
            r["draining"],
            r["open"],
            r["late"],
            place_of(r["zone"], r["host"]),
        )
        for r in rows
    ]
    return any(m.incarnation == incarnation and m.open for m in members), members


def place_of(zone: str | None, host: str | None) -> Place | None:
    """The place in a row."""
    return None if host is None else Place(zone or "", host)


async def leave(conn: Connection, incarnation: str) -> None:
    """Close the own fence, free what is still held, and be no member any more. One statement."""
    await conn.execute(_LEAVE, incarnation)


async def sweep(conn: Connection) -> None:
    """Forget rows of processes that are long gone."""
    await conn.execute(_SWEEP)
