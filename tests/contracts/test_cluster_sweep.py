"""Rows of processes that are long gone go away, and nothing of such a process is ever written again, should it wake up."""

from __future__ import annotations

import asyncpg
import pytest
from tests.contracts.sql_statements import statements

from rookery.shared import config
from rookery.shared.bus.messages import Kind
from rookery.shared.cluster import leases, members
from rookery.shared.cluster.leases import Move
from rookery.shared.db.api import FENCE, Connection, Database, Fenced
from rookery.shared.store.sql import settle_rows

KINDS = (Kind.ROUTER,)


async def join(db: Database, name: str, *, late: str = "-3 seconds") -> None:
    """A member whose heartbeat expired so long ago."""

    async def work(conn: Connection) -> None:
        await members.join(conn, name, KINDS, 3.0)
        await conn.execute(
            "UPDATE member SET expires = now() - $2::text::interval WHERE incarnation = $1", name, late
        )

    await db.run(0, work)


async def rows(db: Database, table: str) -> set[str]:
    async def work(conn: Connection) -> set[str]:
        return {r[0] for r in await conn.fetch(f"SELECT incarnation FROM {table}")}

    return await db.run(0, work)


async def lease(db: Database, name: str) -> None:
    await db.run(
        0, lambda c: c.execute("UPDATE lease SET incarnation = $1, epoch = 5 WHERE partition = 7", name)
    )


async def test_only_what_is_long_gone_and_holds_nothing_goes(database: Database) -> None:
    await join(database, "alive")
    await join(database, "late", late="9 minutes")
    await join(database, "old", late="11 minutes")
    await join(database, "holder", late="11 minutes")
    await lease(database, "holder")
    await join(database, "left")
    await database.run(0, lambda conn: members.leave(conn, "left"))
    await join(database, "taken", late="4 seconds")
    await database.run(
        0, lambda conn: conn.execute("UPDATE fence SET open = false WHERE incarnation = 'taken'")
    )
    await database.run(0, members.sweep)
    for table in ("member", "fence"):
        assert await rows(database, table) == {"alive", "late", "holder", "taken"}, table


async def test_who_wakes_up_without_rows_is_fenced_and_makes_none(database: Database) -> None:
    await join(database, "old", late="11 minutes")
    await database.run(0, members.sweep)
    await lease(database, "old")  # even if a lease were left
    may_go_on, seen = await database.run(0, lambda conn: members.beat(conn, "old", 3.0, False))
    assert (may_go_on, seen) == (False, [])
    with pytest.raises(Fenced):
        await database.run(0, lambda conn: leases.claim(conn, "old", KINDS, (), ()))
    with pytest.raises(Fenced):
        await database.run(0, lambda conn: settle_rows(conn, "old", [(1, 1)]))
    assert await database.run(0, lambda conn: leases.move(conn, "old", [Move(Kind.ROUTER, 7, 5, None)])) == []
    assert await rows(database, "fence") == set()
    assert await rows(database, "member") == set()


def test_nobody_but_a_new_process_opens_a_fence() -> None:
    opening = [s for s in statements() if "INSERT INTO fence" in s or "SET open = true" in s]
    assert len(opening) == 1
    assert "INSERT INTO member" in opening[0]


async def test_a_sweep_waits_for_a_write_that_has_passed_the_fence(
    database: Database, database_settings: config.Database
) -> None:
    await join(database, "old", late="11 minutes")

    async def write(conn: Connection) -> None:
        other = await asyncpg.connect(database_settings.url, server_settings={"lock_timeout": "200"})
        async with conn.transaction():
            await conn.fetch(f"{FENCE} SELECT * FROM fence_ok", "old")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await members.sweep(other)
        await members.sweep(other)
        await other.close()

    await database.run(0, write)
    assert await rows(database, "fence") == set()


async def test_a_beat_saves_a_member_from_the_sweep(database: Database) -> None:
    """It was stopped for long, held nothing, and wakes up before it is swept."""
    await join(database, "old", late="11 minutes")
    assert (await database.run(0, lambda conn: members.beat(conn, "old", 3.0, False)))[0]
    await database.run(0, members.sweep)
    assert await rows(database, "member") == await rows(database, "fence") == {"old"}
