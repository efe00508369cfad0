"""How long a dead process or server waits until it is started again."""

from __future__ import annotations

from rookery.up.patience import LONGEST, SHORTEST, SOON, STABLE, Patience


def test_what_worked_is_not_missed_for_long_however_often_it_is_killed() -> None:
    patience = Patience()
    assert [patience.pause(1.0) for _ in range(8)] == [SHORTEST, 0.5, SOON, SOON, SOON, SOON, SOON, SOON]
    assert patience.pause(STABLE) == 0.0
    assert patience.pause(1.0) == SHORTEST


def test_what_was_asked_to_end_is_started_at_once() -> None:
    patience = Patience()
    assert patience.pause(1.0, orderly=True) == 0.0
    assert patience.pause(0.0, orderly=True) == SHORTEST


def test_what_never_worked_waits_longer_each_time() -> None:
    patience = Patience()
    pauses = [patience.pause(0.0) for _ in range(8)]
    assert pauses == [SHORTEST, 0.5, 1.0, 2.0, 4.0, 8.0, LONGEST, LONGEST]
    assert patience.pause(1.0) == SOON
