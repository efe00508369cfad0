"""Two adjacent versions on one bus: what is written for the previous one, what is read of both, and who decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack
import pytest

from rookery.shared.bus import versions
from rookery.shared.bus.api import Call
from rookery.shared.bus.batch import Head, WrongVersion, pack_batch, pack_item, read_item, unpack_batch
from rookery.shared.bus.memory import MemoryBus, Network
from rookery.shared.bus.messages import (
    TAGS,
    VERSION,
    Beat,
    DeliverMany,
    Domains,
    Failed,
    Fanout,
    Holds,
    Item,
    Kind,
    Left,
    Mirror,
    Refused,
    Return,
    Yield,
)
from rookery.shared.bus.versions import KNOWN, OLDEST, Unspoken, narrowed, narrower
from rookery.shared.cluster.liveness import Liveness
from rookery.shared.xmpp.stanza import Stanza

CHANGED = Domains([("x", True, ())], ("rooms",))
#: The same as one process of the previous version reads it.
READ_CUT = CHANGED._replace(kinds=(), domains=(("x", True, ()),))


def fields_of(item: Item, version: int) -> tuple[Any, ...]:
    """What of an item stands on the wire."""
    fields: tuple[Any, ...] = msgpack.unpackb(pack_item((Kind.EDGE, 0, 0, item, 0), version), use_list=False)[
        4
    ]
    return fields


def beat(name: str, version: int) -> Beat:
    return Beat(name, (1,), 0, "up", version)


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_the_previous_version_of_each_item_is_what_was_released() -> None:
    """Frozen: whoever changes an item of version 2 in place breaks processes that run now."""
    counts = {
        cls.__name__: KNOWN.get(cls, len(cls._fields))  # type: ignore[attr-defined]
        for cls in TAGS
    }
    assert counts == {
        "Submit": 4, "Route": 2, "Unbind": 4, "Acked": 3, "Mirror": 5, "Deliver": 6, "DeliverMany": 2, "Accepted": 1,
        "End": 5, "Note": 5, "MirrorRequest": 3, "Fanout": 2, "ToResources": 3, "SendPresence": 4, "AccountChanged": 3,
        "Gated": 3, "Replay": 4, "Handle": 5, "Broadcast": 5, "SessionUp": 5, "Gate": 3, "Probe": 2, "LastSeen": 3,
        "RosterChanged": 3, "ContactRemoved": 2, "Bind": 5, "Bound": 4, "GetCredentials": 2, "Credentials": 6,
        "Register": 5, "Done": 0, "GetDomains": 0, "Domains": 1, "Return": 3, "Failed": 5, "Refused": 6, "Barrier": 1,
        "Passed": 1, "Granted": 2, "Beat": 5, "Holds": 3, "AskHolds": 1, "Left": 2, "DomainsChanged": 0, "Yield": 1,
        "ClientState": 3, "Copied": 1, "Copy": 4, "Enable": 6, "Enabled": 1, "Frontier": 4, "Noted": 4, "NotResumed": 2,
        "Resume": 5, "Resumed": 8, "ToSession": 3, "Claimed": None,
        "OperatorCommand": None, "ListSessions": None, "SessionList": None, "EndSessions": None, "Ended": None,
        "FannedOut": None, "CheckOccupants": None, "AskRoom": None, "RoomTold": None, "TryRemote": None, "RemoteBroken": None, "BoshAsk": None, "BoshTold": None, "ChangeAccount": None, "AskInvitation": None, "Invited": None, "AskPuzzle": None, "Puzzled": None,
        "ComponentHere": None, "ComponentGone": None, "ToComponent": None, "ComponentAcked": None,
        "Interest": None, "LastItems": None, "EditRoster": None, "DrainProcess": None, "SetLogLevel": None, "StillThere": None,
            "Redeem": None, "IssueToken": None, "LoginToken": None, "CheckLogin": None, "LoginChecked": None,
        "AskProcess": None, "ProcessTold": None,
        "AddKeys": None, "LoggedIn": None, "AskArchive": None, "ArchiveEnds": None, "Missed": None, "NoLongerAway": None, "Notified": None,
        "SharedContacts": None, "ShowUsers": None, "RosterRead": None, "TheirPresence": None, "TheirAnswer": None, "Seen": None, "Sighted": None,
    }  # fmt: skip


def test_what_came_later_has_a_default() -> None:
    for cls, keep in KNOWN.items():
        if keep is not None:
            later = cls._fields[keep:]  # type: ignore[attr-defined]
            assert later, "nothing has changed"
            assert set(later) <= set(cls._field_defaults)  # type: ignore[attr-defined]


def test_the_previous_version_gets_the_fields_that_it_knew() -> None:
    domains = (("x", True, ()),)
    assert fields_of(CHANGED, VERSION) == (domains, ("rooms",), (), (), ())
    assert fields_of(CHANGED, OLDEST) == (domains,)
    same = Holds("edge1", 1, ((2, 3),))
    assert fields_of(same, OLDEST) == fields_of(same, VERSION) == tuple(same)
    told = beat("edge1", 1)._replace(about=("host",))
    assert fields_of(told, OLDEST) == fields_of(told, VERSION)[:-1]


def test_what_the_previous_version_wrote_is_read_with_defaults() -> None:
    raw = pack_batch(
        Head(OLDEST, "old1", 1, 0, 0, 0, 0, 0, 1, 1), [pack_item((Kind.ROUTER, 3, 9, CHANGED, 7), OLDEST)]
    )
    head, items = unpack_batch(raw)
    assert head.version == OLDEST
    assert read_item(items[0]) == (Kind.ROUTER, 3, 9, READ_CUT, 7)


PRESENCE = Stanza.build("presence", from_="a@x/r")


@pytest.mark.parametrize(
    "item",
    [
        Fanout(PRESENCE, ("b@x",)),
        DeliverMany(PRESENCE, ((1, 2, 3, "b@x/r"),)),
        READ_CUT,
        Mirror("edge1", 3, (), True),
        beat("edge1", OLDEST),
    ],
    ids=lambda item: type(item).__name__,
)
def test_what_the_previous_version_writes_is_read_with_defaults(item: Item) -> None:
    """Also where a default is an item itself."""
    raw = pack_batch(
        Head(OLDEST, "old1", 1, 0, 0, 0, 0, 0, 1, 1), [pack_item((Kind.ROUTER, 3, 9, item, 0), OLDEST)]
    )
    _, (packed,) = unpack_batch(raw)
    entry = read_item(packed)
    assert entry is not None
    assert entry[3] == item


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Yield, and the second field of Left, had come with this version."""
    for cls, known in ((Yield, None), (Left, 1)):
        cut = narrower(cls, {cls: known})
        assert cut is not None
        monkeypatch.setitem(versions._NARROW, cls, cut)


