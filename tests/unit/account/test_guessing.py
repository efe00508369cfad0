"""Guesses at one account's password are spaced; its user comes in all the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.workers.account import guessing
from rookery.workers.account.guessing import FRESH, LONGEST, MAX_ACCOUNTS, MAX_KNOWN, Guesses

ALICE, HOME = "alice@example.org", "192.0.2.1"


def attacked(guesses: Guesses, count: int, now: float = 0.0) -> list[float | None]:
    """Guesses from one address."""
    return [guesses.pause(ALICE, "198.51.100.1", now) for n in range(count)]


def test_some_are_free_then_they_are_spaced_then_refused() -> None:
    guesses = Guesses(10, 600.0)
    pauses = attacked(guesses, 20)
    assert pauses[:10] == [0.0] * 10
    assert pauses[10:13] == [0.25, 0.75, 1.75]
    assert pauses[13:] == [3.75] + [None] * 6
    # One answer in two seconds, and no queue that grows.
    assert [guesses.pause(ALICE, "198.51.100.1", now) for now in (4.0, 5.0, 6.0)] == [2.0, 3.0, 4.0]
    assert guesses.pause("bob@example.org", "198.51.100.1", 0.0) == 0.0


def test_an_address_that_has_hardly_asked_waits_but_is_never_refused() -> None:
    guesses = Guesses(10, 600.0)
    attacked(guesses, 1000)
    assert guesses.pause(ALICE, "198.51.100.1", 0.0) is None
    assert [guesses.pause(ALICE, "203.0.113.1", 0.0) for _ in range(FRESH + 1)] == [2.0] * FRESH + [None]
    # From however many addresses.
    assert {guesses.pause(ALICE, f"2001:db8:{n:x}::", 0.0) for n in range(1000)} == {2.0}
    # Whoever comes in has its guesses back.
    guesses.right(ALICE, "203.0.113.1", 0.0)
    assert guesses.pause(ALICE, "203.0.113.1", 0.0) == 0.0


@pytest.mark.parametrize(
    ("patience", "widest", "longest"), [(30.0, 2.0, 5.0), (2.0, 0.25, 0.5), (0.4, 0.05, 0.1)]
)
def test_no_wait_takes_the_time_that_there_is_for_a_login(
    patience: float, widest: float, longest: float
) -> None:
    guesses = Guesses(1, 600.0, patience)
    queued = [pause for pause in attacked(guesses, 100) if pause is not None]
    assert longest - widest <= max(queued) <= longest
    assert guesses.pause(ALICE, "203.0.113.1", 0.0) == pytest.approx(widest)


def test_the_user_comes_in_from_where_it_was_before() -> None:
    guesses = Guesses(10, 600.0)
    assert guesses.pause(ALICE, HOME, 0.0) == 0.0
    guesses.right(ALICE, HOME, 0.0)
    attacked(guesses, 100)
    assert [guesses.pause(ALICE, HOME, 0.0) for _ in range(10)] == [0.0] * 10
    # Whoever guesses there is one of the others.
    assert [guesses.pause(ALICE, HOME, 0.0) for _ in range(FRESH + 1)] == [2.0] * FRESH + [None]


def test_logins_that_succeed_are_no_guesses() -> None:
    guesses = Guesses(3, 600.0)
    for n in range(100):
        assert guesses.pause(ALICE, f"192.0.2.{n}", 0.0) == 0.0
        guesses.right(ALICE, f"192.0.2.{n}", 0.0)
    assert len(guesses._accounts[ALICE].known) == MAX_KNOWN


def test_they_are_forgotten_in_time() -> None:
    guesses = Guesses(10, 600.0)
    attacked(guesses, 30)
    assert guesses.pause(ALICE, HOME, 599.0) == pytest.approx(2.0)
    assert guesses.pause(ALICE, HOME, 600.0) == 0.0


def test_memory_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "MAX_ACCOUNTS", 10)
    monkeypatch.setattr(guessing, "MAX_GUESSING", 20)
    guesses = Guesses(10, 600.0)
    for n in range(100):
        guesses.pause(f"user{n}@example.org", HOME, 0.0)
    assert len(guesses) == 10
    assert len(guesses._guessing) == 20
    assert MAX_ACCOUNTS > 1000


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 900)), max_size=200))
def test_no_answer_is_delayed_for_longer_than_a_client_waits(steps: list[tuple[str, bool, float]]) -> None:
    guesses, now = Guesses(3, 600.0), 0.0
    for address, right, passed in steps:
        now += passed / 100
        if right:
            guesses.right(ALICE, address, now)
        else:
            pause = guesses.pause(ALICE, address, now)
            assert pause is None or 0.0 <= pause <= LONGEST
