"""Lost, duplicated and reordered messages, against a model that remembers everything; stalls."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rookery.bench.driver.flow import Flow, messages
from rookery.bench.driver.stalls import Stalls
from rookery.bench.result import Messages


def take(flow: Flow, number: int) -> bool:
    if number == flow.expected:
        flow.expected = number + 1
        return True
    return flow.strange(number)


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), max_size=60))
def test_counts_are_exact(arrivals: list[int]) -> None:
    flow = Flow()
    flow.sent = 31
    seen: set[int] = set()
    duplicated = reordered = 0
    for number in arrivals:
        fresh = number not in seen
        duplicated += not fresh
        reordered += fresh and bool(seen) and number < max(seen)
        seen.add(number)
        assert take(flow, number) is fresh
    assert messages([flow]) == Messages(31, len(seen), 31 - len(seen), duplicated, reordered)
    assert flow.outstanding == 31 - len(seen)


def answer(flow: Flow, number: int, refused: bool) -> bool:
    return flow.refuse(number) if refused else take(flow, number)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=40))
def test_refused_ones_are_neither_lost_nor_delivered(answers: list[tuple[int, bool]]) -> None:
    flow = Flow()
    flow.sent = 12
    arrived: set[int] = set()
    refused: set[int] = set()
    for number, error in answers:
        if number == 12 and not error:
            continue  # nobody delivers what was not sent
        fresh = number not in arrived
        if error:
            fresh = fresh and number not in refused and number < 12
            refused |= {number} if fresh else set()
        else:
            arrived.add(number)
            refused.discard(number)  # it came all the same
        assert answer(flow, number, error) is fresh
        assert (flow.arrived, flow.refused) == (len(arrived), len(refused))
        assert flow.outstanding == 12 - len(arrived) - len(refused)
    made = messages([flow])
    assert (made.delivered, made.refused, made.lost) == (flow.arrived, flow.refused, flow.outstanding)


def test_those_after_a_refused_one_are_in_order() -> None:
    flow = Flow()
    flow.sent = 4
    assert flow.refuse(1)
    assert [take(flow, number) for number in (0, 2, 3)] == [True, True, True]
    assert messages([flow]) == Messages(4, 3, 0, 0, 0, 1)


def test_sums() -> None:
    one, other = Flow(), Flow()
    one.sent, other.sent = 2, 3
    take(one, 0)
    take(one, 1)
    take(other, 2)
    assert messages([one, other]) == Messages(5, 3, 2, 0, 0)


def test_who_does_not_move_is_told_once_per_patience() -> None:
    stalls: Stalls[str] = Stalls(10, 8)
    assert stalls.look(0, [("a", 1), ("b", 1)]) == []
    assert stalls.look(6, [("a", 1), ("b", 2)]) == []
    assert stalls.look(10, [("a", 1), ("b", 2)]) == ["a"]
    assert stalls.look(11, [("a", 1), ("b", 2)]) == []
    assert stalls.look(20, [("a", 1), ("b", 2)]) == ["a", "b"]


def test_who_waited_long_is_remembered() -> None:
    stalls: Stalls[str] = Stalls(10, 5)
    stalls.look(0, [("a", 1), ("b", 1), ("c", 1)])
    stalls.look(5, [("a", 1), ("b", 2), ("c", 1)])
    assert stalls.slow == set()
    stalls.look(6, [("a", 1), ("b", 2)])
    stalls.look(9, [("a", 2), ("b", 2)])
    assert stalls.slow == {"a"}


def test_who_was_away_begins_anew() -> None:
    stalls: Stalls[str] = Stalls(10, 8)
    stalls.look(0, [("a", 1)])
    stalls.look(5, [])
    assert stalls.look(12, [("a", 1)]) == []
