"""What sessions were told of nodes lately."""

from __future__ import annotations

from rookery.shared.custody.told_nodes import MOST, ToldNodes


def test_each_number_is_told_once_and_none_behind_a_newer_one() -> None:
    told = ToldNodes()
    assert told.new(b"s", b"node", 5)
    assert [told.new(b"s", b"node", n) for n in (4, 5, 6)] == [False, False, True]
    assert told.new(b"other", b"node", 5)
    assert told.new(b"s", b"another", 1)


def test_it_is_remembered_for_a_minute_at_least() -> None:
    told = ToldNodes()
    told.new(b"s", b"node", 5)
    told.rotate()
    assert not told.new(b"s", b"node", 5)
    assert told.of(b"s") == ((b"node", 5),)
    told.rotate()
    assert told.of(b"s") == ()
    assert len(told) == 0
    assert told.new(b"s", b"node", 5)


def test_what_moves_with_a_session_is_the_newest_and_bounded() -> None:
    told = ToldNodes()
    told.new(b"s", b"node", 1)
    told.rotate()
    told.new(b"s", b"node", 2)
    assert told.of(b"s") == ((b"node", 2),)
    for n in range(2 * MOST):
        told.new(b"s", b"%d" % n, 1)
    assert len(told.of(b"s")) == MOST
    assert told.of(b"s")[-1] == (b"%d" % (2 * MOST - 1), 1)
