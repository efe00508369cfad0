"""Migrations on a real Postgres: from nothing, from the state before, from many processes, and out of step."""

from __future__ import annotations

from functools import partial

import asyncpg
import msgspec
import pytest
import trio
from tests.conftest import run_sql

from rookery.shared import config
from rookery.shared.db import migrate
from rookery.shared.db.api import Connection, DatabaseUnavailable
from rookery.shared.db.bridge import open_database
from rookery.shared.db.migrate import Migration, SchemaError, parse


@pytest.fixture
def empty(empty_database_url: str) -> config.Database:
    return config.Database(url=empty_database_url)


def scripts(*extra: Migration) -> list[Migration]:
    return [*migrate.load(), *extra]


def script(text: str, offset: int = 1) -> Migration:
    return parse(f"{migrate.load()[-1].number + offset:04}_test_{offset}.sql", text)


async def fetch(settings: config.Database, query: str) -> object:
    async def work(conn: Connection) -> object:
        return await conn.fetchval(query)

    async with open_database(settings) as db:
        return await db.run(0, work)


async def test_an_empty_database_becomes_current(empty: config.Database) -> None:
    lines: list[str] = []
    async with open_database(empty) as db:
        with pytest.raises(SchemaError, match="rookery migrate"):
            await migrate.check(db)
        status = await migrate.up(empty, report=lines.append)
        assert status.pending == []
        assert lines[0] == "0001_base"
        assert len(lines) == len(migrate.load())
        await migrate.check(db)
        assert await migrate.status(db) == status
    assert (await migrate.up(empty, report=lines.append)).version == len(lines)
    assert len(lines) == len(migrate.load()), "nothing is applied twice"


async def test_every_state_before_the_current_one_can_be_migrated(empty: config.Database) -> None:
    """Rows written at each state are still there at the end."""
    for number in range(1, migrate.load()[-1].number + 1):
        status = await migrate.up(empty, target=number)
        assert status.version == number
        await fetch(empty, f"INSERT INTO domain (name) VALUES ('d{number}') RETURNING 1")
    assert await fetch(empty, "SELECT count(*) FROM domain WHERE name LIKE 'd%'") == migrate.load()[-1].number


async def test_many_processes_may_migrate_at_once(empty: config.Database) -> None:
    lines: list[str] = []
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(lambda: migrate.up(empty, report=lines.append))
    assert len(lines) == len(migrate.load())


async def test_a_schema_that_is_newer_by_an_addition_is_fine(empty: config.Database) -> None:
    await migrate.up(
        empty, files=scripts(script("ALTER TABLE domain ADD COLUMN test integer NOT NULL DEFAULT 0;"))
    )
    async with open_database(empty) as db:
        await migrate.check(db)
    await fetch(empty, "INSERT INTO domain (name) VALUES ('old-version.example') RETURNING 1")


async def test_a_schema_that_lost_what_we_need_is_refused(empty: config.Database) -> None:
    await migrate.up(empty, files=scripts(script("-- contract\nALTER TABLE account DROP COLUMN email;")))
    async with open_database(empty) as db:
        with pytest.raises(SchemaError, match="too new"):
            await migrate.check(db)


async def test_a_file_that_was_changed_after_it_was_applied_is_refused(empty: config.Database) -> None:
    await migrate.up(empty)
    await fetch(empty, "UPDATE migration SET checksum = '\\x00' WHERE number = 1 RETURNING 1")
    async with open_database(empty) as db:
        for attempt in (migrate.check(db), migrate.up(empty)):
            with pytest.raises(SchemaError, match="not the file that was applied"):
                await attempt


async def test_a_file_that_fails_leaves_nothing_of_itself_and_keeps_those_before(
    empty: config.Database,
) -> None:
    good = script("CREATE TABLE good (id integer);")
    bad = script("CREATE TABLE bad (id integer);\nSELECT 1 / 0;", 2)
    with pytest.raises(Exception, match="division by zero"):
        await migrate.up(empty, files=scripts(good, bad))
    assert await fetch(empty, "SELECT to_regclass('good') IS NOT NULL AND to_regclass('bad') IS NULL")
    assert await fetch(empty, "SELECT max(number) FROM migration") == good.number
    fixed = script("CREATE TABLE bad (id integer);", 2)
    assert (await migrate.up(empty, files=scripts(good, fixed))).version == fixed.number


