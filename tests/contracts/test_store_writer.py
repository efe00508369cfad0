"""The group commit on a real Postgres: once and only once, in order, fenced, and through a crash of Postgres."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest
import trio
from tests.conftest import scratch_directory

from rookery.embedded import Postgres, start_postgres
from rookery.shared import config
from rookery.shared.db import migrate
from rookery.shared.db.api import Connection, Database, Fenced
from rookery.shared.db.bridge import open_database
from rookery.shared.observe.metrics import REGISTRY
from rookery.shared.store import partitions
from rookery.shared.store.holding import Held
from rookery.shared.store.reader import erase, owed_page
from rookery.shared.store.rows import Row, make_row
from rookery.shared.store.sql import insert_rows
from rookery.shared.store.writer import StoreWriter
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

pytestmark = pytest.mark.usefixtures("each_layout")

ME = "router-1"
STREAM = b"s" * 16
HELD = Held(0, 1)


def message(text: str) -> Stanza:
    return Stanza.build(
        "message",
        Element("jabber:client", "body", None, text),
        to="bob@example.org",
        from_="alice@example.org/x",
    )


def row(account: int, id: int, *, n: int | None = None, archived: bool = False, owed: bool = True) -> Row:
    return make_row(
        account, id, STREAM, id if n is None else n, message(f"text {id if n is None else n}"),
        peer="alice@example.org", outgoing=False, archived=archived, owed=owed, stamp=1_700_000_000.25 + id,
    )  # fmt: skip


async def seed(db: Database, accounts: int = 4) -> None:
    async def work(conn: Connection) -> None:
        await conn.execute("INSERT INTO domain (name) VALUES ('example.org')")
        await conn.execute(
            "INSERT INTO account (localpart, domain) SELECT 'user' || i, 'example.org' FROM generate_series(1, $1::int) i",
            accounts,
        )
        await conn.execute("INSERT INTO fence (incarnation) VALUES ($1)", ME)

    await db.run(0, work)


async def stored(db: Database) -> list[tuple[int, int]]:
    async def work(conn: Connection) -> list[tuple[int, int]]:
        return [tuple(r) for r in await conn.fetch("SELECT owner_id, id FROM stored ORDER BY owner_id, id")]

    return await db.run(0, work)


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("rookery_store_refused_total", {"reason": reason}) or 0.0


class Seen:
    """Collects what the writer said."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, bool | None]] = []
        self.failed: list[str] = []
        self._changed = trio.Event()

    def done(self, row: Row, new: bool | None) -> None:
        self.rows.append((row.owner_id, row.id, new))
        self._wake()

    def fail(self, reason: str) -> None:
        self.failed.append(reason)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def more(self) -> None:
        already = len(self.rows)
        await self.until(lambda: len(self.rows) > already)

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        with trio.fail_after(seconds):
            while not condition():
                await self._changed.wait()


@asynccontextmanager
async def running(db: Database, seen: Seen, **options: float) -> AsyncIterator[StoreWriter]:
    writer = StoreWriter(db, ME, seen.fail, **options)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        yield writer
        nursery.cancel_scope.cancel()


async def test_rows_are_there_when_done_is_called(database: Database) -> None:
    await seed(database)
    seen = Seen()
    async with running(database, seen) as writer:
        for id in range(1, 301):
            writer.put(row(id % 4 + 1, id), seen.done, HELD)
        assert seen.rows == []
        await seen.until(lambda: len(seen.rows) >= 1)
        there = set(await stored(database))
        assert {(account, id) for account, id, _ in seen.rows[:1]} <= there
        await writer.drain()
    assert len(seen.rows) == 300
    assert all(new for _, _, new in seen.rows)
    assert len(await stored(database)) == 300
    for account in range(1, 5):
        ids = [id for owner, id, _ in seen.rows if owner == account]
        assert ids == sorted(ids)
    assert writer.waiting == (0, 0)


