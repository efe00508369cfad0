"""Reads and clean-up of the message store on a real Postgres, and the plans of its hot statements."""

from __future__ import annotations

import re
import time

import pytest

from rookery.shared.db.api import Connection, Database, Fenced
from rookery.shared.store import partitions, reader, statements
from rookery.shared.store.reader import delete_archived, expire_owed, owed_page
from rookery.shared.store.rows import make_row, unpack_stanza
from rookery.shared.store.sql import insert_rows, owe_rows
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

ME = "router-1"


def message(text: str) -> Stanza:
    return Stanza.build("message", Element("jabber:client", "body", None, text), to="bob@example.org", id="é")


each_layout = pytest.mark.usefixtures("each_layout")


async def seed(db: Database, *rows: tuple[int, int, str, bool, bool, float]) -> None:
    """Rows as (account, id, text, archived, owed, stamp)."""
    made = [
        make_row(
            account, id, b"s" * 16, id, message(text),
            peer="alice@example.org", outgoing=False, archived=archived, owed=owed, stamp=stamp,
        )
        for account, id, text, archived, owed, stamp in rows
    ]  # fmt: skip

    async def work(conn: Connection) -> None:
        await conn.execute("INSERT INTO domain (name) VALUES ('example.org')")
        await conn.execute(
            "INSERT INTO account (localpart, domain) SELECT 'user' || i, 'example.org' FROM generate_series(1, 9) i"
        )
        await conn.execute("INSERT INTO fence (incarnation) VALUES ($1)", ME)
        if made:
            await insert_rows(conn, ME, made)

    await db.run(0, work)


async def left(db: Database) -> list[tuple[int, bool]]:
    rows = await db.run(0, lambda conn: conn.fetch("SELECT id, owed FROM stored ORDER BY id"))
    return [tuple(row) for row in rows]


@each_layout
async def test_pages_follow_each_other_in_order_within_both_limits(database: Database) -> None:
    await seed(
        database,
        *[(1, id, "x" * 1000, False, True, 1000.5 + id) for id in range(1, 8)],
        (2, 9, "y", False, True, 1.0),
    )
    size = len((await database.run(0, lambda conn: owed_page(conn, 1)))[0].stanza)

    async def page(after: int, rows: int, size: int) -> list[int]:
        got = await database.run(
            0, lambda conn: owed_page(conn, 1, after=after, max_rows=rows, max_bytes=size)
        )
        return [one.id for one in got]

    assert await page(0, 3, 10**9) == [1, 2, 3]
    assert await page(3, 3, 10**9) == [4, 5, 6]
    assert await page(6, 3, 10**9) == [7]
    assert await page(7, 3, 10**9) == []
    assert await page(0, 100, 2 * size) == [1, 2]
    assert await page(0, 100, 2 * size + 1) == [1, 2, 3]
    assert await page(0, 100, 1) == [1], "a message larger than a page still gets through"


@each_layout
async def test_a_row_comes_back_as_it_was_stored(database: Database) -> None:
    await seed(database, (1, 5, "käse <&> 🧀", True, True, 1_700_000_000.125))
    (one,) = await database.run(0, lambda conn: owed_page(conn, 1))
    assert (one.id, one.peer, one.stamp) == (5, "alice@example.org", 1_700_000_000.125)
    assert unpack_stanza(one.stanza) == message("käse <&> 🧀")


@each_layout
async def test_expiry_ends_the_debt_and_keeps_the_archive(database: Database) -> None:
    await seed(
        database,
        (1, 1, "old", False, True, 100.0),
        (1, 2, "old", True, True, 100.0),
        (1, 3, "old", True, False, 100.0),
        (1, 4, "new", False, True, 300.0),
    )
    assert await database.run(0, lambda conn: expire_owed(conn, ME, 200.0)) == 2
    assert await left(database) == [(2, False), (3, False), (4, True)]
    assert await database.run(0, lambda conn: expire_owed(conn, ME, 200.0)) == 0


async def test_retention_never_takes_what_is_owed(database: Database) -> None:
    """Of what version 2 stored."""
    await database.run(0, lambda conn: conn.execute("UPDATE installation SET archive_from = NULL"))
    await seed(database, *[(1, id, "old", True, id % 2 == 0, 100.0) for id in range(1, 11)])
    assert await database.run(0, lambda conn: delete_archived(conn, ME, 200.0, 3)) == 3
    assert await database.run(0, lambda conn: delete_archived(conn, ME, 200.0, 3)) == 2
    assert await left(database) == [(id, True) for id in (2, 4, 6, 8, 10)]


@each_layout
async def test_a_fenced_process_deletes_nothing(database: Database) -> None:
    await seed(database, (1, 1, "old", False, True, 100.0), (1, 2, "old", True, False, 100.0))
    await database.run(0, lambda conn: conn.execute("UPDATE fence SET open = false"))
    for sweep in (expire_owed, delete_archived):
        with pytest.raises(Fenced):
            await database.run(0, lambda conn, sweep=sweep: sweep(conn, ME, 200.0))  # type: ignore[misc]
    assert len(await left(database)) == 2


