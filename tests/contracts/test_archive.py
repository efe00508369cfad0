"""Archives on a real Postgres: pages, filters, ends, upkeep; and that an id never becomes readable after a higher one."""

from __future__ import annotations

import random

import pytest
import trio

from rookery.shared.db.api import Connection, Database, Fenced
from rookery.shared.store import archive, queries, retention
from rookery.shared.store.archive import Filter, Found, Page
from rookery.shared.store.holding import Held
from rookery.shared.store.ids import ArchiveIds, Seal, cluster_seal
from rookery.shared.store.rows import Row, make_row
from rookery.shared.store.sql import insert_rows
from rookery.shared.store.writer import StoreWriter
from rookery.shared.xeps.archive_preferences import Default, Preferences
from rookery.shared.xeps.message_archive import Query
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.offline import archive as offline

pytestmark = pytest.mark.usefixtures("each_layout")

ME = "router-1"
HELD = Held(0, 3)
USER = Jid.parse("user1@example.org")
IQ = Stanza.build("iq", type="set", id="q", from_="user1@example.org/r")


def message(text: str, from_: str = "alice@example.org/x") -> Stanza:
    body = Element("jabber:client", "body", None, text)
    return Stanza.build("message", body, to="user1@example.org", from_=from_, type="chat")


def row(
    id: int, *, account: int = 1, from_: str = "alice@example.org/x", archived: bool = True, owed: bool = False,
    stamp: float | None = None, text: str = "hi",
) -> Row:  # fmt: skip
    return make_row(
        account, id, b"s" * 16, id, message(text, from_), peer=from_.partition("/")[0], outgoing=False,
        archived=archived, owed=owed, stamp=1_700_000_000.0 + id if stamp is None else stamp,
    )  # fmt: skip


async def seed(db: Database, *rows: Row) -> None:
    async def work(conn: Connection) -> None:
        await conn.execute("INSERT INTO domain (name) VALUES ('example.org')")
        await conn.execute(
            "INSERT INTO account (localpart, domain) SELECT 'user' || i, 'example.org' FROM generate_series(1, 9) i"
        )
        await conn.execute("INSERT INTO fence (incarnation) VALUES ($1)", ME)
        if rows:
            await insert_rows(conn, ME, rows)

    await db.run(0, work)


async def page(db: Database, wanted: Filter = Filter(), max_rows: int = 100, **how: object) -> Page:  # noqa: B008
    async def work(conn: Connection) -> Page:
        return await archive.read_page(
            conn,
            1,
            wanted,
            max_rows=max_rows,
            **{"max_bytes": 1_000_000, **how},  # type: ignore[arg-type]
        )

    return await db.run(0, work)


def ids(found: Page) -> list[int]:
    return [one.id for one in found.rows]


async def test_pages_forwards_backwards_and_by_place(database: Database) -> None:
    await seed(
        database, *[row(id) for id in range(1, 8)], row(3, account=2), row(9, archived=False, owed=True)
    )
    assert (ids(await page(database)), (await page(database)).complete) == ([1, 2, 3, 4, 5, 6, 7], True)
    assert await page(database, max_rows=7) == await page(database)
    first = await page(database, max_rows=3)
    assert (ids(first), first.complete) == ([1, 2, 3], False)
    assert ids(await page(database, Filter(after=3), 3)) == [4, 5, 6]
    last = await page(database, max_rows=3, backwards=True)
    assert (ids(last), last.complete) == ([5, 6, 7], False)
    before = await page(database, Filter(before=4), 3, backwards=True)
    assert (ids(before), before.complete) == ([1, 2, 3], True)
    assert ids(await page(database, max_rows=2, offset=4)) == [5, 6]
    assert ids(await page(database, Filter(after=2, before=6))) == [3, 4, 5]
    assert ids(await page(database, Filter(ids=[6, 2]))) == [2, 6]
    assert ids(await page(database, Filter(after=7))) == []


async def test_a_page_of_large_messages_is_shorter_and_none_is_too_large(database: Database) -> None:
    await seed(database, *[row(id, text="x" * 1000) for id in range(1, 8)])
    size = (await page(database)).rows[0].size
    short = await page(database, max_bytes=3 * size)
    assert (ids(short), short.complete) == ([1, 2, 3], False)
    assert ids(await page(database, max_bytes=1)) == [1]
    assert ids(await page(database, max_bytes=3 * size, backwards=True)) == [5, 6, 7]
    whole = await page(database, Filter(after=4), max_bytes=3 * size)
    assert (ids(whole), whole.complete) == ([5, 6, 7], True)


