"""What a process in the middle keeps: by uid and side, in order, within bounds, until the path has ended."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rookery.shared.bus.messages import Handle, Kind, Origin, Route
from rookery.shared.custody.inflight import Place
from rookery.shared.custody.kept import LEFT, OVERHEAD, Handed, Kept
from rookery.shared.xmpp.stanza import Stanza

MESSAGE = Stanza.build("message", to="b@x", from_="a@x/r")


def at(partition: int) -> Place:
    return Kind.ROUTER, partition


def handed(
    n: int, partition: int = 1, *, once: bool = False, when: float = 0.0, came: int = 9, edge: str = "edge1"
) -> Handed:
    item = Route(Origin(b"s", n, "me"), MESSAGE)
    return Handed(at(partition), item, once, when, Origin(b"s", n, edge), came)


def key(n: int, sent: bool = True) -> tuple[bytes, int, bool]:
    return b"s", n, sent


def kept(*several: Handed) -> Kept:
    machine = Kept(1000, 1 << 30)
    for one in several:
        assert machine.add(key(one.former.n), one)
    return machine


def numbers(found: object) -> list[int]:
    return [one.former.n for one in found]  # type: ignore[attr-defined]


def test_acceptance_names_for_whom_it_was_kept() -> None:
    machine = kept(handed(1), handed(2, edge="edge2"))
    assert [one.former.custodian for one in machine.accepted(b"s", 2)] == ["edge2"]
    assert machine.accepted(b"s", 2) == []
    assert machine.accepted(b"t", 1) == []
    assert numbers(machine.again({at(1)})) == [1]
    assert (len(machine), machine.bytes) == (1, OVERHEAD + len(MESSAGE.inner))


def test_a_path_that_has_ended_settles_both_of_its_sides() -> None:
    """The router of the sender and that of the addressee are one process: a worker of each side was asked."""
    machine = Kept(10, 1 << 20)
    subscribe = Stanza.build("presence", type="subscribe", to="b@x")
    for sent, partition in ((True, 3), (False, 4)):
        item = Handle(Origin(b"s", 1, "me"), "b@x", "", sent, subscribe)
        former = Origin(b"s", 1, "worker1" if not sent else "edge1")
        assert machine.add(key(1, sent), Handed((Kind.ROSTER, partition), item, False, 0.0, former, 9))
    assert [one.former.custodian for one in machine.accepted(b"s", 1)] == ["edge1", "worker1"]
    assert (len(machine), machine.bytes, list(machine.places())) == (0, 0, [])


def test_what_comes_again_is_kept_once_in_its_place_for_whoever_sent_it_last() -> None:
    machine = kept(handed(1), handed(2))
    assert not machine.add(key(1), handed(1, edge="edge2", came=8, when=5.0))
    found = list(machine.again({at(1)}))
    assert numbers(found) == [1, 2]
    assert (found[0].former.custodian, found[0].came, found[0].at) == ("edge2", 8, 0.0)
    assert machine.bytes == 2 * (OVERHEAD + len(MESSAGE.inner))
    machine.leave(9, 6.0)
    assert [one.came for one in machine.again({at(1)})] == [8, LEFT]


def test_what_a_partition_left_behind_keeps_its_place_for_a_while() -> None:
    machine = kept(handed(1, came=1), handed(2, came=2), handed(3, came=1))
    machine.leave(1, 5.0)
    assert numbers(machine.again({at(1)})) == [1, 2, 3]
    assert not machine.reclaim(key(1), Origin(b"s", 1, "edge2"), 7)
    assert machine.add(key(1), handed(1, came=7)), "it comes here again, and is sent again"
    assert numbers(machine.again({at(1)})) == [1, 2, 3]
    machine.expire(5.0)
    assert len(machine) == 3
    machine.expire(5.1)
    assert numbers(machine.again({at(1)})) == [1, 2]
    machine.leave(7, 6.0)
    assert machine.add(key(1), handed(1, 3, came=7)), "its address is somebody else's by now"
    assert (numbers(machine.again({at(1)})), numbers(machine.again({at(3)}))) == ([2], [1])


def test_again_is_in_order_for_those_places_only() -> None:
    machine = kept(*(handed(n, partition) for n, partition in enumerate([1, 2, 1, 3, 1], 1)))
    assert numbers(machine.again({at(1)})) == [1, 3, 5]
    assert sorted(numbers(machine.again({at(2), at(3), at(4)}))) == [2, 4]
    assert len(machine) == 5


@pytest.mark.parametrize(
    ("same", "before", "again", "given_up"),
    [
        (False, float("inf"), [2, 4], [1, 3]),  # another holder: their fate is unknown
        (True, float("inf"), [1, 2, 3, 4], []),  # who has them still drops them
        (False, 5.0, [2, 4], [1]),  # by time: one that is young may still be accepted
        (False, 1.0, [], []),  # the oldest is younger: all or none keeps the order
    ],
)
def test_at_most_once_items(same: bool, before: float, again: list[int], given_up: list[int]) -> None:
    machine = kept(
        handed(1, once=True, when=1.0),
        handed(2, when=1.0),
        handed(3, once=True, when=9.0),
        handed(4, when=9.0),
    )
    assert numbers(machine.again({at(1)}, before, same)) == again
    assert numbers(machine.given_up) == given_up
    assert len(machine) == 4 - len(given_up)


def test_it_is_full_by_count_and_by_bytes() -> None:
    by_count, by_bytes = Kept(2, 1 << 20), Kept(100, 2 * OVERHEAD)
    for n in (1, 2):
        assert not by_count.full
        assert not by_bytes.full
        by_count.add(key(n), handed(n))
        by_bytes.add(key(n), handed(n))
    assert by_count.full
    assert by_bytes.full
    by_count.accepted(b"s", 1)
    by_bytes.accepted(b"s", 1)
    assert not by_count.full
    assert not by_bytes.full


class Against(RuleBasedStateMachine):
    """The machine against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Kept(1000, 1 << 30)
        self.model: list[tuple[tuple[bytes, int, bool], Handed]] = []

    @rule(
        n=st.integers(1, 12),
        sent=st.booleans(),
        partition=st.integers(0, 2),
        once=st.booleans(),
        came=st.integers(0, 2),
    )
    def add(self, n: int, sent: bool, partition: int, once: bool, came: int) -> None:
        new = handed(n, partition, once=once, came=came)
        known = [one for one in self.model if one[0] == key(n, sent)]
        left = bool(known) and known[0][1].came == LEFT
        assert self.machine.add(key(n, sent), new) is (left or not known)
        if left and known[0][1].place == new.place:
            self.model[self.model.index(known[0])] = (key(n, sent), new)
        elif left:
            self.model.remove(known[0])
            self.model.append((key(n, sent), new))
        elif known:
            at_ = self.model.index(known[0])
            self.model[at_] = (key(n, sent), known[0][1]._replace(came=came))
        else:
            self.model.append((key(n, sent), new))

    @rule(n=st.integers(1, 12))
    def accept(self, n: int) -> None:
        expected = [one for one in self.model if one[0][1] == n]
        got = self.machine.accepted(b"s", n)
        assert sorted(got) == sorted(handed for _, handed in expected)
        self.model = [one for one in self.model if one[0][1] != n]

    @rule(came=st.integers(0, 2))
    def leave(self, came: int) -> None:
        self.machine.leave(came, 0.0)
        self.model = [
            (key, one._replace(came=LEFT, at=0.0) if one.came == came else one) for key, one in self.model
        ]

    @rule()
    def expire(self) -> None:
        self.machine.expire(1.0)
        self.model = [one for one in self.model if one[1].came != LEFT]

    @rule(partition=st.integers(0, 2), same=st.booleans())
    def again(self, partition: int, same: bool) -> None:
        there = [one for one in self.model if one[1].place == at(partition)]
        expected = [handed for _, handed in there if same or not handed.once]
        assert list(self.machine.again({at(partition)}, same=same)) == expected
        if not same:
            self.model = [one for one in self.model if one not in there or not one[1].once]

    @invariant()
    def sums(self) -> None:
        assert len(self.machine) == len(self.model)
        assert self.machine.bytes == len(self.model) * (OVERHEAD + len(MESSAGE.inner))
        assert set(self.machine.places()) == {one[1].place for one in self.model}


TestAgainst = Against.TestCase
