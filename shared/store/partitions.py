"""The days of the archive and the slots of what was taken: partitions that are made ahead and dropped whole.

A partition's name says what it has: `archive_20420_20421` has the day 20420 (since 1970, by the database's clock). The sweep makes
them a few days ahead; a writer that finds none makes one itself. Nothing here waits for writers, nor do they wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import Connection

#: One of many processes makes partitions at a time.
_LOCK: Final = "SELECT pg_advisory_xact_lock(7308895108)"
_NOW: Final = """
SELECT (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01' AS archive, floor(extract(epoch FROM now()) / 21600)::integer AS taken"""
_LIST: Final = """
SELECT c.relname AS name, i.inhdetachpending AS leaving, i.inhparent IS NOT NULL AS attached
FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = $1::text::regclass
WHERE c.relkind = 'r' AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = $1::text::regclass)
  AND c.relname ~ ('^' || $1 || '_[0-9]+_[0-9]+$')"""
#: The partitions of the archive that are read, by the index of pg_inherits: days of [first, past).
PARTS: Final = """
    SELECT split_part(c.relname, '_', 2)::integer AS first, split_part(c.relname, '_', 3)::integer AS past
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'archive'::regclass AND NOT i.inhdetachpending"""
#: The one index of a partition; it is unique within it.
_KEYS: Final = {"archive": "owner_id, id, mark", "taken": "stream, n, owner_id, mark"}
#: Days and slots that are made ahead.
AHEAD: Final = {"archive": 3, "taken": 4}
SLOTS_A_DAY: Final = 4
#: An archive is not cut into many more parts than these.
_PARTS: Final = 60
_NO_PARTITION: Final = "23514"


class Partition(NamedTuple):
    """Rows of [first, end), in days or slots; `attached` while it is one of its table's, `leaving` while a drop was interrupted."""

    table: str
    first: int
    end: int
    attached: bool = True
    leaving: bool = False

    @property
    def name(self) -> str:
        """Of the table that it is."""
        return f"{self.table}_{self.first}_{self.end}"


def is_missing(error: BaseException) -> bool:
    """Whether a write failed since nobody has made the partition of today."""
    return getattr(error, "sqlstate", "") == _NO_PARTITION and str(error).startswith(
        "no partition of relation"
    )


def width(days: int) -> int:
    """Days in one partition of an archive that keeps so many days."""
    return max(1, days // _PARTS)


def wanted(have: Sequence[Partition], now: int, size: int, ahead: int) -> list[tuple[int, int]]:
    """The [first, end) that are to be made, so that there is room from `now` to `ahead` later: without gaps, from the last one on."""
    first = max([now, *(one.end for one in have)])
    made: list[tuple[int, int]] = []
    while first <= now + ahead:
        made.append((first, first + size))
        first += size
    return made


def gaps(have: Sequence[Partition], first: int, now: int) -> list[tuple[int, int]]:
    """The [first, end) that are to be made, so that there is room for each day from `first` to `now`.

    The older, the wider: what is in one is let go of together, later by a tenth of its age at most. Ten years are about 70.
    """
    made: list[tuple[int, int]] = []
    for begin, end in [*sorted((one.first, one.end) for one in have), (now + 1, now + 1)]:
        while first < begin and first <= now:
            made.append((first, min(first + max(1, (now - first) // 10), begin)))
            first = made[-1][1]
        first = max(first, end)
    return made


async def listed(conn: Connection, table: str) -> list[Partition]:
    """The partitions of "archive" or "taken" in order, those that were detached and not dropped among them."""
    found: list[Partition] = []
    for row in await conn.fetch(_LIST, table):
        _, first, end = row["name"].rsplit("_", 2)
        found.append(Partition(table, int(first), int(end), row["attached"], bool(row["leaving"])))
    return sorted(found)


async def now(conn: Connection) -> Any:
    """The current day and slot, as `row["archive"]` and `row["taken"]`."""
    return await conn.fetchrow(_NOW)


async def make(conn: Connection, size: int = 1) -> None:
    """Make what is missing from now on; new partitions of the archive have `size` days. Safe to call from many processes."""
    async with conn.transaction():
        await conn.execute(_LOCK)
        today = await now(conn)
        for table, ahead in AHEAD.items():
            days = size if table == "archive" else 1
            for first, end in wanted(await listed(conn, table), today[table], days, ahead):
                await add(conn, Partition(table, first, end))


async def reach(conn: Connection, day: int, most: int) -> None:
    """Make what is missing of the archive from `day` on, but not more than `most` days before today. `make` comes first."""
    async with conn.transaction():
        await conn.execute(_LOCK)
        today = (await now(conn))["archive"]
        have = await listed(conn, "archive")
        for first, end in gaps(have, max(day, today - most), today):
            await add(conn, Partition("archive", first, end))


async def add(conn: Connection, one: Partition) -> None:
    """Make a partition and its index. Raises Postgres's error when it is there, or overlaps with another."""
    await conn.execute(f"CREATE TABLE {one.name} (LIKE {one.table})")
    await conn.execute(f"CREATE UNIQUE INDEX {one.name}_key ON {one.name} ({_KEYS[one.table]})")
    # It waits for nobody who reads or writes other partitions.
    await conn.execute(
        f"ALTER TABLE {one.table} ATTACH PARTITION {one.name} FOR VALUES FROM ({one.first}) TO ({one.end})"
    )


async def drop(conn: Connection, one: Partition) -> None:
    """Drop a partition with all that it has; an interrupted drop is only to be repeated.

    It is detached first, which lets those go on who read or write the table meanwhile.
    """
    if one.attached:
        how = "FINALIZE" if one.leaving else "CONCURRENTLY"
        await conn.execute(f"ALTER TABLE {one.table} DETACH PARTITION {one.name} {how}")
    await conn.execute(f"DROP TABLE {one.name}")