async def test_filters_by_time_and_peer(database: Database) -> None:
    await seed(
        database,
        row(1, stamp=1000.0),
        row(2, stamp=500.0, from_="bob@example.org/a"),  # another holder's clock was behind
        row(3, stamp=1500.25, from_="bob@example.org/b"),
        row(4, stamp=2000.0, from_="bob@example.org/ab"),
    )
    assert ids(await page(database, Filter(start=1000.0))) == [1, 3, 4]
    assert ids(await page(database, Filter(end=1000.0))) == [1, 2], "in the order of the ids"
    assert ids(await page(database, Filter(start=1500.25, end=1500.25))) == [3]
    assert ids(await page(database, Filter(peer="bob@example.org"))) == [2, 3, 4]
    exact = Filter(peer="bob@example.org", exact="bob@example.org/a")
    assert ids(await page(database, exact)) == [2]
    one = await page(database, exact, 1)
    assert (ids(one), one.complete) == ([2], False), "there is another that only looks like it"
    assert ids(await page(database, exact, backwards=True)) == [2]


async def test_a_row_that_cannot_be_read_does_not_stop_a_page(database: Database) -> None:
    broken = row(2)._replace(stanza=b"\xc1")
    await seed(database, row(1), broken, row(3))
    assert ids(await page(database)) == [1, 3]


async def test_counts_and_ends(database: Database) -> None:
    await seed(database, *[row(id) for id in range(1, 8)], row(9, archived=False, owed=True))
    run = database.run
    assert await run(0, lambda c: archive.count(c, 1, Filter(after=2), exact=True)) == 5
    assert await run(0, lambda c: archive.count(c, 1, Filter(), exact=False)) == 7
    assert await run(0, lambda c: archive.ends(c, 1)) == [(1, 1_700_000_001.0), (7, 1_700_000_007.0)]
    assert await run(0, lambda c: archive.ends(c, 2)) == []
    assert await run(0, lambda c: archive.has_all(c, 1, [1, 7, 7]))
    assert not await run(0, lambda c: archive.has_all(c, 1, [1, 9])), "it is not in the archive"


async def test_archives_that_are_too_long_lose_their_oldest(database: Database) -> None:
    await seed(database, *[row(id) for id in range(1, 8)], row(1, account=2), row(8, owed=True))
    run = database.run
    await run(0, lambda c: retention.grow(c, ME, {2: 1, 1: 8}))
    found = await run(0, lambda c: retention.surplus(c, 0, 5, 9))
    assert found == [(1, 8, 3), (2, 1, 0)]
    assert await run(0, lambda c: retention.surplus(c, 1, 5, 9)) == [(2, 1, 0)]
    assert await run(0, lambda c: retention.surplus(c, 0, 5, 9, added=2)) == [(1, 8, 3)]
    assert await run(0, lambda c: retention.trim(c, ME, 1, 3, 2)) == 2
    assert await run(0, lambda c: retention.trim(c, ME, 1, 3, 2)) == 1
    assert ids(await page(database)) == [4, 5, 6, 7, 8]
    with pytest.raises(Fenced):
        await run(0, lambda c: retention.trim(c, "somebody", 1, 7, 9))


async def test_queries_as_clients_make_them(database: Database) -> None:
    await seed(database, *[row(id) for id in range(1, 8)])
    seal = await cluster_seal(database)
    assert (await cluster_seal(database)).seal(1, 2) == seal.seal(1, 2)

    async def ask(query: Query, account: Jid = USER) -> tuple[list[str], str]:
        async def work(conn: Connection) -> queries.Answer:
            return await queries.answer(conn, seal, await offline.owner_of(conn, account), IQ, query)

        got = await database.run(0, work)
        results = [one.elements()[0].get("id") or "" for one in got.results]
        return results, got.end.inner.decode()

    names = [seal.seal(1, id) for id in range(1, 8)]
    assert (await ask(Query("q")))[0] == names
    results, end = await ask(Query("q", max=2, before="", flip=True))
    assert results == [names[6], names[5]]
    assert f"<first>{names[5]}</first><last>{names[6]}</last><count>7</count>" in end
    assert "complete" not in end
    assert (await ask(Query("q", after=names[6])))[0] == []
    assert (await ask(Query("q", max=0)))[1].count("<count>7</count>") == 1
    assert (await ask(Query("q", place=5)))[0] == names[5:]
    for wrong in (names[0][:-1], seal.seal(2, 1), seal.seal(1, 99), Seal(b"x").seal(1, 1)):
        with pytest.raises(StanzaError, match="item-not-found"):
            await ask(Query("q", after=wrong))
    with pytest.raises(StanzaError, match="item-not-found"):
        await ask(Query("q"), Jid.parse("nobody@example.org"))