async def test_who_asks_behind_a_row_is_answered_when_it_is_there(database: Database) -> None:
    await seed(database)
    seen, found = Seen(), list[int]()
    async with running(database, seen) as writer:
        writer.after(lambda: found.append(-1))
        assert found == [-1]
        for id in range(1, 4):
            writer.put(row(1, id), seen.done, HELD)
            writer.after(lambda: found.append(len(seen.rows)))
        assert found == [-1]
        await writer.drain()
    assert len(found) == 4
    assert all(stored >= asked for asked, stored in enumerate(found[1:], 1))


async def test_a_repetition_is_not_stored_but_done(database: Database) -> None:
    await seed(database)
    seen = Seen()
    async with running(database, seen) as writer:
        writer.put(row(1, 1, n=7), seen.done, HELD)
        await writer.drain()
        writer.put(row(1, 2, n=7), seen.done, HELD)
        writer.put(row(1, 3, n=8), seen.done, HELD)
        writer.put(row(2, 4, n=7), seen.done, HELD)
        await writer.drain()
    assert seen.rows == [(1, 1, True), (1, 2, False), (1, 3, True), (2, 4, True)]
    assert await stored(database) == [(1, 1), (1, 3), (2, 4)]


async def test_a_number_used_again_for_another_stanza_is_a_new_message(database: Database) -> None:
    await seed(database)
    seen = Seen()
    async with running(database, seen) as writer:
        writer.put(row(1, 1, n=7), seen.done, HELD)
        writer.put(row(1, 2, n=9)._replace(n=7), seen.done, HELD)
        await writer.drain()
    assert await stored(database) == [(1, 1), (1, 2)]


async def test_a_closed_fence_stops_every_write(database: Database) -> None:
    await seed(database)
    await database.run(0, lambda conn: conn.execute("UPDATE fence SET open = false"))
    seen = Seen()
    async with running(database, seen) as writer:
        writer.put(row(1, 1), seen.done, HELD)
        writer.settle(1, [1])
        await seen.until(lambda: bool(seen.failed))
    assert seen.rows == []
    assert len(seen.failed) == 1
    assert await stored(database) == []


async def test_an_unknown_incarnation_counts_as_fenced(database: Database) -> None:
    await seed(database)
    await database.run(0, lambda conn: conn.execute("DELETE FROM fence"))
    seen = Seen()
    async with running(database, seen) as writer:
        writer.put(row(1, 1), seen.done, HELD)
        await seen.until(lambda: bool(seen.failed))
    assert await stored(database) == []


async def test_closing_the_fence_waits_for_a_write_that_has_passed_it(
    database: Database, database_settings: config.Database
) -> None:
    await seed(database)

    async def write(conn: Connection) -> None:
        other = await asyncpg.connect(database_settings.url, server_settings={"lock_timeout": "200"})
        await partitions.make(conn)
        async with conn.transaction():
            await insert_rows(conn, ME, [row(1, 1)])
            with pytest.raises(asyncpg.LockNotAvailableError):
                await other.execute("UPDATE fence SET open = false")
        await other.execute("UPDATE fence SET open = false")
        await other.close()

    await database.run(0, write)
    assert await stored(database) == [(1, 1)]


async def test_a_message_with_the_id_of_another_is_refused_alone(database: Database) -> None:
    await seed(database)
    seen, before = Seen(), refused("collision")
    async with running(database, seen) as writer:
        writer.put(row(1, 1), seen.done, HELD)
        await writer.drain()
        writer.put(row(1, 2), seen.done, HELD)
        writer.put(row(1, 1, n=3), seen.done, HELD)
        writer.put(row(1, 4), seen.done, HELD)
        await writer.drain()
    assert seen.rows == [(1, 1, True), (1, 2, True), (1, 1, None), (1, 4, True)]
    assert await stored(database) == [(1, 1), (1, 2), (1, 4)]
    assert refused("collision") == before + 1
    assert seen.failed == []


