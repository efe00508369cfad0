"""What is let go of: whole days of the archive, and in batches what some owners or domains keep less of. Each function is a unit of work.

The domain that keeps longest decides which days are dropped. What another keeps less of is deleted from the days that stay, once
for each day. An archive's length is looked at after rows were added to it: the writers count them (`grow`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.store import partitions
from rookery.shared.store.partitions import SLOTS_A_DAY, Partition

_GUARD: Final = "SELECT EXISTS (SELECT FROM fence WHERE incarnation = $1 AND open)"
_DAYS: Final = """
SELECT d.name, CASE WHEN jsonb_typeof(d.policy -> 'archive_days') = 'number' THEN (d.policy ->> 'archive_days')::float8 END AS days, t.day
FROM domain d LEFT JOIN archive_trimmed t ON t.domain = d.name"""
_OWNERS: Final = """
SELECT id FROM (
    (SELECT id FROM account WHERE domain = $1 AND id > $2 ORDER BY id LIMIT $3) UNION ALL
    (SELECT id FROM archive_owner WHERE domain = $1 AND id > $2 ORDER BY id LIMIT $3)
) AS o ORDER BY id LIMIT $3"""
_CUT: Final = f"""{FENCE},
old AS MATERIALIZED (
    SELECT a.owner_id, a.id, a.day FROM archive a, fence_ok
    WHERE a.owner_id = ANY($2::bigint[]) AND a.day >= $3 AND a.day < $4 LIMIT $5
),
gone AS (
    DELETE FROM archive a USING old WHERE a.owner_id = old.owner_id AND a.id = old.id AND a.day = old.day RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, (SELECT count(*) FROM gone) AS done"""  # noqa: S608  constants only
_TRIMMED: Final = """
INSERT INTO archive_trimmed (domain, day) VALUES ($1, $2) ON CONFLICT (domain) DO UPDATE SET day = excluded.day"""
_GROW: Final = f"""{FENCE}
INSERT INTO archive_growth AS g (owner_id, added)
SELECT r.owner_id, r.added FROM fence_ok CROSS JOIN unnest($2::bigint[], $3::bigint[]) AS r (owner_id, added)
ON CONFLICT (owner_id) DO UPDATE SET added = g.added + excluded.added"""  # noqa: S608  constants only
#: Owners above $1 to whose archives $4 rows or more were added, with the newest id that is too old to keep, 0 when there is none.
_SURPLUS: Final = """
SELECT g.owner_id, g.added, coalesce((
    SELECT b.id FROM (
        SELECT id FROM archive WHERE owner_id = g.owner_id
        UNION ALL SELECT id FROM message WHERE account_id = g.owner_id AND archived
    ) AS b ORDER BY b.id DESC OFFSET $2 LIMIT 1
), 0) AS last
FROM archive_growth g WHERE g.owner_id > $1 AND g.added >= $4 ORDER BY g.owner_id LIMIT $3"""
_TRIM: Final = f"""{FENCE},
old AS MATERIALIZED (
    SELECT a.owner_id, a.id, a.day FROM archive a, fence_ok WHERE a.owner_id = $2 AND a.id <= $3 ORDER BY a.id LIMIT $4
),
gone AS (
    DELETE FROM archive a USING old WHERE a.owner_id = old.owner_id AND a.id = old.id AND a.day = old.day RETURNING 1
),
old_before AS MATERIALIZED (
    SELECT m.account_id, m.id FROM message m, fence_ok
    WHERE m.account_id = $2 AND m.id <= $3 AND NOT m.owed ORDER BY m.id LIMIT $4
),
gone_before AS (
    DELETE FROM message m USING old_before old WHERE m.account_id = old.account_id AND m.id = old.id RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, (SELECT count(*) FROM gone) + (SELECT count(*) FROM gone_before) AS done"""  # noqa: S608
_LOOKED: Final = f"""{FENCE},
less AS (UPDATE archive_growth g SET added = g.added - $3 FROM fence_ok WHERE g.owner_id = $2 AND g.added > $3)
DELETE FROM archive_growth g USING fence_ok WHERE g.owner_id = $2 AND g.added <= $3"""  # noqa: S608  constants only


class Domain(NamedTuple):
    """A domain's policy: whole days that its archives keep, and the day up to which older rows are deleted already."""

    name: str
    days: int
    trimmed: int


class Grown(NamedTuple):
    """An archive that rows were added to, and the newest id of it that is beyond what is kept, or 0."""

    owner: int
    added: int
    last: int


async def _guard(conn: Connection, incarnation: str) -> None:
    if not await conn.fetchval(_GUARD, incarnation):
        raise Fenced(incarnation)


async def domains(conn: Connection, days: int) -> list[Domain]:
    """What each domain keeps: {"archive_days": 7} in its policy, else `days`."""
    return [
        Domain(row["name"], days if row["days"] is None else max(1, int(row["days"])), row["day"] or 0)
        for row in await conn.fetch(_DAYS)
    ]


def old(have: Sequence[Partition], end: int) -> list[Partition]:
    """Partitions that have nothing from `end` on, and what remains of interrupted drops."""
    return [one for one in have if one.end <= end or not one.attached]


async def prepare(conn: Connection, incarnation: str, longest: int) -> tuple[list[Partition], int]:
    """Make partitions ahead; returns those that are to be dropped, and the current day. Raises Fenced.

    `longest`: whole days that the archive of some domain keeps. Uids are kept for a day, four times what a slot is long.
    """
    await _guard(conn, incarnation)
    await partitions.make(conn, partitions.width(longest))
    today = await partitions.now(conn)
    gone = old(await partitions.listed(conn, "archive"), today["archive"] - longest)
    return gone + old(await partitions.listed(conn, "taken"), today["taken"] - SLOTS_A_DAY), today["archive"]


async def drop(conn: Connection, incarnation: str, one: Partition) -> None:
    """Drop a partition. Raises Fenced."""
    await _guard(conn, incarnation)
    await partitions.drop(conn, one)


async def owners(conn: Connection, domain: str, after: int, limit: int) -> list[int]:
    """Owners of a domain with numbers above `after`, in order."""
    return [row["id"] for row in await conn.fetch(_OWNERS, domain, after, limit)]


async def cut(
    conn: Connection, incarnation: str, whose: Sequence[int], first: int, end: int, limit: int
) -> int:
    """Delete up to `limit` messages of these owners that were stored on a day of [first, end); returns how many. Raises Fenced."""
    return await _counted(conn, _CUT, incarnation, list(whose), first, end, limit)


async def trimmed(conn: Connection, domain: str, day: int) -> None:
    """A domain has nothing older than `day` any more."""
    await conn.execute(_TRIMMED, domain, day)


async def grow(conn: Connection, incarnation: str, added: Mapping[int, int]) -> None:
    """So many rows were added to archives. When it is repeated they are counted twice, which only looks at an archive sooner."""
    await conn.execute(_GROW, incarnation, sorted(added), [added[owner] for owner in sorted(added)])


async def surplus(conn: Connection, after: int, keep: int, owners: int, added: int = 1) -> list[Grown]:
    """At most `owners` archives of owners above `after` that have grown by `added` or more since they were looked at."""
    return [Grown(*row) for row in await conn.fetch(_SURPLUS, after, keep, owners, added)]


async def trim(conn: Connection, incarnation: str, owner_id: int, last: int, limit: int) -> int:
    """Delete up to `limit` messages of an owner with ids up to `last` from its archive; returns how many. Raises Fenced."""
    return await _counted(conn, _TRIM, incarnation, owner_id, last, limit)


async def looked(conn: Connection, incarnation: str, grown: Grown) -> None:
    """An archive is not too long any more."""
    await conn.execute(_LOOKED, incarnation, grown.owner, grown.added)


async def _counted(conn: Connection, statement: str, incarnation: str, *args: object) -> int:
    row = await conn.fetchrow(statement, incarnation, *args)
    if not row["open"]:
        raise Fenced(incarnation)
    done: int = row["done"]
    return done
