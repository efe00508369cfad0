"""What is put into the store of a message, when its sender is answered, and what the account owes then: branch by branch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from tests.unit.router.rig import chat, condition

from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import Parcel
from rookery.router.accounts.resources import Resources
from rookery.router.core import Core
from rookery.router.keeping.rows import Keeping
from rookery.router.partition import Part
from rookery.shared.bus.messages import Accepted, Kind, Origin, Route
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.config import Config
from rookery.shared.store.holding import Holding
from rookery.shared.store.ids import Seal
from rookery.shared.store.rows import Row
from rookery.shared.xeps.archive_preferences import Preferences
from rookery.shared.xeps.offline_storage import Options
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = "bob@example.org"
NEVER = Preferences("never")
UID = Origin(b"stream", 1, "edge1")


class Store:
    """Keeps what it is told; the test commits."""

    def __init__(self) -> None:
        self.puts: list[tuple[Row, Callable[[Row, bool | None], None]]] = []
        self.settled: list[tuple[int, list[int]]] = []
        self.owing: list[tuple[int, int, Callable[[], None]]] = []
        self.again: list[tuple[Row, Callable[[], None]]] = []
        self.full = False

    def put(self, row: Row, done: Callable[[Row, bool | None], None], holding: Holding) -> None:
        self.puts.append((row, done))

    def settle(self, account_id: int, ids: Iterable[int]) -> None:
        self.settled.append((account_id, list(ids)))

    def owe(self, account_id: int, id: int, done: Callable[[], None]) -> None:
        self.owing.append((account_id, id, done))

    def owe_again(self, row: Row, done: Callable[[], None]) -> None:
        self.again.append((row, done))

    def after(self, done: Callable[[], None]) -> None:
        done()


class World:
    def __init__(self, messages: int = 1000) -> None:
        self.cluster = FakeCluster(clock=lambda: 0.0)
        self.edge = self.cluster.node("edge1", Kind.EDGE)
        self.node = self.cluster.node(
            "router1", Kind.ROUTER, config=Config(offline_storage=Options(messages=messages))
        )
        self.core = Core(self.node, clock=lambda: 50.0, ticks=lambda: 0.0)
        self.core.addresses.learn({"example.org": "accounts"})
        self.store = Store()
        self.keeping = Keeping(self.core, self.store)
        self.keeping.seal = Seal(b"secret")
        self.landed: list[str] = []
        self.keeping.on_committed = lambda part, account: self.landed.append(account.bare)
        self.part = Part(3, 1)
        self.account = Account(BOB, Resources("all"))
        self.account.id = 9
        self.account.waiting = None

    def record(self, stanza: Stanza | None = None, waits: bool = False) -> Parcel:
        return self.keeping.record(self.part, self.account, parcel(stanza), waits)

    def keep(self, stanza: Stanza | None = None) -> int:
        return self.keeping.keep(self.part, self.account, parcel(stanza))

    @property
    def accepted(self) -> bool:
        self.core.flush_accepted()
        self.cluster.network.settle()
        items = [one[4] for one in self.edge.received]
        return any(isinstance(item, Accepted) and (b"stream", 1) in item.uids for item in items)

    @property
    def bounced(self) -> list[str]:
        self.cluster.network.settle()
        routes = [one[4] for one in self.node.received if isinstance(one[4], Route)]
        return [condition(item.stanza) for item in routes]


def parcel(stanza: Stanza | None = None) -> Parcel:
    return Parcel((stanza or chat(BOB)).replace(from_="alice@example.org/r"), UID, 40.0)


def unstored() -> Stanza:
    return chat(BOB).with_child(Element("urn:xmpp:hints", "no-store"))


# --- what a resource takes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("archiving", "waits", "archived", "owed"),
    [
        (None, False, True, False),
        (None, True, True, True),  # no edge has a copy until then
        (NEVER, False, False, True),  # only until a resource has acknowledged it
        (NEVER, True, False, True),
    ],
)
def test_a_durable_message_has_a_row_before_it_is_given(
    archiving: Preferences | None, waits: bool, archived: bool, owed: bool
) -> None:
    world = World()
    world.account.archiving = archiving
    given = world.record(waits=waits)
    ((row, done),) = world.store.puts
    assert (row.owner_id, row.archived, row.owed, row.outgoing) == (9, archived, owed, False)
    assert (row.stream, row.n, row.stamp, row.peer) == (b"stream", 1, 40.0, "alice@example.org")
    assert (given.row, given.owed, given.origin, given.at) == (row.id, owed, UID, 40.0)
    assert given.stanza.has("urn:xmpp:sid:0", "stanza-id") is archived
    assert world.part.recent.state(b"stream", 1) is False
    assert not world.accepted
    done(row, True)
    assert world.accepted


def test_a_message_that_is_not_to_be_stored_goes_on_as_it_is() -> None:
    world = World()
    given = world.record(unstored())
    assert given == parcel(unstored())
    assert world.store.puts == []


@pytest.mark.parametrize("archiving", [NEVER, None])
def test_a_relaxed_domain_accepts_at_once_and_stores_what_is_archived(archiving: Preferences | None) -> None:
    world = World()
    world.account.relaxed, world.account.archiving = True, archiving
    given = world.record()
    assert bool(given.row) is (archiving is None)
    assert world.accepted is (archiving is None)  # without a row the caller accepts


def test_a_full_store_takes_nothing_for_a_resource() -> None:
    world = World()
    world.store.full = True
    with pytest.raises(StanzaError, match="cannot store"):
        world.record()
    assert world.part.recent.state(b"stream", 1) is None


def test_a_row_that_cannot_be_stored_is_nobodys_error_once_it_was_given() -> None:
    world = World()
    world.record()
    ((row, done),) = world.store.puts
    done(row, None)
    assert world.accepted
    assert world.bounced == []


# --- what no resource takes -------------------------------------------------------------------------------------------


def test_what_is_kept_is_owed_and_accepted_after_its_commit() -> None:
    world = World()
    id = world.keep()
    ((row, done),) = world.store.puts
    assert (row.id, row.owed, row.archived) == (id, True, True)
    assert (world.account.owed, world.account.puts) == (1, 1)
    assert world.account.owed_bytes == len(row.stanza)
    assert not world.accepted
    done(row, True)
    assert world.accepted
    assert world.account.puts == 0
    assert world.landed == [BOB]


@pytest.mark.parametrize(
    ("full", "owed", "stanza", "errors"),
    [
        (False, 0, unstored(), []),
        (True, 0, chat(BOB), ["resource-constraint"]),
        (False, 2, chat(BOB), ["service-unavailable"]),
    ],
    ids=["not to be kept", "the store is full", "over quota"],
)
def test_what_cannot_be_kept_is_answered_and_accepted(
    full: bool, owed: int, stanza: Stanza, errors: list[str]
) -> None:
    world = World(messages=2)
    world.store.full, world.account.owed = full, owed
    assert world.keep(stanza) == 0
    assert world.store.puts == []
    assert world.accepted
    assert world.bounced == errors
    assert world.account.owed == owed


def test_what_the_store_refuses_goes_back_and_is_not_owed() -> None:
    world = World()
    world.keep()
    ((row, done),) = world.store.puts
    done(row, None)
    assert world.bounced == ["internal-server-error"]
    assert (world.account.owed, world.account.owed_bytes, world.account.puts) == (0, 0, 0)
    assert world.accepted


def test_what_a_former_holder_stored_for_a_session_that_is_gone_is_owed() -> None:
    """It died before the sender was told, and so did the edge of the session: nobody else would ever deliver it."""
    world = World()
    world.keep()
    ((row, done),) = world.store.puts
    done(row, False)
    ((repeated, owed),) = world.store.again
    assert repeated == row
    assert not world.accepted, "before that is committed, too"
    owed()
    assert world.accepted
    assert world.landed == [BOB]


def test_a_dropped_partition_is_told_nothing() -> None:
    world = World()
    world.keep()
    ((row, done),) = world.store.puts
    world.part.live = False
    done(row, True)
    assert world.landed == []


# --- owed and settled -------------------------------------------------------------------------------------------------


def test_a_row_that_no_session_acknowledged_is_owed_after_all() -> None:
    world = World()
    given = world.record()
    assert world.keeping.owe(world.part, world.account, given) == given.row
    ((account, row, done),) = world.store.owing
    assert (account, row, world.account.owed) == (9, given.row, 1)
    done()
    assert world.landed == [BOB]


def test_what_was_written_is_owed_no_more_and_settled_again_by_the_next_holder() -> None:
    world = World()
    world.account.owed, world.account.owed_bytes = 3, 500
    world.keeping.settle(world.account, [(11, 100), (12, 150)])
    assert (world.account.owed, world.account.owed_bytes) == (1, 250)
    world.keeping.settle(world.account, [(13, 100)])
    assert (world.account.owed, world.account.owed_bytes) == (0, 0)
    world.keeping.settle_again(world.account)
    assert world.store.settled == [(9, [11, 12]), (9, [13]), (9, [11, 12, 13])]


# --- what the account sends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("archiving", "stanza", "stored"),
    [(None, chat("x@y"), True), (NEVER, chat("x@y"), False), (None, unstored(), False)],
)
def test_what_a_client_sends_is_archived_as_its_own(
    archiving: Preferences | None, stanza: Stanza, stored: bool
) -> None:
    world = World()
    world.account.archiving = archiving
    shown, done = world.keeping.sent(world.part, world.account, UID, stanza, lambda row, new: None)
    assert done is stored
    assert shown == stanza  # nobody else of the account is there to be told its id
    assert [(row.outgoing, row.owed, row.stamp) for row, _ in world.store.puts] == [
        (True, False, 50.0)
    ] * stored
