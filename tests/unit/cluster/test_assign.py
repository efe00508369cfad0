"""Targets: balanced, with no move that balance does not need, the same for everyone."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.cluster.assign import Place, assign, targets

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


spots = st.builds(Place, st.sampled_from(["", "x", "y"]), st.sampled_from(["1", "2"]))
places = st.fixed_dictionaries(dict.fromkeys(["a", "b", "c", "d", "e"], spots))


@given(members, holders, places)
def test_places_change_neither_balance_nor_moves_nor_stability(
    live: set[str], current: list[str | None], where: dict[str, Place]
) -> None:
    target = assign(live, current, where)
    loads = [target.count(name) for name in live]
    assert sum(loads) == len(current)
    assert max(loads) - min(loads) <= 1

    def moved(to: list[str | None]) -> int:
        return sum(old != new and old in live for old, new in zip(current, to, strict=True))

    assert moved(target) == moved(assign(live, current))
    assert assign(sorted(live, reverse=True), target, where) == target


@given(st.integers(1, 3), st.integers(0, 64))
def test_zones_of_equal_size_hold_the_same_give_or_take_one(each: int, count: int) -> None:
    where = {f"{zone}{n}": Place(zone, str(n % 2)) for zone in "xyz" for n in range(each)}
    target = assign(where, [None] * count, where)
    loads = [sum(name is not None and name[0] == zone for name in target) for zone in "xyz"]
    assert max(loads) - min(loads) <= 1


def test_the_larger_shares_go_to_different_zones_then_hosts() -> None:
    where = {
        "a": Place("x", "1"),
        "b": Place("x", "1"),
        "c": Place("x", "2"),
        "d": Place("y", "3"),
        "e": Place("y", "3"),
    }
    assert assign(where, [None] * 2, where) == ["a", "d"]
    # Five have one each, three of them in x: the first of two more goes to y, the next to the other host of x.
    target = assign(where, [None] * 7, where)
    assert {name for name in where if target.count(name) == 2} == {"d", "c"}


@given(members, holders, places, names)
def test_nobody_is_spread_while_one_process_does_not_say_where_it_is(
    live: set[str], current: list[str | None], where: dict[str, Place], silent: str
) -> None:
    del where[silent]
    if silent in live:
        assert assign(live, current, where) == assign(live, current)
