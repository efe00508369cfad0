"""Targets: balanced, with no move that balance does not need, the same for everyone."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.cluster.assign import assign, targets

names = st.sampled_from(["a", "b", "c", "d", "e"])
members = st.sets(names, min_size=1)
holders = st.lists(st.one_of(st.none(), names), min_size=1, max_size=64)


@given(members, holders)
def test_everyone_gets_the_same_share_give_or_take_one(live: set[str], current: list[str | None]) -> None:
    target = assign(live, current)
    counts = Counter(dict.fromkeys(live, 0)) + Counter(target)
    loads = [counts[name] for name in live]
    assert sum(loads) == len(current)
    assert max(loads) - min(loads) <= 1


@given(members, holders)
def test_only_what_is_above_its_holders_share_moves(live: set[str], current: list[str | None]) -> None:
    target = assign(live, current)
    held = Counter(holder for holder in current if holder in live)
    small = len(current) // len(live)
    larger = len(current) % len(live)
    shares = sorted(held.values(), reverse=True)
    kept_at_best = sum(min(load, small + (rank < larger)) for rank, load in enumerate(shares))
    kept = sum(old == new and old in live for old, new in zip(current, target, strict=True))
    assert kept == kept_at_best


@given(members, holders)
def test_targets_are_stable(live: set[str], current: list[str | None]) -> None:
    target = assign(live, current)
    assert assign(sorted(live, reverse=True), target) == target


def test_nobody_is_there() -> None:
    assert assign([], ["a", None]) == [None, None]


@given(members, holders, st.sets(names))
def test_silent_and_draining_holders_keep_what_they_have(
    live: set[str], current: list[str | None], free: set[str]
) -> None:
    live -= free
    held = dict(enumerate(current))
    wanted = targets(held, live, free)
    for partition, holder in held.items():
        stays = holder is not None and holder not in live and holder not in free
        assert (partition in wanted) != stays
        assert wanted.get(partition) in live | {None}
