"""Who was cancelled lately is told once more when it is approved again."""

from __future__ import annotations

from rookery.workers.pubsub.cancelled import SECONDS, Cancelled


def test_a_pair_counts_once_and_for_a_while() -> None:
    cancelled = Cancelled()
    assert not cancelled.take("a@x", "b@x", 1.0)
    cancelled.add("a@x", "b@x", 1.0)
    assert not cancelled.take("b@x", "a@x", 2.0)
    assert cancelled.take("a@x", "b@x", 2.0)
    assert not cancelled.take("a@x", "b@x", 2.0)
    cancelled.add("a@x", "b@x", 1.0)
    assert not cancelled.take("a@x", "b@x", 2.0 + SECONDS)


def test_only_so_many_are_remembered() -> None:
    cancelled = Cancelled(most=2)
    for contact in ("b@x", "c@x", "d@x"):
        cancelled.add("a@x", contact, 1.0)
    assert [cancelled.take("a@x", contact, 2.0) for contact in ("b@x", "c@x", "d@x")] == [False, True, True]
