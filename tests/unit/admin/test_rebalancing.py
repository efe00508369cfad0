"""Which edges give connections away, and how many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.admin.rebalancing import Share, plan


def test_two_old_edges_and_a_new_one() -> None:
    assert plan({"a": 6000, "b": 3000, "new": 0}, 90) == {"a": Share(3000, 90)}
    assert plan({"a": 4500, "b": 4500, "new": 0}, 90) == {"a": Share(1500, 45), "b": Share(1500, 45)}


@pytest.mark.parametrize(
    "connections", [{}, {"a": 5000}, {"a": 0, "b": 0}, {"a": 105, "b": 100, "c": 98}, {"a": 1, "b": 0}]
)
def test_nobody_gives_anything_when_there_is_nothing_to_gain(connections: dict[str, int]) -> None:
    assert plan(connections, 100) == {}


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 100_000), min_size=2),
    st.integers(1, 10_000),
    st.integers(0, 50),
)
def test_nobody_gets_below_the_mean_and_there_is_room_for_all(
    connections: dict[str, int], rate: int, tolerance: int
) -> None:
    shares = plan(connections, rate, tolerance)
    mean = sum(connections.values()) / len(connections)
    for name, share in shares.items():
        assert share.connections >= 1
        assert share.rate >= 1
        assert mean <= connections[name] - share.connections < mean + 1
    assert set(shares) < set(connections)
    assert sum(share.rate for share in shares.values()) <= rate + len(shares)
