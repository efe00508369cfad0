"""The database thread on a real Postgres: hand-over, cancellation, limits, errors, reconnection."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import pytest
import trio
import trio.testing
from tests.conftest import scratch_directory

from rookery.embedded import start_postgres
from rookery.shared import config
from rookery.shared.db import pool
from rookery.shared.db.api import Connection, Database, DatabaseUnavailable, UnitOfWork
from rookery.shared.db.bridge import Bridge, open_database

Count = Callable[[str], Awaitable[int]]


def changed(settings: config.Database, **values: object) -> config.Database:
    return msgspec.structs.replace(settings, **values)


def value(query: str, *args: object) -> UnitOfWork[object]:
    async def work(conn: Connection) -> object:
        return await conn.fetchval(query, *args)

    return work


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Wait until an asynchronous check holds."""
    with trio.fail_after(seconds):
        while True:
            if await check():
                return
            await trio.sleep(0.02)


@asynccontextmanager
async def watching(settings: config.Database) -> AsyncIterator[Count]:
    """Counts the sessions on the database, beside that of the counter itself, that fulfil a condition."""
    async with open_database(settings) as db:

        async def count(condition: str = "true") -> int:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                f" AND pid <> pg_backend_pid() AND {condition}"
            )
            got = await db.run(0, value(query))
            assert isinstance(got, int)
            return got

        yield count


async def test_values_and_errors_come_back_to_whoever_asked(database: Database) -> None:
    got: dict[int, object] = {}

    async def ask(number: int) -> None:
        if number % 10 == 0:
            with pytest.raises(asyncpg.DivisionByZeroError):
                await database.run(0, value("SELECT 1 / ($1::int - $1)", number))
        got[number] = await database.run(0, value("SELECT $1::int", number))

    async with trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(ask, number)
    assert got == {number: number for number in range(300)}


async def test_an_error_of_the_caller_is_not_an_unavailable_database(database: Database) -> None:
    with pytest.raises(asyncpg.InterfaceError):
        await database.run(0, value("SELECT $1::int"))
    with pytest.raises(asyncpg.DataError):
        await database.run(0, value("SELECT $1::int", "no number"))
    with pytest.raises(asyncpg.UndefinedTableError):
        await database.run(0, value("SELECT * FROM nothing"))
    assert database.healthy


async def test_a_cancelled_caller_goes_at_once_and_its_statement_too(
    database_settings: config.Database,
) -> None:
    async with (
        watching(database_settings) as count,
        open_database(changed(database_settings, pool_max=1)) as db,
    ):
        with trio.move_on_after(0.2) as scope:
            await db.run(0, value("SELECT pg_sleep(4)"))
        assert scope.cancelled_caught
        with trio.fail_after(2):
            assert await db.run(0, value("SELECT 1")) == 1
        assert await count("query LIKE '%pg_sleep(4)%' AND state = 'active'") == 0
        assert await count("true") == 1


async def test_a_cancelled_transaction_is_rolled_back_and_its_locks_are_free(database: Database) -> None:
    async def slow(conn: Connection) -> None:
        async with conn.transaction():
            await conn.execute("INSERT INTO domain (name) VALUES ('half.example')")
            await conn.fetchval("SELECT pg_sleep(4)")

    with trio.move_on_after(0.2):
        await database.run(0, slow)
    with trio.fail_after(2):
        await database.run(0, lambda conn: conn.execute("INSERT INTO domain (name) VALUES ('half.example')"))
    assert await database.run(0, value("SELECT count(*) FROM domain")) == 1


async def test_work_that_nobody_waits_for_any_more_is_never_started(
    database_settings: config.Database,
) -> None:
    ran: list[str] = []

    async def note(_conn: Connection) -> None:
        ran.append("ran")

    async with open_database(changed(database_settings, pool_max=1)) as db, trio.open_nursery() as nursery:
        nursery.start_soon(db.run, 0, value("SELECT pg_sleep(0.5)"))
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.1):
            await db.run(0, note)
        assert await db.run(0, value("SELECT 7")) == 7
    assert ran == []


