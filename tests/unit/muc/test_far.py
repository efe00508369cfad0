"""Other servers of occupants: asked when they are silent, gone when they cannot be reached, and not because we cannot ask."""

from __future__ import annotations

import pytest

from rookery.workers.muc.far import AGAIN, ASK, CALM, Far

FAR, OTHER = "far.example", "other.example"
LIMIT = 60.0


def known(*names: str) -> Far:
    """These have users in rooms since 0."""
    far = Far()
    assert far.look(names, 0.0, LIMIT) == ([], [])
    return far


def test_a_silent_domain_is_asked_and_one_that_speaks_is_not() -> None:
    far = known(FAR, OTHER)
    far.came(OTHER, 20.0)
    assert far.look((FAR, OTHER), ASK - 1, LIMIT) == ([], [])
    assert far.look((FAR, OTHER), ASK, LIMIT) == ([FAR], [])
    assert far.look((FAR, OTHER), ASK + 1, LIMIT) == ([], []), "one question at a time"


def test_a_domain_that_cannot_be_reached_is_gone_after_a_minute() -> None:
    far = known(FAR)
    gone: list[float] = []
    for moment in range(5, 91, 5):
        now = float(moment)
        look = far.look((FAR,), now, LIMIT)
        gone += [now for _ in look.gone]
        if look.asked:
            far.failed(FAR, now + 1)
    assert gone == [LIMIT]


def test_a_domain_that_failed_is_asked_more_often() -> None:
    far = known(FAR)
    assert far.look((FAR,), ASK, LIMIT).asked == [FAR]
    far.failed(FAR, ASK + 1)
    assert far.look((FAR,), ASK + AGAIN, LIMIT).asked == [FAR]


def test_silence_alone_takes_nobody_out() -> None:
    """A question of which nothing is known may never have left: our own bus or database may be away."""
    far = known(FAR)
    assert all(far.look((FAR,), float(now), LIMIT).gone == [] for now in range(5, 900, 5))


def test_an_old_failure_takes_nobody_out() -> None:
    far = known(FAR)
    far.look((FAR,), ASK, LIMIT)
    far.failed(FAR, 1.0)
    assert far.look((FAR,), LIMIT, LIMIT).gone == []


@pytest.mark.parametrize(("limit", "gone"), [(0.0, []), (300.0, []), (60.0, [FAR])])
def test_how_long_that_takes_can_be_set(limit: float, gone: list[str]) -> None:
    far = known(FAR)
    far.look((FAR,), 50.0, limit)
    far.failed(FAR, 55.0)
    assert far.look((FAR,), 61.0, limit).gone == gone


def test_a_domain_that_was_away_and_speaks_again_is_told_once() -> None:
    far = known(FAR)
    far.failed(FAR, 30.0)
    assert far.came(FAR, 40.0)
    assert not far.came(FAR, 41.0)
    assert far.look((FAR,), LIMIT, LIMIT).gone == []


def test_occupants_of_a_domain_are_not_all_asked_again_and_again() -> None:
    far = known(FAR)
    assert far.shaken(FAR, 10.0)
    assert not far.shaken(FAR, 10.0 + CALM - 1)
    assert far.shaken(FAR, 10.0 + CALM)
    assert far.shaken("unknown.example", 10.0)


def test_domains_without_occupants_are_forgotten() -> None:
    far = known(FAR)
    far.look((), 10.0, LIMIT)
    assert not far.came(FAR, 11.0)
    assert far.look((FAR,), 1000.0, LIMIT) == ([], []), "a new stay begins anew"
