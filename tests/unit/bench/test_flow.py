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


def test_sums() -> None:
    one, other = Flow(), Flow()
    one.sent, other.sent = 2, 3
    take(one, 0)
    take(one, 1)
    take(other, 2)
    assert messages([one, other]) == Messages(5, 3, 2, 0, 0)


def test_who_does_not_move_is_told_once_per_patience() -> None:
    stalls: Stalls[str] = Stalls(10)
    assert stalls.look(0, [("a", 1), ("b", 1)]) == []
    assert stalls.look(6, [("a", 1), ("b", 2)]) == []
    assert stalls.look(10, [("a", 1), ("b", 2)]) == ["a"]
    assert stalls.look(11, [("a", 1), ("b", 2)]) == []
    assert stalls.look(20, [("a", 1), ("b", 2)]) == ["a", "b"]


def test_who_was_away_begins_anew() -> None:
    stalls: Stalls[str] = Stalls(10)
    stalls.look(0, [("a", 1)])
    stalls.look(5, [])
    assert stalls.look(12, [("a", 1)]) == []
