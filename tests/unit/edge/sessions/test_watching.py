"""Accounts that an operator watches."""

from __future__ import annotations

import pytest

from rookery.edge.sessions.watching import KEPT, LASTS, WATCHES, Watch, Watches
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza

ALICE = "alice@x.example"
MESSAGE = Stanza.build(
    "message", parse_element(b"<body xmlns='jabber:client'>secret</body>"), to="b@x", type="chat", id="1"
)


class Bound:
    """A session as the watches see it."""

    def __init__(self) -> None:
        self.watch: Watch | None = None


def test_what_passes_is_told_from_where_one_was() -> None:
    now, session = [0.0], Bound()
    watches = Watches(lambda: now[0], lambda: 100.0 + now[0])
    assert not watches
    assert watches.answer({"account": ALICE}, lambda account: [session]) == []
    assert session.watch is watches.of(ALICE) is not None
    session.watch.note(f"{ALICE}/a", True, MESSAGE)
    session.watch.note(f"{ALICE}/a", False, MESSAGE)
    first, second = watches.answer({"account": ALICE}, lambda account: [])
    assert (first["number"], first["sent"], first["names"], second["sent"]) == (
        1, True, ["{jabber:client}body"], False,
    )  # fmt: skip
    assert "secret" not in str(first)
    assert watches.answer({"account": ALICE, "after": 2}, lambda account: []) == []
    (told,) = watches.answer({"account": ALICE, "after": 1, "bodies": True}, lambda account: [])
    assert "secret" in told["content"]
    now[0] = LASTS + 1
    watches.tick(lambda account: [session])
    assert session.watch is None
    assert not watches


def test_it_is_bounded() -> None:
    watches = Watches(lambda: 0.0, lambda: 0.0)
    watch, new = watches.renew(ALICE)
    assert new
    for _ in range(KEPT + 10):
        watch.note(ALICE, True, MESSAGE)
    told = watches.answer({"account": ALICE, "limit": 10_000}, lambda account: [])
    assert (len(told), told[0]["number"]) == (KEPT, 11)
    for number in range(WATCHES - 1):
        watches.renew(f"{number}@x.example")
    with pytest.raises(ValueError, match="watched already"):
        watches.renew("more@x.example")
    for nonsense in ({}, {"account": ALICE, "after": "x"}):
        with pytest.raises((KeyError, ValueError)):
            watches.answer(nonsense, lambda account: [])
