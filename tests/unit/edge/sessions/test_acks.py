"""Acknowledgements of written deliveries on their way to the routers."""

from __future__ import annotations

from rookery.edge.sessions.acks import MANY, Acks


def test_few_wait_and_are_taken_together() -> None:
    acks = Acks()
    assert not acks.add(1, 5)
    assert not acks.add(2, 9)
    assert not acks.add(1, 6)
    assert list(acks.take()) == [1, 2]
    assert list(acks.take()) == []


def test_many_of_one_stream_are_reported_at_once() -> None:
    acks = Acks()
    acks.add(1, 10)
    assert not acks.add(1, 10 + MANY - 1)
    assert acks.add(1, 10 + MANY)
    assert list(acks.take()) == [], "they are on their way"


def test_a_session_that_ends_says_whether_something_is_left() -> None:
    acks = Acks()
    acks.add(1, 1)
    assert acks.drop(1)
    assert not acks.drop(1)
    assert list(acks.take()) == []
