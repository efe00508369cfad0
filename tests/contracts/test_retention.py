"""What is let go of on a real Postgres: days, uids, what domains keep less of; and that no debt goes with a day."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from tests.contracts.test_store_writer import HELD, ME, STREAM, row, seed

from rookery.shared import config
from rookery.shared.bus.messages import Kind
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.config import Config
from rookery.shared.db.api import Connection, Database, Fenced
from rookery.shared.db.bridge import open_database
from rookery.shared.store import partitions, retention
from rookery.shared.store.partitions import Partition
from rookery.shared.store.reader import owed_page, stored_uids
from rookery.shared.store.rows import Row
from rookery.shared.store.sql import insert_missing, insert_rows, owe_rows, settle_rows
from rookery.shared.store.writer import StoreWriter
from rookery.shared.xeps import message_archive
from rookery.workers.offline import expiry


async def stored(db: Database) -> list[tuple[int, int]]:
    rows = await db.run(0, lambda c: c.fetch("SELECT owner_id, id FROM stored ORDER BY 1, 2"))
    return [tuple(one) for one in rows]


async def put(db: Database, *rows: Row) -> None:
    await db.run(0, lambda c: insert_rows(c, ME, rows))


async def age(db: Database, days: int) -> int:
    """Let all that is archived have been stored so many days ago; returns that day."""
    today: int = (await db.run(0, partitions.now))["archive"]

    async def work(conn: Connection) -> None:
        await partitions.make(conn)
        have = await partitions.listed(conn, "archive")
        if all(one.first != today - days for one in have):
            await partitions.add(conn, Partition("archive", today - days, today - days + 1))
        await conn.execute("UPDATE archive SET day = $1 WHERE day = $2", today - days, today)

    await db.run(0, work)
    return today - days


async def age_uids(db: Database, slots: int) -> None:
    """Let all that was taken have been taken so many slots ago."""
    now: int = (await db.run(0, partitions.now))["taken"]

    async def work(conn: Connection) -> None:
        await partitions.add(conn, Partition("taken", now - slots, now - slots + 1))
        await conn.execute("UPDATE taken SET slot = $1", now - slots)

    await db.run(0, work)


def sweeper(db: Database, **options: int) -> FakeNode:
    """The process that sweeps; its incarnation is the one that `seed` has let write."""
    settings = Config(message_archive=message_archive.Options(**options))
    return FakeCluster().node(ME, Kind.OFFLINE, config=settings, db=db)


async def test_partitions_are_made_ahead_once_by_whoever_is_first(
    database: Database, database_settings: config.Database
) -> None:
    await seed(database)
    async with open_database(database_settings) as other, trio.open_nursery() as nursery:
        for db in (database, other, database, other):
            nursery.start_soon(db.run, 0, partitions.make)
    for table, ahead in partitions.AHEAD.items():
        have = await database.run(0, partial(partitions.listed, table=table))
        now = (await database.run(0, partitions.now))[table]
        assert [(one.first, one.end) for one in have] == [(now + i, now + i + 1) for i in range(ahead + 1)]
        assert all(one.attached and not one.leaving for one in have)


async def test_a_writer_makes_the_day_that_nobody_has_made(database: Database) -> None:
    await seed(database)
    for table in partitions.AHEAD:
        assert await database.run(0, partial(partitions.listed, table=table)) == []
    await put(database, row(1, 1, archived=True))
    assert await stored(database) == [(1, 1)]
    for table in partitions.AHEAD:
        for one in await database.run(0, partial(partitions.listed, table=table)):
            await database.run(0, partial(partitions.drop, one=one))
    await database.run(0, lambda c: insert_missing(c, ME, [row(1, 2, archived=True)]))
    assert await stored(database) == [(1, 1), (1, 2)], "the debt of the first outlives its day"


async def test_days_that_nobody_keeps_go_whole_and_take_no_debt_with_them(database: Database) -> None:
    await seed(database)
    await put(
        database,
        row(1, 1, archived=True, owed=False),
        row(1, 2, archived=True, owed=True),
        row(2, 3, archived=False, owed=True),
    )
    old = await age(database, 4)
    await put(database, row(1, 9, archived=True, owed=False))
    node = sweeper(database, days=5)
    assert await expiry.sweep(node, 0.0) == 0
    assert len(await stored(database)) == 4
    node = sweeper(database, days=3)
    assert await expiry.sweep(node, 0.0) == 0
    assert await stored(database) == [(1, 2), (1, 9), (2, 3)]
    assert [one.id for one in await database.run(0, lambda c: owed_page(c, 1))] == [2]
    have = await database.run(0, partial(partitions.listed, table="archive"))
    assert all(one.first > old for one in have)


async def test_a_drop_that_was_interrupted_is_done_again(database: Database) -> None:
    await seed(database)
    await put(database, row(1, 1, archived=True, owed=False))
    day = await age(database, 9)
    await database.run(
        0, lambda c: c.execute(f"ALTER TABLE archive DETACH PARTITION archive_{day}_{day + 1}")
    )
    await database.run(0, lambda c: partitions.add(c, Partition("archive", day - 1, day)))
    await database.run(
        0,
        lambda c: c.execute(
            "UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = $1::text::regclass", f"archive_{day - 1}_{day}"
        ),
    )  # fmt: skip
    gone, _ = await database.run(0, partial(retention.prepare, incarnation=ME, longest=3))
    assert [(one.first, one.attached, one.leaving) for one in gone] == [
        (day - 1, True, True),
        (day, False, False),
    ]
    await expiry.sweep(sweeper(database, days=3), 0.0)
    have = await database.run(0, partial(partitions.listed, table="archive"))
    assert all(one.first > day for one in have)


async def test_who_reads_a_day_delays_its_drop_and_no_writer(
    database: Database, database_settings: config.Database
) -> None:
    await seed(database)
    await put(database, row(1, 1, archived=True, owed=False))
    await age(database, 9)
    reading, done = trio.Event(), trio.Event()

    async def backup(db: Database) -> None:
        async def work(conn: Connection) -> None:
            async with conn.transaction():
                await conn.fetch("SELECT FROM archive")
                trio.from_thread.run_sync(reading.set, trio_token=token)
                while not done.is_set():
                    await conn.fetch("SELECT pg_sleep(0.02)")

        await db.run(0, work)

    token = trio.lowlevel.current_trio_token()
    hasty = config.Database(url=database_settings.url, lock_timeout=0.2)
    async with open_database(hasty) as other, trio.open_nursery() as nursery:
        nursery.start_soon(backup, database)
        await reading.wait()
        await expiry.sweep(sweeper(other, days=3), 0.0)
        with trio.fail_after(5):
            await put(database, row(1, 2, archived=True, owed=False))
        done.set()
    await expiry.sweep(sweeper(database, days=3), 0.0)
    assert await stored(database) == [(1, 2)]


async def test_domains_keep_what_their_policies_say(database: Database) -> None:
    """The longest decides which days are dropped; shorter ones are cut from the days that stay, once."""
    await seed(database)
    await database.run(
        0, lambda c: c.execute("INSERT INTO domain (name, policy) VALUES ('short.org', '{\"archive_days\": 2}'), ('long.org', '{\"archive_days\": 9}')")
    )  # fmt: skip
    short, long = [
        await database.run(
            0, lambda c, d=d: c.fetchval("INSERT INTO account (localpart, domain) VALUES ('a', $1) RETURNING id", d)
        )  # type: ignore[misc]
        for d in ("short.org", "long.org")
    ]  # fmt: skip
    await put(database, *[row(owner, 1, archived=True, owed=owner == short) for owner in (1, short, long)])
    await age(database, 4)
    await put(database, *[row(owner, 2, archived=True, owed=False) for owner in (1, short, long)])
    node = sweeper(database, days=5)
    await expiry.sweep(node, 0.0)
    assert await stored(database) == [(1, 1), (1, 2), (short, 1), (short, 2), (long, 1), (long, 2)], (
        "what is owed is still there"
    )
    await database.run(0, lambda c: settle_rows(c, ME, [(short, 1)]))
    assert await stored(database) == [(1, 1), (1, 2), (short, 2), (long, 1), (long, 2)]
    today = (await database.run(0, partitions.now))["archive"]
    found = await database.run(0, lambda c: retention.domains(c, 5))
    assert {one.name: (one.days, one.trimmed) for one in found} == {
        "example.org": (5, today - 5), "short.org": (2, today - 2), "long.org": (9, 0),
    }  # fmt: skip
    await expiry.sweep(sweeper(database, days=3), 0.0)
    assert await stored(database) == [(1, 2), (short, 2), (long, 1), (long, 2)]


async def test_archives_that_have_grown_too_long_are_trimmed(database: Database) -> None:
    await seed(database)
    writer = StoreWriter(database, ME, pytest.fail)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        for id in range(1, 13):
            writer.put(row(1 if id < 11 else 2, id, archived=True, owed=False), lambda row, new: None, HELD)
        writer.put(row(3, 13, archived=False, owed=True), lambda row, new: None, HELD)
        await writer.drain()
        await writer.tell_growth()
        nursery.cancel_scope.cancel()
    growth = "SELECT owner_id, added FROM archive_growth ORDER BY 1"
    assert [tuple(r) for r in await database.run(0, lambda c: c.fetch(growth))] == [(1, 10), (2, 2)]
    node = sweeper(database, messages=4)
    assert await expiry.sweep(node, 0.0) == 6
    assert await stored(database) == [(1, id) for id in (7, 8, 9, 10)] + [(2, 11), (2, 12), (3, 13)]
    assert await database.run(0, lambda c: c.fetch(growth)) == [], "nobody is looked at again before it grows"


async def test_a_repetition_is_known_for_a_day_and_over_the_border_of_a_slot(database: Database) -> None:
    await seed(database)
    await put(database, row(1, 1, archived=True, owed=False))
    await age_uids(database, 3)
    repeated = row(1, 2, n=1, archived=True, owed=False)
    got = await database.run(
        0, lambda c: insert_rows(c, ME, [repeated, row(1, 3, archived=True, owed=False)])
    )
    assert got.new == {(1, 3)}
    await database.run(0, lambda c: insert_missing(c, ME, [repeated._replace(id=7)]))
    assert await stored(database) == [(1, 1), (1, 3)]
    assert await database.run(0, lambda c: stored_uids(c, [(1, STREAM, 1)])) == {(1, STREAM, 1): (1, False)}
    await expiry.sweep(sweeper(database), 0.0)
    assert await database.run(0, lambda c: stored_uids(c, [(1, STREAM, 1)]))
    await database.run(0, lambda c: c.execute("DELETE FROM taken WHERE n = 3"))
    await age_uids(database, 9)
    await expiry.sweep(sweeper(database), 0.0)
    assert await database.run(0, lambda c: stored_uids(c, [(1, STREAM, 1)])) == {}
    assert await stored(database) == [(1, 1), (1, 3)]


async def test_what_version_2_stored_is_known_and_read_after_the_switch(database: Database) -> None:
    """Processes of both versions write until version 2 has ended; then old rows and new ones are one archive, without repetitions."""
    await seed(database)
    await database.run(0, lambda c: c.execute("UPDATE installation SET archive_from = NULL"))
    await put(
        database,
        row(1, 1, archived=True, owed=True),
        row(1, 2, archived=True, owed=False),
        row(2, 2, archived=False),
    )
    await database.run(0, lambda c: c.execute("UPDATE installation SET archive_from = now()"))
    got = await database.run(
        0, lambda c: insert_rows(c, ME, [row(1, 8, n=1, archived=True), row(1, 9, archived=True)])
    )
    assert got.new == {(1, 9)}
    await database.run(
        0,
        lambda c: insert_missing(
            c, ME, [row(1, 2, n=77, archived=True, owed=False), row(1, 10, n=2, archived=True, owed=False)]
        ),
    )
    assert await stored(database) == [(1, 1), (1, 2), (1, 9), (2, 2)]
    owed = partial(owed_page, owner_id=1)
    assert [one.id for one in await database.run(0, owed)] == [1, 9]
    await database.run(0, lambda c: owe_rows(c, ME, [(1, 2), (1, 9)]))
    assert [one.id for one in await database.run(0, owed)] == [1, 2, 9]
    await database.run(0, lambda c: settle_rows(c, ME, [(1, 1), (1, 9), (2, 2)]))
    assert [one.id for one in await database.run(0, owed)] == [2]
    assert await stored(database) == [(1, 1), (1, 2), (1, 9)]
    found = await database.run(0, lambda c: stored_uids(c, [(1, STREAM, n) for n in (1, 2, 9)]))
    assert found == {(1, STREAM, 1): (1, False), (1, STREAM, 2): (2, True), (1, STREAM, 9): (9, False)}


async def test_a_fenced_process_drops_nothing(database: Database) -> None:
    await seed(database)
    await put(database, row(1, 1, archived=True, owed=False))
    day = await age(database, 9)
    for work in (
        partial(retention.prepare, incarnation="somebody", longest=3),
        partial(retention.drop, incarnation="somebody", one=Partition("archive", day, day + 1)),
        partial(retention.cut, incarnation="somebody", whose=[1], first=0, end=day + 1, limit=9),
        partial(retention.trim, incarnation="somebody", owner_id=1, last=9, limit=9),
    ):
        with pytest.raises(Fenced):
            await database.run(0, work)
    await database.run(0, lambda c: retention.grow(c, "somebody", {1: 5}))
    assert await database.run(0, lambda c: c.fetchval("SELECT count(*) FROM archive_growth")) == 0
    assert await stored(database) == [(1, 1)]