async def test_a_storm_of_cancellations_leaks_no_connection(database_settings: config.Database) -> None:
    rng = random.Random(7)
    async with (
        watching(database_settings) as count,
        open_database(changed(database_settings, pool_max=3)) as db,
    ):

        async def one(seconds: float, patience: float) -> None:
            with trio.move_on_after(patience):
                await db.run(0, value("SELECT pg_sleep($1)", seconds))

        async with trio.open_nursery() as nursery:
            for _ in range(150):
                nursery.start_soon(one, rng.uniform(0, 0.02), rng.uniform(0, 0.3))
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(db.run, 0, value("SELECT 1"))
        await eventually(lambda: _at_most(count, 3))


async def _at_most(count: Count, limit: int) -> bool:
    return await count("true") <= limit


async def test_an_open_transaction_is_the_callers_error_and_costs_the_connection(
    database_settings: config.Database,
) -> None:
    async with open_database(changed(database_settings, pool_max=1)) as db:

        async def forgetful(conn: Connection) -> None:
            await conn.execute("BEGIN")

        session = await db.run(0, value("SELECT pg_backend_pid()"))
        with pytest.raises(RuntimeError, match="transaction open"):
            await db.run(0, forgetful)
        assert await db.run(0, value("SELECT pg_backend_pid()")) != session


async def test_statements_and_locks_have_limits(database_settings: config.Database) -> None:
    limited = changed(database_settings, statement_timeout=0.3, lock_timeout=0.1)
    async with open_database(limited) as db:
        with pytest.raises(DatabaseUnavailable, match="statement timeout"):
            await db.run(0, value("SELECT pg_sleep(3)"))
        health = [db.healthy]
        assert await db.run(0, value("SHOW idle_in_transaction_session_timeout")) == "10s"
        assert [*health, db.healthy] == [False, True]

        async with open_database(database_settings) as other, trio.open_nursery() as nursery:
            locked = trio.Event()
            nursery.start_soon(_hold_lock, other, locked)
            await locked.wait()
            with pytest.raises(DatabaseUnavailable, match="lock timeout"):
                await db.run(0, value("SELECT count(*) FROM domain"))
            nursery.cancel_scope.cancel()


async def _hold_lock(db: Database, locked: trio.Event) -> None:
    token = trio.lowlevel.current_trio_token()

    async def work(conn: Connection) -> None:
        async with conn.transaction():
            await conn.execute("LOCK TABLE domain")
            token.run_sync_soon(locked.set)
            await conn.execute("SELECT pg_sleep(4)")

    await db.run(0, work)


async def test_a_deadlock_is_tried_again(database: Database) -> None:
    await database.run(0, lambda conn: conn.execute("INSERT INTO domain (name) VALUES ('a'), ('b')"))

    def both(first: str, second: str) -> UnitOfWork[None]:
        async def work(conn: Connection) -> None:
            async with conn.transaction():
                for name in (first, second):
                    await conn.execute("UPDATE domain SET registration = true WHERE name = $1", name)
                    await conn.execute("SELECT pg_sleep(0.1)")

        return work

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.run, 0, both("a", "b"))
        nursery.start_soon(database.run, 0, both("b", "a"))
    assert await database.run(0, value("SELECT bool_and(registration) FROM domain")) is True