async def test_an_index_can_be_made_beside_running_writers(empty: config.Database) -> None:
    text = "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS test_index ON account (email);"
    assert (await migrate.up(empty, files=scripts(script(text)))).pending == []
    assert (
        await fetch(empty, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'test_index'::regclass")
        is True
    )


async def test_it_waits_for_a_long_transaction_without_blocking_others(empty: config.Database) -> None:
    await migrate.up(empty)
    impatient = msgspec.structs.replace(empty, lock_timeout=0.1)
    change = script("ALTER TABLE domain ADD COLUMN test integer;")
    token = trio.lowlevel.current_trio_token()
    reading = trio.Event()

    async def read(conn: Connection) -> None:
        async with conn.transaction():
            await conn.fetch("SELECT * FROM domain")
            token.run_sync_soon(reading.set)
            await conn.fetch("SELECT pg_sleep(0.8)")

    async with open_database(empty) as db, trio.open_nursery() as nursery:
        nursery.start_soon(db.run, 0, read)
        await reading.wait()
        assert (await migrate.up(impatient, files=scripts(change))).version == change.number


async def test_nothing_to_migrate_when_postgres_is_away() -> None:
    with pytest.raises(DatabaseUnavailable):
        await migrate.up(config.Database(url="postgresql://rookery@127.0.0.1:1/rookery"))


def test_dropping_and_making_again_is_a_fresh_database(empty: config.Database) -> None:
    trio.run(migrate.up, empty)
    run_sql(empty.url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    trio.run(migrate.up, empty)


async def test_a_file_that_waits_is_applied_when_no_older_process_lives(empty: config.Database) -> None:
    waiting = script("-- contract\n-- waits for migration 99\nALTER TABLE domain DROP COLUMN created")
    await migrate.up(empty)
    member = "INSERT INTO member (incarnation, kinds, version, schema, expires) VALUES ('{}', '{{}}', 3, {}, now() + interval '{}') RETURNING 1"
    await fetch(empty, member.format("old", 98, "2 seconds"))
    await fetch(empty, member.format("new", 99, "2 seconds"))
    lines: list[str] = []
    status = await migrate.up(empty, files=scripts(waiting), report=lines.append)
    assert (len(lines), "waits: 1 older" in lines[0]) == (1, True)
    assert (status.pending, status.waiting) == ([], [waiting])
    migrate.judge(status, scripts(waiting))  # this version runs without it
    await fetch(
        empty, "UPDATE member SET expires = now() - interval '30 seconds' WHERE schema = 98 RETURNING 1"
    )
    status = await migrate.up(empty, files=scripts(waiting))
    assert status.waiting == [waiting], "it may have been silent for a moment only"
    await fetch(
        empty, "UPDATE member SET expires = now() - interval '2 minutes' WHERE schema = 98 RETURNING 1"
    )
    status = await migrate.up(empty, files=scripts(waiting))
    assert (status.waiting, status.version) == ([], waiting.number)
    with pytest.raises(SchemaError, match="too new"):
        migrate.judge(status, migrate.load())


async def test_the_switch_knows_whether_there_is_something_to_read_from_before(
    empty: config.Database,
) -> None:
    await migrate.up(empty)
    assert await fetch(empty, "SELECT archive_from = '-infinity' FROM installation")
    await fetch(
        empty,
        "INSERT INTO message VALUES (1, 1, '', 1, '', 'a@b', false, true, false, now(), '') RETURNING 1",
    )
    (switch,) = [one for one in migrate.load() if one.name == "archive_switch"]
    assert (switch.contract, switch.waits) == (True, 21)
    run = partial(fetch, empty)
    await run("DELETE FROM migration WHERE name = 'archive_switch' RETURNING 1")
    await run("DO $$ BEGIN ALTER TABLE member DROP CONSTRAINT member_schema; END $$")
    # It was cut off for longer than the switch waits, and does not know.
    await run(
        "INSERT INTO member (incarnation, kinds, version, expires) VALUES ('old', '{}', 3, now() - interval '2 minutes') RETURNING 1"
    )
    await run("INSERT INTO fence VALUES ('old', true), ('new', true) RETURNING 1")
    await migrate.up(empty)
    assert await run("SELECT archive_from > now() - interval '1 minute' FROM installation")
    assert await run("SELECT string_agg(incarnation, ' ') = 'new' FROM fence WHERE open")
    with pytest.raises(asyncpg.CheckViolationError):
        await run(
            "INSERT INTO member (incarnation, kinds, version, expires) VALUES ('late', '{}', 3, now()) RETURNING 1"
        )