HOT = {
    "owed_page": (reader._PAGE, "bigint, bigint, integer, bigint", "7, 0, 100, 200000"),
    "settle": (statements.SETTLE, "text, bigint[], bigint[]", "'router-1', '{7,7,8}', '{1,2,3}'"),
    "owe": (statements.OWE, "text, bigint[], bigint[]", "'router-1', '{7,7,8}', '{1,2,3}'"),
    "insert": (
        statements.INSERT_NEW,
        "text, bigint[], bigint[], bytea[], bigint[], bytea[], text[], boolean[], boolean[], boolean[], float8[], bytea[], bigint[], integer[]",
        "'router-1', '{7,7}', '{99991,99992}', '{a,a}', '{1,2}', '{b,b}', '{c,c}', '{f,f}', '{t,t}', '{f,f}', '{1,1}', '{d,d}', '{1,1}', '{1,1}'",
    ),
}


@pytest.mark.parametrize("name", HOT)
@pytest.mark.parametrize("analyzed", [False, True])
async def test_hot_statements_use_indexes_and_touch_only_their_partitions(
    database: Database, name: str, analyzed: bool
) -> None:
    """A plan made once for all parameters: of a table that Postgres knows nothing of yet, and of one that it knows."""
    statement, types, values = HOT[name]
    await seed(database)

    async def work(conn: Connection) -> list[str]:
        await conn.execute(
            "INSERT INTO message SELECT i % 9 + 1, i, '\\x00', i, '\\x00', 'a@b', false, true, i % 100 = 0, now(), '\\x00'"
            " FROM generate_series(1, 20000) i"
        )
        await partitions.make(conn)
        await conn.execute(
            "INSERT INTO archive SELECT i % 9 + 1, i, now(), day, 0, false, 'a@b', '\\x00'"
            " FROM generate_series(1, 20000) i, generate_series($1::integer, $1 + 3) AS day",
            (await partitions.now(conn))["archive"],
        )
        await conn.execute(
            "INSERT INTO taken SELECT i % 9 + 1, i, 0, i, slot, '\\x00'"
            " FROM generate_series(1, 20000) i, generate_series($1::integer, $1 + 4) AS slot",
            (await partitions.now(conn))["taken"],
        )
        await conn.execute(
            "INSERT INTO owed SELECT i % 9 + 1, i, now(), true, 'a@b', '\\x00' FROM generate_series(1, 20000) i"
        )
        if analyzed:
            await conn.execute("ANALYZE message, archive, owed, taken")
        async with conn.transaction():
            await conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            await conn.execute(f"PREPARE hot ({types}) AS {statement}")
            rows = await conn.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE hot ({values})")
        await conn.execute("DEALLOCATE hot")
        return [row[0] for row in rows]

    plan = [line for line in await database.run(0, work) if "never executed" not in line]
    text = "\n".join(plan)
    assert not re.search(r"Seq Scan on (message|archive|owed|taken)", text), text
    scanned = set(re.findall(r"Scan (?:using \S+ )?on (message_\d+)", text))
    assert len(scanned) <= (1 if name.startswith("owed") else 2), text


async def test_the_newest_that_came_for_accounts_and_after_they_were_seen(database: Database) -> None:
    now = time.time()
    await seed(
        database,
        (1, 1, "old", True, False, now - 300),
        (1, 2, "lately", True, False, now - 20),
        (1, 3, "owed", True, True, now - 10),
        (1, 9, "of this epoch", True, False, now),
        (2, 4, "read", True, False, now - 20),
        (2, 5, "not read", True, False, now - 5),
        (3, 6, "of somebody else", True, False, now),
    )
    await database.run(
        0, lambda conn: conn.execute("UPDATE account SET last_seen = to_timestamp($1) WHERE id = 2", now - 10)
    )
    wanted = [("user1@example.org", now - 60), ("user2@example.org", now - 60), ("nobody@example.org", 0.0)]
    found = await database.run(0, lambda conn: reader.newest_incoming(conn, 9, wanted))
    assert [(bare, owner, id) for bare, owner, id, _ in found] == [
        ("user1@example.org", 1, 2), ("user1@example.org", 1, 3), ("user2@example.org", 2, 5),
    ]  # fmt: skip
    assert unpack_stanza(found[0][3]) == message("lately")
    await database.run(0, lambda conn: owe_rows(conn, ME, [(owner, id) for _, owner, id, _ in found]))
    assert await left(database) == [
        (1, False), (2, True), (3, True), (4, False), (5, True), (6, False), (9, False),
    ]  # fmt: skip


async def test_which_messages_need_no_other_delivery(database: Database) -> None:
    """Owed, settled, or stored by the holder that made a copy before it did; where the client acknowledged it, stored at all."""
    now, epoch = time.time(), 3
    id = epoch << 40
    await seed(
        database,
        (1, id + 1, "before the copy", True, False, now - 20),
        (1, id + 2, "after it", True, False, now),
        (1, id + 3, "owed", True, True, now),
        (1, (4 << 40) + 4, "by another holder", True, False, now - 20),
    )
    stream = b"s" * 16
    ns = [id + 1, id + 2, id + 3, (4 << 40) + 4, id + 9]

    async def had(until: float, by: int) -> list[int]:
        uids = [(1, stream, n, until, by) for n in ns]
        return sorted(n for _, n in await database.run(0, lambda conn: reader.uids_had(conn, uids)))

    assert await had(now - 10, epoch) == [id + 1, id + 3]
    assert await had(0.0, 0) == [id + 3]
    assert await had(0.0, -1) == sorted(ns[:4])