async def test_a_terminated_session_is_replaced(database_settings: config.Database) -> None:
    async with open_database(changed(database_settings, pool_max=1)) as db:
        with pytest.raises(DatabaseUnavailable):
            await db.run(0, value("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert await db.run(0, value("SELECT 1")) == 1


async def test_it_works_without_prepared_statements_for_poolers(database_settings: config.Database) -> None:
    async with open_database(changed(database_settings, statement_cache=0)) as db:
        for number in range(3):
            assert await db.run(0, value("SELECT $1::int + 1", number)) == number + 1
        assert await db.run(0, value("SELECT count(*) FROM pg_prepared_statements")) == 0


async def test_two_databases_at_once_do_not_mix(
    database_settings: config.Database, empty_database_url: str
) -> None:
    async with (
        open_database(database_settings) as one,
        open_database(config.Database(url=empty_database_url)) as two,
    ):
        names = [await db.run(0, value("SELECT current_database()")) for db in (one, two, one)]
        assert names[0] == names[2] != names[1]
        assert await one.run(0, value("SELECT to_regclass('message') IS NOT NULL")) is True
        assert await two.run(0, value("SELECT to_regclass('message') IS NOT NULL")) is False


async def test_closing_interrupts_and_later_calls_are_refused(database_settings: config.Database) -> None:
    failed: list[str] = []

    async def wait(db: Bridge) -> None:
        try:
            await db.run(0, value("SELECT pg_sleep(4)"))
        except DatabaseUnavailable as exc:
            failed.append(str(exc))

    async with watching(database_settings) as count, trio.open_nursery() as nursery:
        with trio.fail_after(3):
            async with open_database(database_settings) as db:
                nursery.start_soon(wait, db)
                await eventually(lambda: _sleeping(count))
        with pytest.raises(DatabaseUnavailable):
            await db.run(0, value("SELECT 1"))
        await eventually(lambda: _at_most(count, 0))
    assert failed == ["interrupted: the database is being closed"]


async def _sleeping(count: Count) -> bool:
    return await count("query LIKE '%pg_sleep%' AND state = 'active'") == 1


async def test_connections_that_are_not_needed_are_given_back(
    database_settings: config.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SPARE_SECONDS", 0.1)
    async with watching(database_settings) as count, open_database(database_settings) as db:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(db.run, 0, value("SELECT pg_sleep(0.1)"))
        await eventually(lambda: _at_most(count, 1))
        assert await db.run(0, value("SELECT 1")) == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://rookery:hunter2/x@127.0.0.1:1/rookery",
        "postgresql://rookery:hunter2@127.0.0.1:1/rookery",
        "mysql://rookery:hunter2@127.0.0.1/rookery",
        "hunter2",
    ],
)
async def test_an_unusable_url_is_told_without_its_password(url: str) -> None:
    async with open_database(config.Database(url=url)) as db:
        with pytest.raises(DatabaseUnavailable, match="cannot connect") as caught:
            await db.run(0, value("SELECT 1"))
    assert "hunter2" not in str(caught.value)
    assert not db.healthy


async def test_a_wrong_password_is_told_without_it(database_settings: config.Database) -> None:
    user, _, rest = database_settings.url.partition("@")
    url = f"{user.rpartition(':')[0]}:hunter2@{rest}"
    async with open_database(config.Database(url=url)) as db:
        with pytest.raises(DatabaseUnavailable, match="password authentication failed") as caught:
            await db.run(0, value("SELECT 1"))
    assert "hunter2" not in str(caught.value)


async def _refused(db: Database) -> bool:
    try:
        await db.run(0, value("SELECT 1"))
    except DatabaseUnavailable:
        return True
    return False


@pytest.mark.slow
async def test_it_finds_a_postgres_that_comes_back() -> None:
    home = scratch_directory()
    server = start_postgres(home)
    try:
        async with open_database(config.Database(url=server.url)) as db:
            assert await db.run(0, value("SELECT 1")) == 1
            server.process.send_signal(signal.SIGKILL)
            server.wait()
            # The server's session outlives it for a moment.
            await eventually(lambda: _refused(db))
            assert [await _refused(db) for _ in range(5)] == [True] * 5
            health = [db.healthy]
            server.stop()
            server = start_postgres(home, port=server.port)

            with trio.fail_after(10):
                while await _refused(db):
                    pass
            assert [*health, db.healthy] == [False, True]
    finally:
        server.stop()
        shutil.rmtree(home)
