"""Guesses at one account's password are spaced; its user comes in all the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.workers.account import guessing
from rookery.workers.account.guessing import FRESH, LONGEST, MAX_ACCOUNTS, MAX_KNOWN, STRANGERS, Guesses

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


def test_an_address_that_has_hardly_asked_waits_for_nobody() -> None:
    guesses = Guesses(10, 600.0)
    attacked(guesses, 1000)
    assert guesses.pause(ALICE, "198.51.100.1", 0.0) is None
    assert [guesses.pause(ALICE, "203.0.113.1", 0.0) for _ in range(FRESH + 1)] == [2.0] * FRESH + [None]
    # As many addresses as a household of clients has, and more.
    assert {guesses.pause(ALICE, f"2001:db8:{n:x}::", 0.0) for n in range(90)} == {2.0}
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


WINDOW = 600.0
PHONE = "d4565fa7-4d72-4749-b3d3-740edbf87770"


def by_many(guesses: Guesses, seconds: int, each: int = 1, now: float = 0.0) -> int:
    """Answers to somebody with a fresh address for every `each` guesses, who guesses twice a second."""
    answered = 0
    for n in range(seconds * 2):
        at = now + n / 2
        answered += (
            guesses.pause(ALICE, f"{n // each % 223 + 1}.{n // each // 223 % 256}.0.1", at) is not None
        )
    return answered


@pytest.mark.parametrize("each", [1, FRESH, 10])
def test_somebody_with_a_great_many_addresses_has_a_bound(each: int) -> None:
    guesses = Guesses(10, WINDOW)
    assert by_many(guesses, 600, each) < 10 + 2 * STRANGERS + 300
    assert by_many(guesses, 3 * 600, each, 600.0) < 500
    # From then on, a day long.
    assert by_many(guesses, 3600, each, 2400.0) * 24 <= 3000


def test_it_becomes_rare_while_it_lasts_and_is_forgotten_when_it_ends() -> None:
    guesses = Guesses(10, WINDOW)
    windows = [by_many(guesses, 600, now=n * WINDOW) for n in range(5)]
    assert windows == sorted(windows, reverse=True)
    assert windows[0] > 10 * windows[-1]
    # Somebody who comes from nowhere, with nothing, an hour later.
    assert guesses.pause(ALICE, "233.252.0.1", 5 * WINDOW + 3600) == 0.0


def test_its_user_comes_in_meanwhile() -> None:
    guesses = Guesses(10, WINDOW)
    guesses.right(ALICE, HOME, 0.0, PHONE)
    by_many(guesses, 600)
    by_many(guesses, 600, now=600.0)
    now = 1199.0
    assert guesses.pause(ALICE, "233.252.0.9", now) is None, "a stranger"
    assert guesses.pause(ALICE, HOME, now) == 0.0, "where it was before"
    assert guesses.pause(ALICE, "192.0.77.1", now) == 0.0, "nearby: its line has another address today"
    assert guesses.pause(ALICE, "233.252.0.9", now, PHONE) == 0.0, "anywhere, with its client"
    assert guesses.pause(ALICE, "233.252.0.9", now, PHONE.replace("d", "e")) is None


def test_a_client_that_the_database_knows_has_guesses_of_its_own_and_no_more() -> None:
    guesses = Guesses(10, WINDOW)
    by_many(guesses, 600)
    assert [guesses.client(ALICE, PHONE, 599.0) for _ in range(11)] == [True] * 10 + [False]
    assert guesses.pause(ALICE, "233.252.0.9", 599.0, PHONE) is None


def test_neighbours_of_the_user_share_what_their_network_has() -> None:
    guesses = Guesses(10, WINDOW)
    guesses.right(ALICE, HOME, 0.0)
    by_many(guesses, 600)
    found = [guesses.pause(ALICE, f"192.0.9.{n}", 599.0) for n in range(100)]
    assert 9 <= found.count(0.0) <= 10
    assert sum(pause is not None for pause in found) <= 12


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.1", "192.0"), ("2001:db8:1:2::/64", "2001:db8::/32"), ("2001:db8::7", "2001:db8::/32")],
)
def test_the_network_around_an_address(address: str, network: str) -> None:
    assert guessing.around(address) == network