@pytest.mark.usefixtures("later")
def test_an_item_that_the_previous_version_does_not_have_is_not_written() -> None:
    with pytest.raises(Unspoken):
        pack_item((Kind.EDGE, 0, 0, Yield("router1"), 0), OLDEST)


@pytest.mark.usefixtures("later")
def test_items_within_answers_and_refusals_are_cut_too() -> None:
    tag = TAGS[Domains]
    assert fields_of(Return(5, tag, CHANGED), OLDEST)[2] == ((("x", True, ()),),)
    assert fields_of(Refused(1, 2, 3, tag, CHANGED, 0), OLDEST)[4] == ((("x", True, ()),),)
    assert fields_of(Return(5, tag, CHANGED), VERSION)[2] == ((("x", True, ()),), ("rooms",), (), (), ())
    with pytest.raises(Unspoken):
        narrowed(Refused(1, 2, 3, TAGS[Yield], Yield("router1"), 0))
    assert narrowed(Failed(1, "gone", "cancel", "", ())) == Failed(1, "gone", "cancel", "", ())


class Inner(NamedTuple):
    a: int
    b: int = 0


class Outer(NamedTuple):
    one: Inner
    many: Sequence[Inner]
    pairs: Sequence[tuple[int, Inner]]
    plain: Sequence[int]


def test_changes_deep_within_an_item_are_found() -> None:
    cut = narrower(Outer, {Inner: 1})
    assert cut is not None
    inner = Inner(1, 2)
    assert cut(Outer(inner, (inner, inner), ((7, inner),), (1, 2))) == [[1], [[1], [1]], [[7, [1]]], (1, 2)]
    assert narrower(Outer, {Domains: 1}) is None


@pytest.mark.parametrize("version", [-1, 0, OLDEST - 1, VERSION + 1, 99])
def test_other_versions_are_refused_by_name(version: int) -> None:
    raw = pack_batch(Head(version, "x", 1, 0, 0, 0, 0, 0, 1, 1), [])
    with pytest.raises(WrongVersion, match=f"batch version {version}, this process reads 2 and 3"):
        unpack_batch(raw)


def test_a_rehearsing_process_refuses_what_an_old_one_would_refuse() -> None:
    raw = pack_batch(Head(VERSION, "x", 1, 0, 0, 0, 0, 0, 1, 1), [])
    with pytest.raises(WrongVersion, match="reads only 2"):
        unpack_batch(raw, OLDEST)


