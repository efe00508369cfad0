"""What a new holder stores of what the former one delivered, row by row: under which id, archived or owed, and for whom."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.router.rig import FakeDb, FakeStore, chat

from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import GONE, Kept, Parcel
from rookery.router.accounts.resources import Resources
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.partition import CARBON, Part
from rookery.router.takeover.recovery import recover
from rookery.shared.bus.messages import Kind, Origin
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.db.api import Fenced
from rookery.shared.store.ids import Seal
from rookery.shared.store.rows import Row, make_row, unpack_stanza
from rookery.shared.xeps.carbons import wrap
from rookery.shared.xeps.stanza_ids import identified, prefix
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

ALICE, BOB = "alice@example.org", "bob@example.org"
SEAL = Seal(b"secret")


class Db(FakeDb):
    """Knows settling, too; `open` is the fence."""

    open = True

    async def run(self, partition: int, work: Any, *, op: str = "") -> Any:
        if not self.open:
            raise Fenced("router1")
        return await super().run(partition, work, op=op)

    async def fetchval(self, query: str, incarnation: str, accounts: list[int], ids: list[int]) -> bool:
        for account, id in zip(accounts, ids, strict=True):
            self.store.settle(account, [id])
        return True


class World:
    def __init__(self) -> None:
        self.store = FakeStore()
        self.db = Db(self.store)
        self.db.ids = {BOB: 9}
        self.node = FakeCluster(clock=lambda: 0.0).node("router1", Kind.ROUTER, db=self.db)  # type: ignore[arg-type]
        self.core = Core(self.node, clock=lambda: 50.0)
        self.part = Part(3, 2)
        self.account = self.part.accounts[BOB] = Account(BOB, Resources("all"))

    def session(self, resource: str, *kept: Parcel) -> Session:
        session = Session(f"{BOB}/{resource}", 1, "edge1", 1, b"")
        session.kept.extend(Kept(n + 1, one) for n, one in enumerate(kept))
        self.account.resources.restore(session)
        return session

    async def recover(self, *late: tuple[bytes, int, Stanza]) -> list[Row]:
        await recover(self.core, SEAL, self.part, late)
        return sorted(self.store.rows, key=lambda row: row.id)


def message(body: str = "hi", type: str = "chat") -> Stanza:
    return chat(BOB, body, type).replace(from_=f"{ALICE}/r")


def sealed(id: int, stanza: Stanza | None = None) -> Stanza:
    """As the recipient was given it."""
    return identified(stanza or message(), prefix(BOB), SEAL.seal(9, id))


def given(stanza: Stanza, n: int = 1, stream: bytes = b"alice", row: int = 0, owed: bool = False) -> Parcel:
    return Parcel(stanza, Origin(stream, n, ""), 40.0, None, row, owed)


async def test_nothing_given_asks_the_database_nothing() -> None:
    world = World()
    world.db.open = False
    world.session("r", given(Stanza.build("presence"), 0, b""))
    assert await world.recover() == []
    assert world.node.failures == []


async def test_what_has_an_id_is_archived_under_it_and_owed_to_nobody() -> None:
    world = World()
    session = world.session("r", given(sealed(77)))
    (row,) = await world.recover()
    assert (row.id, row.archived, row.owed, row.outgoing, row.stamp) == (77, True, False, False, 40.0)
    assert (row.owner_id, row.stream, row.n, row.peer) == (9, b"alice", 1, ALICE)
    assert unpack_stanza(row.stanza) == message()
    assert (session.kept[0].parcel.row, session.kept[0].parcel.owed) == (77, False)


async def test_what_must_not_be_archived_gets_an_id_of_this_epoch_and_is_owed_until_acknowledged() -> None:
    world = World()
    session = world.session("r", given(message()))
    (row,) = await world.recover()
    assert (row.archived, row.owed) == (False, True)
    assert row.id < world.part.ids.next()
    assert session.kept[0].parcel.row == row.id
    assert session.kept[0].parcel.owed


@pytest.mark.parametrize(
    "stanza",
    [
        message(type="groupchat"),
        message().with_child(Element("urn:xmpp:hints", "no-store")),
        Stanza.build("message", Element("http://jabber.org/protocol/chatstates", "active"), to=BOB),
        GONE,
    ],
    ids=["a room has its own archive", "a hint", "a chat state", "not known any more"],
)
async def test_what_is_never_stored_has_no_row_now(stanza: Stanza) -> None:
    world = World()
    session = world.session("r", given(stanza))
    assert await world.recover() == []
    assert session.kept[0].parcel.row == 0


async def test_a_relaxed_domain_has_rows_of_what_has_an_id_only() -> None:
    world = World()
    world.core.relaxed = frozenset({"example.org"})
    world.session("r", given(message(), 1), given(sealed(78), 2))
    assert [row.id for row in await world.recover()] == [78]


async def test_what_is_stored_already_is_found_by_its_uid_with_what_its_row_says() -> None:
    world = World()
    known = make_row(
        9, 60, b"alice", 1, message(), peer=ALICE, outgoing=False, archived=True, owed=True, stamp=1.0
    )
    world.store.rows.append(known)
    session = world.session("r", given(sealed(60)))
    assert await world.recover() == [known]
    assert (session.kept[0].parcel.row, session.kept[0].parcel.owed) == (60, True)


async def test_two_sessions_that_were_given_one_message_share_its_row_and_its_fate() -> None:
    world = World()
    one, two = world.session("one", given(sealed(77))), world.session("two", given(sealed(77)))
    assert len(await world.recover()) == 1
    fate = one.kept[0].parcel.fate
    assert fate is not None
    assert fate.holders == 2
    assert two.kept[0].parcel.fate is fate


async def test_rows_are_stored_in_the_order_of_their_ids() -> None:
    world = World()
    world.session("r", given(sealed(79), 2), given(sealed(77), 1))
    await recover(world.core, SEAL, world.part, [(b"alice", 3, sealed(78))])
    assert [row.id for row in world.store.rows] == [77, 78, 79]


async def test_what_was_acknowledged_lately_is_archived_and_never_owed() -> None:
    world = World()
    (row,) = await world.recover((b"alice", 1, sealed(77)), (b"alice", 2, message("without an id")))
    assert (row.id, row.archived, row.owed) == (77, True, False)


async def test_what_is_owed_and_was_acknowledged_is_settled_here_and_in_the_store() -> None:
    world = World()
    owed = make_row(
        9, 60, b"alice", 1, message(), peer=ALICE, outgoing=False, archived=True, owed=True, stamp=1.0
    )
    world.store.rows.append(owed)
    assert await world.recover((b"alice", 1, sealed(60))) == [owed._replace(owed=False)]
    assert world.account.settled == {60}


async def test_a_carbon_of_what_was_sent_brings_back_the_senders_row() -> None:
    world = World()
    sent = chat(ALICE, "mine").replace(from_=f"{BOB}/phone")
    copy = wrap(sealed(77, sent), BOB, sent=True).replace(to=f"{BOB}/r")
    world.session("r", given(copy, 5, CARBON + b"phone"))
    (row,) = await world.recover()
    assert (row.id, row.outgoing, row.archived, row.owed, row.peer) == (77, True, True, False, ALICE)
    assert (row.stream, row.n) == (b"phone", 5)


async def test_an_account_that_is_gone_gets_no_row() -> None:
    world = World()
    world.db.ids = {}
    world.session("r", given(sealed(77)))
    assert await world.recover() == []


async def test_a_holder_whose_fence_is_closed_stops() -> None:
    world = World()
    world.db.open = False
    world.session("r", given(sealed(77)))
    assert await world.recover() == []
    assert world.node.failures == ["the fence is closed"]
