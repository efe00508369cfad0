"""What a component has of what it was sent: pings, silence, other links."""

from __future__ import annotations

from rookery.workers.component.acknowledging import NEVER, PING_SECONDS, Acknowledging

LINK, NEXT = ("holder", 1), ("holder", 2)


def test_a_ping_goes_behind_what_was_sent_and_one_at_a_time() -> None:
    acks = Acknowledging(10.0)
    assert acks.ping(0.0) == ""
    assert acks.take(LINK, 1, 0.0)
    assert acks.take(LINK, 2, 0.0)
    id = acks.ping(0.0)
    assert id
    assert acks.take(LINK, 3, 0.01)
    assert acks.ping(0.01) == ""
    assert acks.answered("something else") is None
    assert acks.answered(id) is True
    assert acks.acked == 2
    assert acks.ping(0.02) == ""
    assert acks.due(0.02) == PING_SECONDS
    assert acks.answered(acks.ping(PING_SECONDS)) is True
    assert acks.acked == 3
    assert acks.due(1.0) == NEVER


def test_a_gap_and_a_link_that_begins_late_are_noticed() -> None:
    acks = Acknowledging(10.0)
    assert not acks.take(LINK, 2, 0.0)
    assert acks.take(LINK, 1, 0.0)
    assert not acks.take(LINK, 3, 0.0)
    assert acks.take(NEXT, 1, 0.0)
    assert acks.link == NEXT


def test_an_answer_to_a_ping_of_a_former_link_counts_nothing() -> None:
    acks = Acknowledging(10.0)
    acks.take(LINK, 1, 0.0)
    id = acks.ping(0.0)
    acks.take(NEXT, 1, 0.0)
    assert acks.answered(id) is False
    assert acks.acked == 0


def test_who_answers_no_ping_has_what_its_kernel_has_confirmed() -> None:
    acks = Acknowledging(10.0)
    acks.take(LINK, 1, 0.0)
    id = acks.ping(0.0)
    assert not acks.look(9.0, confirmed=True)
    assert not acks.look(10.0, confirmed=False)
    assert not acks.mute
    assert acks.look(11.0, confirmed=True)
    assert (acks.mute, acks.acked) == (True, 1)
    acks.take(LINK, 2, 12.0)
    assert acks.ping(12.0) == ""
    assert not acks.look(12.3, confirmed=False)
    assert acks.due(12.3) < 13
    assert acks.look(12.6, confirmed=True)
    assert acks.acked == 2
    # It answers at last.
    assert acks.answered(id) is False
    assert not acks.mute
