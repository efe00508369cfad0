"""The resources of one bare JID: binding, presence, dense numbers, one fate."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from rookery.router.accounts.edge_note import pack, unpack
from rookery.router.accounts.kept import Fate, Parcel
from rookery.router.accounts.resources import Binding, Policy, Resources
from rookery.router.accounts.session import MAX_DIRECTED, MAX_KEPT, Session
from rookery.router.recent_uids import KEEP_TURNS, PER_STREAM, Recent
from rookery.router.rules import Case
from rookery.shared.bus.messages import Origin
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BARE = "a@example.org"
UP = Stanza.build("presence", from_=f"{BARE}/r")
MESSAGE = Stanza.build("message", Element("jabber:client", "body", {}, "x"), type="chat", to=BARE)
_grants = count(1)


def parcel(n: int, fate: Fate | None = None) -> Parcel:
    return Parcel(MESSAGE, Origin(b"s", n, ""), 0.0, fate)


def bind(
    resources: Resources, wanted: str, policy: Policy = "replace", limit: int = 10, stream: bytes = b""
) -> Binding:
    names = (f"made{n}" for n in count())
    return resources.bind(
        BARE,
        wanted,
        next(_grants),
        "edge1",
        1,
        stream,
        policy=policy,
        limit=limit,
        generate=lambda: next(names),
    )


def test_replace_gives_the_resource_to_the_new_stream() -> None:
    resources = Resources("all")
    old = bind(resources, "r").session
    binding = bind(resources, "r")
    assert binding.replaced is old
    assert binding.session.grant > old.grant
    assert resources.current("r", old.grant) is None
    assert resources.current("r", binding.session.grant) is binding.session


def test_refuse_keeps_the_old_stream() -> None:
    resources = Resources("all")
    old = bind(resources, "r").session
    with pytest.raises(StanzaError, match="conflict"):
        bind(resources, "r", "refuse")
    assert resources.by_resource == {"r": old}


def test_generate_gives_another_name() -> None:
    resources = Resources("all")
    bind(resources, "r")
    binding = bind(resources, "r", "generate")
    assert binding.replaced is None
    assert binding.session.full == f"{BARE}/made0"


def test_a_generated_name_is_free() -> None:
    resources = Resources("all")
    bind(resources, "made0")
    assert bind(resources, "").session.resource == "made1"


def test_too_many_resources_but_a_replacement_fits() -> None:
    resources = Resources("all")
    for n in range(10):
        bind(resources, f"r{n}")
    with pytest.raises(StanzaError, match="resource-constraint"):
        bind(resources, "one-more")
    with pytest.raises(StanzaError, match="resource-constraint"):
        bind(resources, "")
    assert bind(resources, "r3").replaced is not None


def test_a_repeated_request_of_one_stream_keeps_one_session() -> None:
    resources = Resources("all")
    first = bind(resources, "", stream=b"s").session
    again = bind(resources, "", stream=b"s")
    assert again.replaced is first
    assert list(resources.by_resource.values()) == [again.session]
    assert again.session.full == first.full


@pytest.mark.parametrize(
    ("priorities", "case", "best"),
    [
        ((), Case.NONE, ()),
        ((None,), Case.NONE, ()),
        ((-1,), Case.NEGATIVE, ()),
        ((-1, -128), Case.NEGATIVE, ()),
        ((0,), Case.SOME, (0,)),
        ((-1, 0), Case.SOME, (1,)),
        ((1, 5, 3), Case.SOME, (1,)),
        ((5, 1, 5), Case.SOME, (0, 2)),
        ((None, 2), Case.SOME, (1,)),
    ],
)
def test_who_is_most_available(priorities: tuple[int | None, ...], case: Case, best: tuple[int, ...]) -> None:
    resources = Resources("all")
    sessions = [bind(resources, f"r{n}").session for n in range(len(priorities))]
    for session, priority in zip(sessions, priorities, strict=True):
        if priority is not None:
            resources.set_presence(session, UP, priority)
    assert resources.case is case
    assert [sessions.index(one) for one in resources.best] == list(best)
    assert all(one.priority >= 0 for one in resources.non_negative)


def test_latest_breaks_a_tie_by_who_came_last_not_by_who_updated_last() -> None:
    resources = Resources("latest")
    first, second = bind(resources, "a").session, bind(resources, "b").session
    resources.set_presence(first, UP, 1)
    resources.set_presence(second, UP, 1)
    resources.set_presence(first, UP, 1)
    assert resources.best == (second,)
    resources.set_presence(second, None, 0)
    assert resources.best == (first,)


def test_initial_presence_is_the_first_after_unavailable() -> None:
    resources = Resources("all")
    session = bind(resources, "r").session
    assert resources.set_presence(session, UP, 0) is True
    assert resources.set_presence(session, UP, 5) is False
    resources.set_presence(session, None, 0)
    assert resources.set_presence(session, UP, 0) is True


def test_directed_targets_are_bounded_and_forgotten() -> None:
    session = Session(f"{BARE}/r", 1, "e", 1, b"")
    assert all(session.direct(f"x{n}@y", True) for n in range(MAX_DIRECTED))
    assert session.direct("more@y", True) is False
    assert session.direct("x0@y", True) is True
    session.direct("x0@y", False)
    assert session.direct("more@y", True) is True


def test_the_higher_grant_wins_a_restored_resource() -> None:
    resources = Resources("all")
    low, high = Session(f"{BARE}/r", 5, "e1", 1, b""), Session(f"{BARE}/r", 9, "e2", 1, b"")
    assert resources.restore(low) is None
    assert resources.restore(high) is low
    assert resources.restore(low) is low
    assert resources.by_resource["r"] is high


def test_a_session_is_full_up_and_catches_up_at_half() -> None:
    session = Session(f"{BARE}/r", 1, "e", 1, b"")
    for _ in range(MAX_KEPT):
        session.give(parcel(1))
    assert session.full_up
    session.ack(MAX_KEPT // 2 - 1)
    assert not session.caught_up
    session.ack(MAX_KEPT // 2)
    assert session.caught_up


@given(st.lists(st.one_of(st.just("give"), st.integers(0, 40)), max_size=60))
def test_numbers_are_dense_and_each_leaves_once_in_order(steps: list[str | int]) -> None:
    session = Session(f"{BARE}/r", 1, "e", 1, b"")
    given_, left = 0, []
    for step in steps:
        if isinstance(step, str):
            given_ += 1
            assert session.give(parcel(given_)) == given_
        else:
            left += [one.n for one in session.ack(step)]
        assert [one.n for one in session.kept] == list(range(session.acked + 1, given_ + 1))
    assert left == list(range(1, session.acked + 1))
    left += [one.n for one in session.abandon()]
    assert left == list(range(1, given_ + 1))
    assert session.kept_bytes == 0


class OneFate(RuleBasedStateMachine):
    """A message to several sessions that die and acknowledge in any order ends in exactly one way."""

    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.alive: list[Session] = []
        self.got: set[int] = set()
        self.orphaned: list[int] = []
        self.sent = 0

    @rule(target=sessions)
    def bind(self) -> Session:
        session = Session(f"{BARE}/r{len(self.alive)}", len(self.alive) + 1, "e", 1, b"")
        self.alive.append(session)
        return session

    @rule()
    def send(self) -> None:
        alive = [session for session in self.alive if session.grant]
        if alive:
            self.sent += 1
            fate = Fate(len(alive)) if len(alive) > 1 else None
            for session in alive:
                session.give(parcel(self.sent, fate))

    @rule(session=sessions)
    def ack(self, session: Session) -> None:
        self.got.update(one.parcel.origin.n for one in session.ack(session.n))

    @rule(session=sessions)
    def die(self, session: Session) -> None:
        session.grant = 0
        self.orphaned += [one.parcel.origin.n for one in session.abandon()]

    @invariant()
    def never_both_and_never_twice(self) -> None:
        assert len(self.orphaned) == len(set(self.orphaned))
        assert self.got.isdisjoint(self.orphaned)

    def teardown(self) -> None:
        for session in self.alive:
            self.die(session)
        assert sorted([*self.got, *self.orphaned]) == list(range(1, self.sent + 1))


TestOneFate = OneFate.TestCase


def test_a_note_brings_back_what_the_router_knew() -> None:
    resources = Resources("all")
    session = bind(resources, "r").session
    resources.set_presence(session, UP, -3)
    session.marks = ("interested",)
    session.direct("room@muc/nick", True)
    back = Session(session.full, session.grant, "e", 1, b"")
    assert unpack(pack(session), back)
    assert (back.presence, back.priority, back.since) == (UP, -3, 1)
    assert back.marks == ("interested",)
    assert list(back.directed or ()) == ["room@muc/nick"]


@given(st.binary(max_size=64))
def test_a_broken_note_changes_nothing(note: bytes) -> None:
    session = Session(f"{BARE}/r", 1, "e", 1, b"")
    if not unpack(note, session):
        assert (session.presence, session.marks, session.directed) == (None, (), None)


def test_recent_uids_are_told_apart() -> None:
    recent = Recent()
    recent.mark(b"s", 1, True)
    recent.mark(b"s", 2, False)
    assert [recent.state(b"s", n) for n in (1, 2, 3)] == [True, False, None]
    assert recent.state(b"t", 1) is None
    recent.mark(b"s", 2, True)
    assert recent.state(b"s", 2) is True
    recent.forget(b"s", 1)
    assert recent.state(b"s", 1) is None


def test_recent_forgets_silent_streams_and_old_numbers() -> None:
    recent = Recent()
    for n in range(PER_STREAM + 1):
        recent.mark(b"busy", n, True)
    assert recent.state(b"busy", 0) is None
    assert recent.state(b"busy", PER_STREAM) is True
    recent.mark(b"silent", 1, True)
    for turn in range(KEEP_TURNS + 1):
        recent.rotate()
        recent.mark(b"busy", PER_STREAM + 1 + turn, True)
        assert recent.state(b"silent", 1) is (True if turn < KEEP_TURNS else None)
        # what a stream said in this minute and the one before it
        assert recent.state(b"busy", PER_STREAM + turn) is True
    assert recent.state(b"busy", PER_STREAM) is None
    assert len(recent) == 1


def test_what_is_told_to_the_next_holder_is_accepted_and_bounded() -> None:
    recent = Recent()
    recent.mark(b"old", 1, True)
    recent.rotate()
    recent.mark(b"new", 1, True)
    recent.mark(b"new", 2, False)
    recent.mark(b"new", 3, True)
    assert recent.told(100) == {b"new": [1, 3], b"old": [1]}
    assert recent.told(2) == {b"new": [1, 3]}
    assert recent.told(1) == {}


def test_what_a_room_owes_to_a_session_that_died_is_not_for_the_next_one_of_its_name() -> None:
    session = Session(f"{BARE}/r", 1, "e", 1, b"")
    stream, room = b"room:tea@rooms.example", "tea@rooms.example"
    assert not session.occupies(stream, f"{room}/Bob")
    session.direct("other@rooms.example/Bob", True)
    assert not session.occupies(stream, room)
    assert not session.enters(room)
    session.direct(f"{room}/Bob", True)
    assert session.enters(room)
    assert not session.occupies(stream, f"{room}/Alice"), "what was under way to the one before it"
    assert session.hear(stream, 5)
    assert session.occupies(stream, f"{room}/Alice")
    session.direct(f"{room}/Bob", False)
    assert session.occupies(stream, room), "its own leave is told, too"


def test_for_the_next_holder_an_entrance_is_under_way_where_nothing_was_heard() -> None:
    former = Session(f"{BARE}/r", 1, "e", 1, b"")
    former.direct("tea@rooms.example/Bob", True)
    session = Session(f"{BARE}/r", 1, "e", 1, b"")
    assert unpack(pack(former), session)
    assert session.enters("tea@rooms.example")
    assert not session.occupies(b"room:tea@rooms.example", "tea@rooms.example/Alice")
    session.forgotten()
    assert session.occupies(b"room:tea@rooms.example", "tea@rooms.example/Alice")
    assert not session.occupies(b"room:other@rooms.example", "other@rooms.example/Alice")


def test_rooms_that_a_session_left_are_forgotten_before_those_that_it_is_in() -> None:
    session = Session(f"{BARE}/r", 1, "e", 1, b"")
    session.direct("in@rooms.example/Bob", True)
    assert session.hear(b"room:in@rooms.example", 1)
    for n in range(MAX_DIRECTED):
        assert session.hear(b"room:%d@rooms.example" % n, 1)
    assert len(session.heard) == MAX_DIRECTED
    assert session.occupies(b"room:in@rooms.example", "in@rooms.example")
    assert not session.occupies(b"room:0@rooms.example", "0@rooms.example")


def test_of_a_room_only_what_is_acknowledged_counts_as_heard_at_another_edge() -> None:
    session = Session(f"{BARE}/r", 1, "edge1", 1, b"s")
    for n in (3, 7, 9):
        assert session.hear(b"one", n)
        session.give(Parcel(MESSAGE, Origin(b"one", n, "")))
    assert session.hear(b"other", 5)
    assert dict(session.acknowledged()) == {b"one": 2, b"other": 5}
    session.ack(1)
    assert dict(session.acknowledged()) == {b"one": 6, b"other": 5}
    session.ack(3)
    assert dict(session.acknowledged()) == {b"one": 9, b"other": 5}
