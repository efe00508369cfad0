"""Archives that belong to no account, written by a process that is no router: a made-up kind that keeps rooms."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from rookery.shared.db.api import Connection, Database, Fenced
from rookery.shared.store import archive, queries, retention
from rookery.shared.store.holding import Held
from rookery.shared.store.ids import COUNTER_BITS, cluster_seal
from rookery.shared.store.owners import Owner, find_owner, make_owner, remove_owner
from rookery.shared.store.reader import erase, stored_uids
from rookery.shared.store.rows import Row, make_row
from rookery.shared.store.sql import insert_missing, insert_rows
from rookery.shared.store.writer import StoreWriter
from rookery.shared.xeps.message_archive import Query
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

pytestmark = pytest.mark.usefixtures("each_layout")

FIRST, SECOND = "rooms-1", "rooms-2"
DOMAIN = "rooms.example.org"
STREAM = b"e" * 16
IQ = Stanza.build("iq", type="set", id="q", to=f"tea@{DOMAIN}", from_="alice@example.org/r")


def said(owner: int, id: int, n: int, nick: str = "alice") -> Row:
    body = Element("jabber:client", "body", None, f"text {n}")
    stanza = Stanza.build("message", body, to=f"tea@{DOMAIN}", from_=f"tea@{DOMAIN}/{nick}", type="groupchat")
    return make_row(
        owner, id, STREAM, n, stanza, peer=stanza.from_, outgoing=False, archived=True, owed=False, stamp=1000.0 + n
    )  # fmt: skip


async def seed(db: Database) -> None:
    async def work(conn: Connection) -> None:
        await conn.execute("INSERT INTO domain (name) VALUES ('example.org'), ($1)", DOMAIN)
        await conn.execute("INSERT INTO account (localpart, domain) VALUES ('alice', 'example.org')")
        await conn.execute("INSERT INTO fence (incarnation) VALUES ($1), ($2)", FIRST, SECOND)

    await db.run(0, work)


async def room(db: Database, name: str = "tea", incarnation: str = FIRST) -> Owner:
    made = await db.run(0, lambda conn: make_owner(conn, incarnation, DOMAIN, "room", name))
    return Owner(made, f"{name}@{DOMAIN}")


async def bodies(db: Database, owner: Owner, query: Query = Query("q")) -> list[str]:  # noqa: B008  frozen
    seal = await cluster_seal(db)
    answer = await db.run(0, lambda conn: queries.answer(conn, seal, owner, IQ, query))
    assert all(one.from_ == owner.address for one in answer.results)
    return [re.findall(rb"<body>(.*?)</body>", one.inner)[0].decode() for one in answer.results]


@asynccontextmanager
async def running(db: Database, incarnation: str) -> AsyncIterator[tuple[StoreWriter, list[str]]]:
    failed: list[str] = []
    writer = StoreWriter(db, incarnation, failed.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        yield writer, failed
        nursery.cancel_scope.cancel()


async def test_owners_have_numbers_of_the_sequence_of_accounts(database: Database) -> None:
    await seed(database)
    tea = await room(database)
    assert await room(database) == tea, "safe to repeat"
    assert await room(database, incarnation=SECOND) == tea
    coffee = await room(database, "coffee")
    account = await database.run(
        0, lambda c: c.fetchval("INSERT INTO account (localpart, domain) VALUES ('bob', 'example.org') RETURNING id")
    )  # fmt: skip
    assert len({1, tea.id, coffee.id, account}) == 4
    find = partial(find_owner, domain=DOMAIN, kind="room")
    assert await database.run(0, lambda c: find(c, name="tea")) == tea.id
    assert await database.run(0, lambda c: find(c, name="none")) is None
    assert await database.run(0, lambda c: find_owner(c, DOMAIN, "node", "tea")) is None
    with pytest.raises(Fenced):
        await room(database, "milk", "somebody")


async def test_a_room_is_written_by_its_own_kind_and_read_in_pages(database: Database) -> None:
    await seed(database)
    tea, held = await room(database), Held(7, 2)
    done: list[int] = []
    async with running(database, FIRST) as (writer, failed):
        for n in range(1, 8):
            nick = "alice" if n % 2 else "bob"
            writer.put(said(tea.id, held.ids.next(), n, nick), lambda row, new: done.append(row.n), held)
        # An account of the same process, and a repetition.
        writer.put(said(1, held.ids.next(), 1), lambda row, new: done.append(-1), held)
        await writer.drain()
        writer.put(
            said(tea.id, held.ids.next(), 3), lambda row, new: done.append(0 if new is False else 99), held
        )
        await writer.drain()
    assert (done, failed) == ([1, 2, 3, 4, 5, 6, 7, -1, 0], [])
    assert await bodies(database, tea) == [f"text {n}" for n in range(1, 8)]
    assert await bodies(database, tea, Query("q", max=2, before="")) == ["text 6", "text 7"]
    assert await bodies(database, tea, Query("q", start=1006.0)) == ["text 6", "text 7"]
    seal = await cluster_seal(database)
    third = seal.seal(tea.id, (2 << 40) + 3)
    assert await bodies(database, tea, Query("q", after=third, max=2)) == ["text 4", "text 5"]
    with pytest.raises(StanzaError, match="item-not-found"):
        await bodies(database, Owner(1, "alice@example.org"), Query("q", after=third))
    end = await database.run(0, lambda c: queries.metadata(c, seal, tea, IQ))
    assert third.encode() not in end.inner
    assert seal.seal(tea.id, (2 << 40) + 1).encode() in end.inner


async def test_a_successor_finds_what_was_stored_and_counts_higher(database: Database) -> None:
    await seed(database)
    tea, old, new = await room(database), Held(7, 2), Held(7, 3)
    async with running(database, FIRST) as (writer, failed):
        writer.put(said(tea.id, old.ids.next(), 1), lambda row, new: None, old)
        await writer.drain()
        # A takeover closes the fence; what the deposed process still has is not written.
        await database.run(
            0, lambda c: c.execute("UPDATE fence SET open = false WHERE incarnation = $1", FIRST)
        )
        late = said(tea.id, old.ids.next(), 2)
        writer.put(late, lambda row, new: pytest.fail("it may not write"), old)
        with trio.fail_after(10):
            while not failed:  # noqa: ASYNC110
                await trio.sleep(0.01)
    # The successor was told of both messages under the ids that occupants saw, stores the missing one, and goes on.
    again = [said(tea.id, late.id - 1, 1), late, said(12345, 1, 1)]
    await database.run(0, lambda c: insert_missing(c, SECOND, again))
    found = await database.run(0, lambda c: stored_uids(c, [(tea.id, STREAM, n) for n in (1, 2, 3)]))
    assert found == {
        (tea.id, STREAM, 1): (late.id - 1, False), (tea.id, STREAM, 2): (late.id, False),
    }, "the row of an owner that does not exist was left out"  # fmt: skip
    async with running(database, SECOND) as (writer, _):
        writer.put(said(tea.id, new.ids.next(), 3), lambda row, new: None, new)
        await writer.drain()
    assert await bodies(database, tea) == ["text 1", "text 2", "text 3"]
    ends = await database.run(0, lambda c: archive.ends(c, tea.id))
    assert [id >> COUNTER_BITS for id, _ in ends] == [2, 3]


async def test_the_quota_takes_what_is_too_much_of_any_owner(database: Database) -> None:
    await seed(database)
    tea, held = await room(database), Held(7, 2)
    rows = [said(tea.id, held.ids.next(), n) for n in range(1, 9)]
    await database.run(0, lambda c: insert_rows(c, FIRST, [*rows, said(1, 1, 1)]))
    await database.run(0, lambda c: retention.grow(c, FIRST, {1: 1, tea.id: 8}))
    one, two = await database.run(0, lambda c: retention.surplus(c, 0, 5, 9))
    assert (one.last, two) == (0, (tea.id, 8, rows[2].id))
    assert await database.run(0, lambda c: retention.trim(c, SECOND, tea.id, two.last, 9)) == 3
    assert await bodies(database, tea) == ["text 4", "text 5", "text 6", "text 7", "text 8"]


async def test_a_removed_room_leaves_nothing_not_even_what_comes_late(database: Database) -> None:
    await seed(database)
    tea, coffee, held = await room(database), await room(database, "coffee"), Held(7, 2)
    rows = [said(owner.id, held.ids.next(), n) for n in range(1, 4) for owner in (tea, coffee)]
    await database.run(0, lambda c: insert_rows(c, FIRST, rows))
    with pytest.raises(Fenced):
        await database.run(0, lambda c: remove_owner(c, "somebody", tea.id))
    assert await database.run(0, lambda c: remove_owner(c, FIRST, tea.id))
    assert not await database.run(0, lambda c: remove_owner(c, FIRST, tea.id))
    assert await bodies(database, tea) == []
    await database.run(0, lambda c: insert_rows(c, FIRST, [said(tea.id, held.ids.next(), 4)]))
    assert await database.run(0, lambda c: erase(c, FIRST, 0.0)) == 1
    assert await bodies(database, tea) == []
    assert len(await bodies(database, coffee)) == 3
    assert (await room(database)).id != tea.id, "a new room of that name has an archive of its own"
