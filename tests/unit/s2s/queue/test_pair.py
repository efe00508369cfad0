"""The queue of one pair of domains."""

from __future__ import annotations

import pytest

from rookery.shared.bus.messages import NOBODY
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.s2s.queue import pair as module
from rookery.workers.s2s.queue.entries import Entry, durable
from rookery.workers.s2s.queue.pair import Pair
from rookery.workers.s2s.queue.room import EACH, LEAST, Room

BODY = Element("jabber:client", "body", None, "hi")
STATE = Element("http://jabber.org/protocol/chatstates", "composing")
NO_STORE = Element("urn:xmpp:hints", "no-store")


@pytest.mark.parametrize(
    ("stanza", "expected"),
    [
        (Stanza.build("message", BODY, type="chat"), True),
        (Stanza.build("message", BODY), True),
        (Stanza.build("message", BODY, type="groupchat"), True),
        (Stanza.build("message", BODY, NO_STORE, type="groupchat"), False),
        (Stanza.build("message", STATE, type="chat"), False),
        (Stanza.build("message", BODY, NO_STORE, type="chat"), False),
        (Stanza.build("message", BODY, type="headline"), False),
        (Stanza.build("message", BODY, type="error"), False),
        (Stanza.build("presence", type="subscribe"), True),
        (Stanza.build("presence", type="unsubscribed"), True),
        (Stanza.build("presence"), False),
        (Stanza.build("presence", type="probe"), False),
        (Stanza.build("iq", BODY, type="set"), False),
    ],
)
def test_what_has_a_row(stanza: Stanza, expected: bool) -> None:
    assert durable(stanza) is expected


def row(seq: int, ready: bool = True) -> Entry:
    entry = Entry(Stanza.build("message", BODY, type="chat", id=str(seq)), NOBODY, seq, 0.0, 0.0)
    entry.ready = ready
    return entry


def loose(id: str, kind: str = "presence", to: str = "b@y", until: float = 10.0) -> Entry:
    return Entry(Stanza.build(kind, from_="a@x/r", to=to, id=id), NOBODY, 0, 0.0, until)


def ids(entries: list[Entry]) -> list[str]:
    return [entry.stanza.id for entry in entries]


def test_what_is_not_committed_holds_up_what_is_behind_it() -> None:
    queue = Pair("x", "y")
    first = row(1, ready=False)
    queue.push(first)
    queue.push(loose("p"))
    assert not queue.sendable
    assert queue.take(10) == []
    queue.committed(first)
    assert ids(queue.take(10)) == ["1", "p"]
    assert not queue.waits


def test_a_later_availability_takes_the_place_of_one_that_waits() -> None:
    queue = Pair("x", "y")
    for entry in (loose("old"), loose("other", to="c@y"), loose("new")):
        queue.push(entry)
    assert ids(queue.take(10)) == ["other", "new"]
    assert len(queue) == 0


def test_a_repetition_is_not_sent() -> None:
    queue = Pair("x", "y")
    for seq in (1, 2, 3):
        queue.push(row(seq))
    queue.forget((2,))
    assert ids(queue.take(10)) == ["1", "3"]
    assert queue.rows == 2


def test_what_was_not_acknowledged_goes_to_the_front_and_what_has_no_row_is_not_repeated() -> None:
    queue = Pair("x", "y")
    for entry in (row(1), loose("p"), row(2), row(3)):
        queue.push(entry)
    sent = queue.take(3)
    queue.back(sent)
    assert ids(queue.take(10)) == ["1", "2", "3"]


def test_too_much_without_rows_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOSE", 2)
    queue = Pair("x", "y")
    assert queue.push(loose("1", "iq"))
    assert queue.push(loose("2", "iq"))
    assert not queue.push(loose("3", "iq"))
    assert queue.push(row(1)), "what has a row is always taken"
    assert ids(queue.cull(10.0)) == ["1", "2"]
    assert ids(queue.take(10)) == ["1"]


def test_rows_beyond_the_window_are_read_in_order_also_when_more_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WINDOW", 2)
    queue = Pair("x", "y")
    for seq in (1, 2, 3):
        queue.push(row(seq))
    assert queue.behind
    queue.push(loose("p"))
    for entry in queue.take(10):
        queue.settled(entry)
    assert queue.wanting
    pushed = queue.pushed
    queue.push(late := row(4, ready=False))
    queue.read([row(3)], False, pushed)
    assert queue.behind, "4 came meanwhile and is not committed"
    assert not queue.wanting
    assert ids(queue.take(10)) == ["3"]
    queue.committed(late)
    assert queue.wanting
    queue.read([row(4)], False, queue.pushed)
    assert ids(queue.take(10)) == ["4", "p"]
    assert not queue.behind


def heavy(seq: int, size: int) -> Entry:
    body = Element("jabber:client", "body", None, "x" * size)
    entry = Entry(Stanza.build("message", body, type="chat", id=str(seq)), NOBODY, seq, 0.0, 0.0)
    entry.ready = True
    return entry


def test_few_large_rows_fill_memory_as_many_small_ones_do() -> None:
    room = Room()
    queue = Pair("x", "y", room)
    for seq in range(1, 41):
        queue.push(heavy(seq, 200_000))
    assert queue.behind
    assert queue.size <= EACH
    assert queue.in_memory == 20
    assert len(queue) == 40
    for entry in queue.take(20):
        queue.settled(entry)
    assert queue.wanting
    assert room.used == 0


def test_queues_of_dead_domains_leave_room_to_one_that_lives() -> None:
    room = Room(1_000_000)
    for number in range(20):
        dead = Pair("x", f"dead{number}", room)
        for seq in range(1, 31):
            dead.push(heavy(seq, 30_000))
    assert room.used < 1_000_000 + EACH + 20 * LEAST
    queue = Pair("x", "y", room)
    for seq in (1, 2, 3):
        queue.push(heavy(seq, 30_000))
    assert ids(queue.take(10)) == ["1", "2"], "its least, whatever others have"
    assert queue.behind
    dead.abandon()
    assert room.used < 1_000_000 + EACH


def test_rows_are_not_looked_through_for_what_has_none() -> None:
    queue = Pair("x", "y")
    queue.push(row(1))
    assert queue.cull(1e9) == queue.requests() == []
    queue.push(loose("q", "iq"))
    assert ids(queue.requests()) == ["q"]
    assert queue.cull(1e9) == []
    assert len(queue) == 1
