"""The presence worker is told of a roster once in a while."""

from __future__ import annotations

from rookery.workers.roster.reading import EVERY, MOST, Reading


def test_an_account_is_told_once_in_a_while() -> None:
    reading = Reading()
    assert reading.due(1, "a@x", 10.0)
    assert not reading.due(1, "a@x", 9.0 + EVERY)
    assert reading.due(1, "b@x", 10.0)
    assert reading.due(1, "a@x", 10.0 + EVERY)
    reading.forget(1)
    assert reading.due(1, "b@x", 11.0)


def test_only_so_many_are_remembered() -> None:
    reading = Reading()
    for number in range(MOST + 1):
        assert reading.due(1, f"{number}@x", 1.0)
    assert reading.due(1, "0@x", 1.0)