async def test_preferences_are_kept_and_go_with_the_account(database: Database) -> None:
    await seed(database, row(1))

    async def now(durability: str = "durable", default: Default = "auto") -> Preferences:
        return await database.run(0, lambda c: offline.preferences(c, USER, default, durability))

    assert (await now()).fallback == "always"
    assert (await now("relaxed")).fallback == "never"
    assert (await now("relaxed", "roster")).fallback == "roster"
    for chosen in (
        Preferences("roster", frozenset({"a@b"}), frozenset({"c@d/e"})),
        Preferences("never"),
    ):
        await database.run(0, lambda c, chosen=chosen: offline.prefer(c, ME, USER, chosen))  # type: ignore[misc]
        assert await now() == chosen
    with pytest.raises(Fenced):
        await database.run(0, lambda c: offline.prefer(c, "somebody", USER, Preferences("always")))
    await database.run(0, lambda c: c.execute("DELETE FROM account WHERE id = 1"))
    assert await database.run(0, lambda c: c.fetchval("SELECT count(*) FROM archive_preference")) == 0


async def test_who_polls_after_the_last_id_misses_nothing(database: Database) -> None:
    """Many accounts, commits side by side: what a reader of one archive sees only grows at its end."""
    await seed(database)
    made = ArchiveIds(3)
    writer = StoreWriter(database, ME, pytest.fail, delay_ms=0.5, rows=8)
    rng = random.Random(7)
    accounts, each = 5, 150
    put: dict[int, list[int]] = {account: [] for account in range(1, accounts + 1)}
    seen: dict[int, list[int]] = {account: [] for account in range(1, accounts + 1)}
    wrote = trio.Event()

    async def write() -> None:
        for _ in range(accounts * each):
            account = rng.randint(1, accounts)
            one = row(made.next(), account=account)
            put[account].append(one.id)
            writer.put(one, lambda row, new: None, HELD)
            if rng.random() < 0.3:
                await trio.sleep(0.001 * rng.random())
        await writer.drain()
        wrote.set()

    async def poll(account: int) -> None:
        while True:
            last = wrote.is_set()
            after = seen[account][-1] if seen[account] else 0

            async def work(conn: Connection, after: int = after) -> list[Found]:
                wanted = Filter(after=after)
                return (await archive.read_page(conn, account, wanted, max_rows=7, max_bytes=10**6)).rows

            rows = await database.run(0, work)
            seen[account] += [one.id for one in rows]
            if last and not rows:
                return

    async with trio.open_nursery() as outer:
        outer.start_soon(writer.run)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            for account in put:
                nursery.start_soon(poll, account)
        outer.cancel_scope.cancel()
    assert seen == put


async def test_a_repetition_that_nobody_is_known_to_have_makes_its_row_owed(database: Database) -> None:
    await seed(database)
    writer = StoreWriter(database, ME, pytest.fail)
    owed = trio.Event()
    stored = row(1)._replace(archived=True, owed=False)
    repeated = stored._replace(id=2, owed=True)
    outcomes: list[bool | None] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        writer.put(stored, lambda row, new: outcomes.append(new), HELD)
        with trio.fail_after(10):
            await writer.drain()
        writer.put(repeated, lambda row, new: outcomes.append(new), HELD)
        with trio.fail_after(10):
            await writer.drain()
        assert outcomes == [True, False]
        writer.owe_again(repeated, owed.set)
        with trio.fail_after(10):
            await owed.wait()
        found = await database.run(0, lambda c: c.fetch("SELECT id, owed FROM stored"))
        assert [tuple(one) for one in found] == [(1, True)]
        nursery.cancel_scope.cancel()


async def test_what_reached_nobody_is_owed_after_its_commit(database: Database) -> None:
    await seed(database)
    writer = StoreWriter(database, ME, pytest.fail)
    owed = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        writer.put(row(1), lambda row, new: None, HELD)
        writer.owe(1, 1, owed.set)
        with trio.fail_after(10):
            await owed.wait()
        assert await database.run(0, lambda c: c.fetchval("SELECT owed FROM stored WHERE id = 1"))
        writer.settle(1, [1])
        with trio.fail_after(10):
            await writer.drain()
        assert not await database.run(0, lambda c: c.fetchval("SELECT owed FROM stored WHERE id = 1"))
        nursery.cancel_scope.cancel()
