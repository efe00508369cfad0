"""What others have read of an account is believed only where nothing was heard of it since."""

from __future__ import annotations

from rookery.workers.presence.changes import REMEMBERED, Changes

NOW = 1000.0


def test_nobody_is_believed_of_a_partition_that_is_not_held_or_came_lately() -> None:
    changes = Changes()
    assert not changes.none(3, "a@x", NOW)
    changes.acquired(3, NOW)
    assert not changes.none(3, "a@x", NOW + REMEMBERED / 2)
    assert changes.none(3, "a@x", NOW + REMEMBERED)
    changes.forget(3)
    assert not changes.none(3, "a@x", NOW + REMEMBERED)


def test_a_change_counts_for_its_account_and_for_a_while() -> None:
    changes = Changes()
    changes.acquired(3, 0.0)
    changes.heard("a@x", NOW)
    assert not changes.none(3, "a@x", NOW + REMEMBERED / 2)
    assert changes.none(3, "b@x", NOW)
    changes.heard("b@x", NOW + 2 * REMEMBERED)
    assert changes.none(3, "a@x", NOW + 2 * REMEMBERED)


def test_too_many_changes_are_not_remembered_one_by_one() -> None:
    changes = Changes(most=2)
    changes.acquired(3, 0.0)
    for name in "abc":
        changes.heard(f"{name}@x", NOW)
    assert not changes.none(3, "d@x", NOW + REMEMBERED / 2)
    assert changes.none(3, "a@x", NOW + REMEMBERED)
