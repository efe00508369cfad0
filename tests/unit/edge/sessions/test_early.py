"""What routers send for a binding before their answer to it has been looked at."""

from __future__ import annotations

import pytest

from rookery.edge.sessions import early
from rookery.edge.sessions.early import EarlyItems
from rookery.shared.bus.messages import End, Note

NOTE = Note(7, 1, b"note")
END = End(7, 1, "conflict", "", b"stream")


def test_items_of_an_expected_stream_are_kept_in_order_until_they_are_taken() -> None:
    items = EarlyItems()
    assert not items.keep(7, "router1", NOTE), "nobody binds"
    items.expect(7)
    assert items.keep(7, "router1", NOTE)
    assert items.keep(7, "router2", END)
    assert items.take(7) == [("router1", NOTE), ("router2", END)]
    assert items.take(7) == []
    assert not items.keep(7, "router1", NOTE), "the session is in the table now"


def test_the_end_of_a_stream_is_seen_before_it_begins() -> None:
    items = EarlyItems()
    items.expect(7)
    items.keep(7, "router1", NOTE)
    assert not items.ended(7)
    items.keep(7, "router1", END)
    assert items.ended(7)
    assert not items.ended(8)


def test_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "MANY", 2)
    items = EarlyItems()
    items.expect(7)
    for n in range(3):
        assert items.keep(7, "router1", NOTE._replace(grant=n)), "it is for this stream all the same"
    assert [item.grant for _, item in items.take(7) if isinstance(item, Note)] == [0, 1]
