"""What each recipient has heard of a stream: once, in any order within the window, and not for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.router.heard_uids import KEEP_TURNS, WINDOW, Heard


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, WINDOW)), max_size=80))
def test_within_the_window_each_number_is_new_once_whatever_the_order(steps: list[tuple[str, int]]) -> None:
    heard, known = Heard(), set[tuple[str, int]]()
    for to, n in steps:
        assert heard.new(b"room", n, to) is ((to, n) not in known)
        known.add((to, n))


def test_streams_and_recipients_are_told_apart() -> None:
    heard = Heard()
    assert heard.new(b"room", 1, "a")
    assert heard.new(b"room", 1, "b")
    assert heard.new(b"other", 1, "a")
    assert not heard.new(b"room", 1, "a")


def test_what_is_older_than_the_window_counts_as_heard() -> None:
    heard = Heard()
    assert heard.new(b"room", 1000, "a")
    assert heard.new(b"room", 1000 - WINDOW + 1, "a")
    assert not heard.new(b"room", 1000 - WINDOW, "a")


def test_a_new_holder_of_a_room_counts_in_another_epoch() -> None:
    heard = Heard()
    first, second = 7 << 32 | 5, 8 << 32 | 1
    assert heard.new(b"room", first, "a")
    assert heard.new(b"room", second, "a")
    assert not heard.new(b"room", second, "a")
    assert not heard.new(b"room", first, "a")
    assert heard.new(b"room", second + 1, "a")


def test_who_hears_nothing_for_long_is_forgotten_and_who_goes_on_is_not() -> None:
    heard = Heard()
    heard.new(b"room", 1, "gone")
    for turn in range(KEEP_TURNS * 2):
        heard.rotate()
        heard.new(b"room", 2 + turn, "stays")
    assert len(heard) <= 1
    assert heard.new(b"room", 1, "gone")
    assert not heard.new(b"room", KEEP_TURNS, "stays")


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 200)), max_size=40), st.booleans())
def test_a_successor_knows_what_it_was_told(steps: list[tuple[str, int]], rotated: bool) -> None:
    heard, successor = Heard(), Heard()
    for to, n in steps:
        heard.new(b"room", n, to)
    if rotated:
        for _ in range(KEEP_TURNS):
            heard.rotate()
    successor.learn(heard.told(100))
    for to, n in [*steps, ("a", 201), ("c", 1)]:
        assert successor.new(b"room", n, to) is heard.new(b"room", n, to)
    assert sum(len(its) for its in heard.told(1).values()) == 1


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 200)), max_size=40),
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 200)), max_size=40),
)
def test_what_a_successor_was_told_adds_to_what_it_knows_from_edges(
    told: list[tuple[str, int]], known: list[tuple[str, int]]
) -> None:
    heard, successor, both = Heard(), Heard(), Heard()
    for to, n in told:
        heard.new(b"room", n, to)
        both.new(b"room", n, to)
    for to, n in known:
        successor.new(b"room", n, to)
        both.new(b"room", n, to)
    successor.learn(heard.told(100))
    for to in ("a", "b"):
        for n in range(1, 202):
            if any(one == to for one, _ in (*told, *known)):
                assert successor.new(b"room", n, to) is both.new(b"room", n, to), (to, n)


def test_who_was_given_a_number_in_order_was_given_all_before_it() -> None:
    heard = Heard()
    heard.new(b"node", 12, "a")
    heard.reached(b"node", 10, "a")
    heard.reached(b"node", 5, "b")
    assert [heard.new(b"node", n, "a") for n in (1, 9, 10, 11, 12, 13)] == [
        False,
        False,
        False,
        True,
        False,
        True,
    ]
    assert [heard.new(b"node", n, "b") for n in (4, 5, 6)] == [False, False, True]
    heard.reached(b"node", 8, "b")
    assert [heard.new(b"node", n, "b") for n in (7, 9)] == [False, True]


def test_what_is_given_in_order_is_never_given_behind_something_newer() -> None:
    heard = Heard()
    assert [heard.next(b"node", n, "a") for n in (5, 5, 4, 7, 6, 8)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
    assert heard.next(b"node", 4, "b")
    assert heard.next(b"other", 1, "a")
    for _ in range(2 * KEEP_TURNS - 1):
        heard.rotate()
    assert not heard.next(b"node", 7, "a")
