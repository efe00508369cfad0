"""What a source keeps until it is handled: bounds, legs, what is sent again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rookery.shared.bus.messages import Copy, Kind, Origin, Route, Submit
from rookery.shared.custody.inflight import SHARE, Entry, Inflight, Place, Pool
from rookery.shared.xmpp.stanza import Stanza

MESSAGE = Stanza.build("message", to="b@x", from_="a@x/r")


def at_router(partition: int) -> Place:
    return Kind.ROUTER, partition


def routers(*partitions: int) -> set[Place]:
    return {at_router(partition) for partition in partitions}


def entry(n: int, partition: int = 1, size: int = 10, once: bool = False, at: float = 0.0) -> Entry:
    return Entry(at_router(partition), Route(Origin(b"s", n, "edge"), MESSAGE), size, once, at)


def numbers(entries: list[Entry]) -> list[int]:
    return [kept.item.origin.n for kept in entries]


def test_full_by_count_and_by_bytes() -> None:
    by_count = Inflight(3, 1_000_000, Pool(1_000_000, 1 << 30))
    assert [by_count.add(n, entry(n)) for n in (1, 2, 3)] == [False, False, True]
    by_bytes = Inflight(1000, 25, Pool(1_000_000, 1 << 30))
    assert [by_bytes.add(n, entry(n)) for n in (1, 2, 3)] == [False, False, True]


def test_room_comes_back_at_half() -> None:
    inflight = Inflight(4, 1_000_000, Pool(1_000_000, 1 << 30))
    for n in range(1, 5):
        inflight.add(n, entry(n))
    inflight.accepted(2)
    assert not inflight.room
    inflight.accepted(1)
    assert inflight.room


def test_a_spent_pool_leaves_each_stream_its_share() -> None:
    pool = Pool(6, 1_000_000)
    greedy, late = Inflight(100, 1_000_000, pool), Inflight(100, 1_000_000, pool)
    assert [greedy.add(n, entry(n)) for n in range(1, 7)] == [False] * 5 + [True]
    assert [late.add(n, entry(n)) for n in range(1, SHARE + 1)] == [False] * (SHARE - 1) + [True]
    # The pool has room again, and with it whoever asks first.
    for n in range(1, 6):
        greedy.accepted(n)
    assert pool.items == 5
    assert not pool.spent
    assert late.room
    for n in range(7, 12):
        greedy.add(n, entry(n))
    assert pool.spent
    # One that has no more than half of its share open goes on, or nobody would ever wake it.
    assert not late.room
    late.accepted(1)
    late.accepted(2)
    assert late.room


def test_a_pool_is_spent_by_bytes_and_empty_in_the_end() -> None:
    pool = Pool(1000, 45)
    inflight = Inflight(100, 1_000_000, pool)
    assert [inflight.add(n, entry(n), copy(n) if n == 2 else None) for n in range(1, 6)] == [False] * 4 + [
        True
    ]
    inflight.again(routers(1), before=1.0)
    for n in range(1, 6):
        inflight.accepted(n)
    assert (pool.items, pool.bytes) == (1, 10)
    inflight.copied(2)
    assert (pool.items, pool.bytes) == (0, 0)
    inflight.add(6, entry(6), copy(6))
    inflight.clear()
    assert (pool.items, pool.bytes, len(inflight)) == (0, 0, 0)


def test_it_says_whether_its_oldest_has_waited() -> None:
    kept = Inflight(4, 1_000_000, Pool(1_000_000, 1 << 30))
    assert not kept.waits(100.0)
    kept.add(1, entry(1, at=5.0))
    kept.add(2, entry(2, at=9.0))
    assert (kept.waits(5.0), kept.waits(6.0)) == (False, True)
    kept.accepted(1)
    assert (kept.waits(9.0), kept.waits(9.5)) == (False, True)


def test_a_repeated_acceptance_changes_nothing() -> None:
    inflight = Inflight(10, 100, Pool(1_000_000, 1 << 30))
    inflight.add(1, entry(1))
    assert inflight.accepted(1)
    assert not inflight.accepted(1)
    assert inflight.bytes == 0


def test_again_is_in_order_and_only_for_those_partitions() -> None:
    inflight = Inflight(10, 1000, Pool(1_000_000, 1 << 30))
    for n, partition in enumerate([1, 2, 1, 3, 1], 1):
        inflight.add(n, entry(n, partition))
    assert numbers(inflight.again(routers(1))) == [1, 3, 5]
    assert numbers(inflight.again(routers(2, 3))) == [2, 4]
    assert len(inflight) == 5


def test_it_waits_for_the_partitions_of_both_legs() -> None:
    inflight = Inflight(10, 1000, Pool(1_000_000, 1 << 30))
    inflight.add(1, entry(1), copy(1))
    assert inflight.places() == routers(1, 9)
    inflight.accepted(1)
    assert inflight.places() == routers(9), "the successor of the sender's own router has to hear of it too"
    inflight.copied(1)
    assert inflight.places() == set()


def test_what_is_delivered_at_most_once_is_not_repeated_and_does_not_fill_the_stream() -> None:
    inflight = Inflight(10, 1000, Pool(1_000_000, 1 << 30))
    inflight.add(1, entry(1, once=True))
    inflight.add(2, entry(2))
    inflight.add(3, entry(3, partition=2, once=True))
    assert numbers(inflight.again(routers(1))) == [2]
    assert len(inflight) == 2
    assert inflight.bytes == 20


def test_who_holds_them_still_gets_everything_again() -> None:
    inflight = Inflight(10, 1000, Pool(1_000_000, 1 << 30))
    inflight.add(1, entry(1, once=True))
    inflight.add(2, entry(2))
    assert numbers(inflight.again(routers(1), same=True)) == [1, 2]
    assert len(inflight) == 2


def test_a_young_stream_is_not_repeated_by_time_and_an_old_one_is_as_a_whole() -> None:
    inflight = Inflight(10, 1000, Pool(1_000_000, 1 << 30))
    inflight.add(1, entry(1, at=5.0))
    inflight.add(2, entry(2, at=50.0))
    assert inflight.again(routers(1), before=5.0) == []
    assert numbers(inflight.again(routers(1), before=6.0)) == [1, 2]


def test_by_time_a_young_item_of_the_at_most_once_kind_still_waits() -> None:
    inflight = Inflight(10, 1000, Pool(1_000_000, 1 << 30))
    inflight.add(1, entry(1, at=5.0, once=True))
    inflight.add(2, entry(2, at=50.0, once=True))
    assert inflight.again(routers(1), before=10.0) == []
    assert len(inflight) == 1


def copy(n: int, partition: int = 9, at: float = 0.0) -> Entry:
    return Entry(at_router(partition), Copy(Origin(b"s", n, "edge"), "a@x/r", 1, MESSAGE), 10, False, at)


def test_a_stanza_is_handled_when_both_legs_are() -> None:
    inflight = Inflight(10, 1000, Pool(1_000_000, 1 << 30))
    inflight.add(1, entry(1), copy(1))
    inflight.add(2, entry(2), copy(2))
    assert (len(inflight), inflight.bytes, inflight.frontier(2)) == (2, 20, 0)
    assert inflight.accepted(1)
    assert (len(inflight), inflight.bytes, inflight.frontier(2)) == (2, 20, 0)
    assert inflight.copied(2)
    assert inflight.copied(1)
    assert (len(inflight), inflight.bytes, inflight.frontier(2)) == (1, 10, 1)
    assert not inflight.copied(1)
    assert inflight.accepted(2)
    assert (len(inflight), inflight.bytes, inflight.frontier(7)) == (0, 0, 7)


def test_only_missing_legs_are_repeated() -> None:
    inflight = Inflight(10, 1000, Pool(1_000_000, 1 << 30))
    inflight.add(1, entry(1), copy(1))
    inflight.add(2, entry(2), copy(2))
    inflight.accepted(1)
    inflight.copied(2)
    assert inflight.again(routers(1, 9)) == [copy(1), entry(2)]
    assert inflight.again(routers(9)) == [copy(1)]


def test_one_item_that_asks_for_both_legs_is_repeated_once() -> None:
    both = Entry(at_router(9), Submit(Origin(b"s", 1, "edge"), "a@x/r", 1, MESSAGE), 10, False, 0.0)
    inflight = Inflight(10, 1000, Pool(1_000_000, 1 << 30))
    inflight.add(1, both, both)
    assert inflight.again(routers(9)) == [both]
    inflight.accepted(1)
    assert inflight.again(routers(9)) == [both]
    inflight.copied(1)
    assert inflight.again(routers(9)) == []


class Against(RuleBasedStateMachine):
    """The machine against a list of legs that were neither done nor given up."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Inflight(50, 10_000, Pool(1_000_000, 1 << 30))
        self.model: list[tuple[int, Entry]] = []
        self.copies: list[tuple[int, Entry]] = []
        self.sizes: dict[int, int] = {}
        self.n = 0

    def open(self) -> set[int]:
        return {n for n, _ in (*self.model, *self.copies)}

    @rule(partition=st.integers(0, 3), size=st.integers(0, 500), once=st.booleans(), copied=st.booleans())
    def add(self, partition: int, size: int, once: bool, copied: bool) -> None:
        self.n += 1
        kept = entry(self.n, partition, size, once)
        second = copy(self.n, 3)._replace(size=size) if copied and not once else None
        full = self.machine.add(self.n, kept, second)
        self.sizes[self.n] = size
        self.model.append((self.n, kept))
        if second is not None:
            self.copies.append((self.n, second))
        assert full == (len(self.open()) >= 50 or sum(self.sizes[n] for n in self.open()) >= 10_000)

    @rule(n=st.integers(0, 60))
    def accept(self, n: int) -> None:
        assert self.machine.accepted(n) == any(number == n for number, _ in self.model)
        self.model = [one for one in self.model if one[0] != n]

    @rule(n=st.integers(0, 60))
    def copy_done(self, n: int) -> None:
        assert self.machine.copied(n) == any(number == n for number, _ in self.copies)
        self.copies = [one for one in self.copies if one[0] != n]

    @rule(partition=st.integers(0, 3))
    def lose(self, partition: int) -> None:
        legs = [one for one in (*self.model, *self.copies) if one[1].place == at_router(partition)]
        expected = sorted(n for n, kept in legs if not kept.once)
        assert numbers(self.machine.again(routers(partition))) == expected
        self.model = [
            (n, kept) for n, kept in self.model if not (kept.place == at_router(partition) and kept.once)
        ]

    @invariant()
    def sums(self) -> None:
        assert len(self.machine) == len(self.open())
        assert self.machine.bytes == sum(self.sizes[n] for n in self.open())
        assert self.machine.frontier(self.n) == min(self.open(), default=self.n + 1) - 1


TestAgainst = Against.TestCase


@given(st.lists(st.integers(1, 100), unique=True))
def test_everything_accepted_leaves_nothing(order: list[int]) -> None:
    inflight = Inflight(1000, 1_000_000, Pool(1_000_000, 1 << 30))
    for n in sorted(order):
        inflight.add(n, entry(n))
    for n in order:
        inflight.accepted(n)
    assert (len(inflight), inflight.bytes) == (0, 0)