#: What no table takes: NUL in a text (found by Postgres), a lone surrogate, a number without 64 bits, no value (found before).
POISON: list[dict[str, object]] = [{"peer": "a\0b"}, {"peer": "\ud800"}, {"n": 2**63}, {"digest": None}]


@pytest.mark.parametrize("poison", POISON, ids=str)
async def test_a_row_that_cannot_be_stored_costs_only_itself(
    database: Database, poison: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    await seed(database)
    seen, before = Seen(), refused("data")
    async with running(database, seen) as writer:
        for id in range(1, 101):
            good = row(id % 4 + 1, id)
            writer.put(good._replace(**poison) if id in (13, 77) else good, seen.done, HELD)  # type: ignore[arg-type]
        with trio.fail_after(20):
            await writer.drain()
        writer.put(row(1, 101), seen.done, HELD)
        await writer.drain()
    assert [id for _, id, new in seen.rows if new is None] == [13, 77]
    assert sorted(id for _, id in await stored(database)) == sorted({*range(1, 102)} - {13, 77})
    for account in range(1, 5):
        ids = [id for owner, id, _ in seen.rows if owner == account]
        assert ids == sorted(ids), "the order of an account is kept"
    assert writer.waiting == (0, 0)
    assert refused("data") == before + 2
    assert seen.failed == []
    assert capsys.readouterr().out.count("store_row_refused") == 1


async def test_an_error_of_the_database_itself_is_waited_out(database: Database) -> None:
    await seed(database)
    seen = Seen()
    await database.run(0, lambda conn: conn.execute("ALTER TABLE installation RENAME TO away"))
    async with running(database, seen) as writer:
        writer.put(row(1, 1), seen.done, HELD)
        with trio.move_on_after(0.3):
            await seen.more()
        assert seen.rows == []
        await database.run(0, lambda conn: conn.execute("ALTER TABLE away RENAME TO installation"))
        with trio.fail_after(20):
            await writer.drain()
    assert seen.rows == [(1, 1, True)]
    assert seen.failed == []


async def test_what_is_stored_for_a_removed_account_is_swept(database: Database) -> None:
    await seed(database)
    seen = Seen()
    async with running(database, seen) as writer:
        for id in range(1, 11):
            writer.put(row(id % 2 + 1, id), seen.done, HELD)
        writer.put(row(99, 11), seen.done, HELD)  # its router has not heard of it yet
        await writer.drain()
    await database.run(0, lambda conn: conn.execute("INSERT INTO erased VALUES (99, to_timestamp(1000))"))
    for before, gone, left in ((500.0, 1, 1), (999.0, 0, 1), (1001.0, 0, 0)):
        assert await database.run(0, partial(erase, incarnation=ME, before=before)) == gone
        assert await database.run(0, lambda conn: conn.fetchval("SELECT count(*) FROM erased")) == left
    assert len(await stored(database)) == 10
    with pytest.raises(Fenced):
        await database.run(0, partial(erase, incarnation="somebody", before=0.0))


async def test_rows_of_a_partition_that_was_given_up_are_not_written(database: Database) -> None:
    await seed(database)
    seen, asked = Seen(), list[int]()
    given, kept = Held(1, 1), Held(2, 1)
    async with running(database, seen) as writer:
        for id in range(1, 9):
            writer.put(row(id % 2 + 1, id), seen.done, given if id % 2 else kept)
        writer.after(lambda: asked.append(len(seen.rows)))
        given.live = False
        with trio.fail_after(10):
            await writer.drain()
        writer.put(row(2, 9), seen.done, given)
        with trio.fail_after(10):
            await writer.drain()
    assert await stored(database) == [(1, id) for id in (2, 4, 6, 8)]
    assert seen.rows == [(1, id, True) for id in (2, 4, 6, 8)], "nobody is told of the others"
    assert asked == [4]
    assert writer.waiting == (0, 0)


async def test_what_waited_for_postgres_is_not_written_once_its_partition_was_given_up(
    database: Database,
) -> None:
    await seed(database)
    seen, given = Seen(), Held(1, 1)
    await database.run(0, lambda conn: conn.execute("ALTER TABLE installation RENAME TO away"))
    async with running(database, seen) as writer:
        writer.put(row(1, 1), seen.done, given)
        writer.put(row(2, 2), seen.done, HELD)
        with trio.move_on_after(0.2):
            await seen.more()
        given.live = False
        await database.run(0, lambda conn: conn.execute("ALTER TABLE away RENAME TO installation"))
        with trio.fail_after(20):
            await writer.drain()
    assert await stored(database) == [(2, 2)]
    assert seen.rows == [(2, 2, True)]
    assert writer.waiting == (0, 0)


async def test_settled_rows_go_or_are_no_longer_owed(database: Database) -> None:
    await seed(database)
    seen = Seen()
    async with running(database, seen) as writer:
        for id in range(1, 7):
            writer.put(row(1, id, archived=id % 2 == 0), seen.done, HELD)
        # The client is quicker than the commit.
        writer.settle(1, [1, 2, 3, 4])
        await writer.drain()
        writer.settle(2, [5, 6])  # not theirs
        await writer.drain()
    assert await stored(database) == [(1, 2), (1, 4), (1, 5), (1, 6)]
    owed = await database.run(0, lambda conn: owed_page(conn, 1))
    assert [one.id for one in owed] == [5, 6]
    assert len(await database.run(0, lambda conn: owed_page(conn, 1))) == 2


async def test_it_says_when_no_more_should_be_taken(database: Database) -> None:
    await seed(database)
    seen = Seen()
    writer = StoreWriter(database, ME, seen.fail, max_rows=3)
    said = []
    for id in range(1, 4):
        said.append(writer.full)
        writer.put(row(1, id), seen.done, HELD)
    said.append(writer.full)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await writer.drain()
        said.append(writer.full)
        nursery.cancel_scope.cancel()
    assert said == [False, False, False, True, False]


async def test_large_rows_go_in_several_commits(database: Database) -> None:
    await seed(database)
    seen = Seen()
    big = row(1, 1)
    async with running(database, seen) as writer:
        for id in range(1, 41):
            writer.put(big._replace(id=id, n=id, stanza=random.randbytes(262_144)), seen.done, HELD)
        await writer.drain()
    assert len(await stored(database)) == 40


class Killable:
    """A Postgres that a test may kill, on data that outlives it."""

    def __init__(self) -> None:
        self._home = scratch_directory()
        self.server: Postgres = start_postgres(self._home)

    def kill(self) -> None:
        self.server.process.send_signal(signal.SIGKILL)
        self.server.wait()

    def restart(self) -> None:
        self.server.stop()
        self.server = start_postgres(self._home, port=self.server.port)

    def remove(self) -> None:
        self.server.stop()
        shutil.rmtree(self._home)


@pytest.fixture
def killable() -> Iterator[Killable]:
    it = Killable()
    yield it
    it.remove()


@pytest.mark.slow
async def test_postgres_killed_in_the_middle_keeps_every_row_exactly_once(killable: Killable) -> None:
    settings = config.Database(url=killable.server.url)
    await migrate.up(settings)
    seen = Seen()
    async with open_database(settings) as db:
        await seed(db, 50)
        async with running(db, seen, delay_ms=1.0, rows=16) as writer:
            for turn in range(3):
                for id in range(turn * 400 + 1, turn * 400 + 401):
                    writer.put(row(id % 50 + 1, id), seen.done, HELD)
                    if id % 20 == 0:
                        await trio.lowlevel.checkpoint()
                    if id % 400 == 200 + 40 * turn:
                        await seen.more()
                        killable.kill()
                killable.restart()
            with trio.fail_after(30):
                await writer.drain()
        assert len(seen.rows) == 1200
        assert {id for _, id, _ in seen.rows} == set(range(1, 1201))
        assert sorted(id for _, id in await stored(db)) == list(range(1, 1201))
    assert seen.failed == []