# --- who decides ------------------------------------------------------------------------------------------------------


def test_the_lowest_version_alive_is_written() -> None:
    liveness = Liveness("me", 0.0)
    assert liveness.lowest_version() == VERSION
    liveness.heard(beat("new", VERSION), 0.0)
    liveness.heard(beat("newer", VERSION + 1), 0.0)
    assert liveness.lowest_version() == VERSION
    liveness.heard(beat("old", OLDEST), 0.0)
    assert liveness.lowest_version() == OLDEST
    liveness.left("old")
    assert liveness.lowest_version() == VERSION, "the last old process has left"
    liveness.heard(beat("old2", OLDEST), 0.0)
    liveness.heard(beat("new", VERSION), 5.0)
    assert "old2" in liveness.lose(5.0)
    assert liveness.lowest_version() == VERSION, "the last old process was lost"


def test_nothing_below_what_we_can_write_is_promised() -> None:
    liveness = Liveness("me", 0.0)
    liveness.heard(beat("ancient", OLDEST - 1), 0.0)
    assert liveness.lowest_version() == OLDEST


def test_a_rehearsing_process_writes_no_more_than_it_speaks() -> None:
    liveness = Liveness("me", 0.0, OLDEST)
    liveness.heard(beat("new", VERSION), 0.0)
    assert liveness.lowest_version() == OLDEST


# --- two buses --------------------------------------------------------------------------------------------------------


class Pair:
    """A process of the previous version and a current one, joined."""

    def __init__(self) -> None:
        self.network = Network(clock=lambda: 0.0)
        self.old, self.new = self.network.bus("old1"), self.network.bus("new1")
        self.old.speaks = self.old.version = OLDEST
        self.got: list[tuple[str, Item]] = []
        for bus in (self.old, self.new):
            self._listen(bus)

    def _listen(self, bus: MemoryBus) -> None:
        def receive(source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
            assert not isinstance(item, Call)
            self.got.append((bus.incarnation, item))

        bus.receiver = receive
        bus.on_control = lambda item: self.got.append((bus.incarnation, item))

    def both_ways(self) -> list[tuple[str, Item]]:
        self.got.clear()
        self.old.post_to("new1", CHANGED)
        self.new.post_to("old1", CHANGED)
        self.network.settle()
        return sorted(self.got, key=lambda one: one[0])


@pytest.mark.usefixtures("later")
def test_both_understand_each_other_in_the_lower_version() -> None:
    pair = Pair()
    pair.new.version = OLDEST
    assert pair.both_ways() == [("new1", READ_CUT), ("old1", READ_CUT)]
    pair.new.announce(Yield("new1"))
    pair.new.announce(Left("x1", drained=True))
    pair.new.post_to("old1", Yield("new1"))
    pair.got.clear()
    pair.network.settle()
    assert pair.got == [("new1", Yield("new1")), ("new1", Left("x1", drained=True)), ("old1", Left("x1"))]
    assert pair.new.stats.unsendable == 0, "it is no mistake"
    assert pair.old.stats.bad_batches == pair.new.stats.bad_batches == 0


def test_a_batch_in_the_wrong_version_is_not_lost_but_comes_again() -> None:
    """A process of the previous version has come, and the others have not heard it yet."""
    pair = Pair()
    pair.new.version = VERSION
    pair.new.post_to("old1", CHANGED)
    pair.network.settle()
    assert pair.got == []
    assert pair.old.stats.bad_batches == 1
    pair.new.version = OLDEST
    for _ in range(3):
        pair.network.tick()
    assert len(pair.got) == 1
    assert pair.both_ways() == [("new1", READ_CUT), ("old1", READ_CUT)]


def test_once_the_old_one_is_gone_everything_is_said_again() -> None:
    pair = Pair()
    pair.new.version = OLDEST
    pair.both_ways()
    pair.network.kill("old1")
    other = pair.network.bus("new2")
    pair._listen(other)
    pair.new.version = VERSION
    pair.got.clear()
    pair.new.post_to("new2", CHANGED)
    pair.network.settle()
    assert pair.got == [("new2", READ_CUT._replace(kinds=("rooms",)))]


def test_a_bus_that_knows_nobody_writes_what_all_can_read() -> None:
    from rookery.shared.bus.nats import NatsBus
    from rookery.shared.config import Bus

    bus = NatsBus("new1", Bus())
    assert (bus.version, bus.speaks) == (OLDEST, VERSION)
