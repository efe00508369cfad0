"""What comes from one client: turns, rests, restarts, reasons not to read."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from rookery.edge.client.inbox import TURN_STANZAS, Inbox
from rookery.edge.client.limits import Shaper
from rookery.edge.context import Context
from rookery.edge.sessions.session import Session
from rookery.shared.config import Limits
from rookery.shared.net.transport import ASKING, BACKLOG, CONGESTED, FULL, SHAPED
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import StreamLimits
from rookery.shared.xmpp.xml import Element

LIMITS = StreamLimits(10_000, 32, 8, 256)


class Transport:
    def __init__(self) -> None:
        self.held = 0
        self.agains = 0

    def hold(self, reason: int) -> None:
        self.held |= reason

    def release(self, reason: int) -> None:
        self.held &= ~reason

    def again(self) -> None:
        self.agains += 1


class Reader:
    """A connection: what it is told, and the session that the stream has."""

    def __init__(self) -> None:
        self.others: list[Any] = []
        self.taken: list[str] = []
        self.woken: list[float] = []
        self.session = cast("Session", self)

    def take(self, stanza: Stanza) -> None:
        self.taken.append(stanza.id)

    def other(self, event: Any) -> Session | None:
        self.others.append(event)
        return self.session

    def wake(self, at: float) -> None:
        self.woken.append(at)


class Set:
    def __init__(self) -> None:
        self.reactor = SimpleNamespace(now=100.0)
        self.context = SimpleNamespace(
            before=LIMITS, after=LIMITS, reactor=self.reactor, congested=[], is_congested=False
        )
        self.reader = Reader()
        self.inbox = Inbox(cast("Context", self.context), False, self.reader)
        self.transport = Transport()
        self.inbox.transport = cast("Any", self.transport)

    def handle(self, *events: Any) -> None:
        self.inbox.handle(events, self.reader.session)


def stanzas(count: int, first: int = 0) -> Iterator[Stanza]:
    return (Stanza.build("message", id=str(n)) for n in range(first, first + count))


def test_a_turn_handles_so_many_and_the_rest_in_order_before_what_is_newer() -> None:
    it = Set()
    it.handle(*stanzas(TURN_STANZAS + 3))
    assert len(it.reader.taken) == TURN_STANZAS
    assert it.inbox.behind
    assert it.transport.held == BACKLOG
    assert it.transport.agains == 1
    it.handle(*stanzas(2, TURN_STANZAS + 3))
    it.inbox.again(it.reader.session)
    assert it.reader.taken == [str(n) for n in range(TURN_STANZAS + 5)]
    assert not it.inbox.behind
    assert it.transport.held == 0


def test_a_stream_that_waits_for_an_answer_handles_nothing_until_it_has_it() -> None:
    it = Set()
    question = Element("urn:x", "question")

    def ask(event: Any) -> Session | None:
        it.transport.hold(ASKING)
        return it.reader.session

    it.reader.other = ask  # type: ignore[method-assign]
    it.handle(question, *stanzas(2))
    assert it.reader.taken == []
    it.inbox.again(it.reader.session)
    assert it.reader.taken == [], "still asking"
    it.inbox.release(ASKING)
    assert it.transport.agains == 1
    it.inbox.again(it.reader.session)
    assert it.reader.taken == ["0", "1"]


def test_a_full_session_keeps_its_backlog() -> None:
    it = Set()
    it.transport.hold(FULL)
    it.handle(*stanzas(2))
    assert it.reader.taken == ["0"]
    it.inbox.again(it.reader.session)
    assert it.reader.taken == ["0"]


def test_what_came_in_clear_behind_starttls_is_forgotten() -> None:
    it = Set()

    def restart(event: Any) -> Session | None:
        it.reader.others.append(event)
        if not isinstance(event, StreamError):
            it.inbox.restart(authenticated=False, in_clear=True)
        return it.reader.session

    it.reader.other = restart  # type: ignore[method-assign]
    it.handle(Element("urn:x", "starttls"), *stanzas(2))
    assert it.reader.taken == []
    assert len(it.reader.others) == 1


def test_what_comes_before_the_answer_to_sasl_is_an_error() -> None:
    it = Set()

    def restart(event: Any) -> Session | None:
        it.reader.others.append(event)
        if not isinstance(event, StreamError):
            it.inbox.restart(authenticated=True, in_clear=False)
        return it.reader.session

    it.reader.other = restart  # type: ignore[method-assign]
    it.handle(Element("urn:x", "auth"), *stanzas(1))
    assert it.reader.taken == []
    assert [event.condition for event in it.reader.others[1:]] == ["policy-violation"]


def test_a_closed_inbox_handles_nothing_more() -> None:
    it = Set()
    it.handle(*stanzas(TURN_STANZAS + 1))
    it.inbox.close()
    it.inbox.again(it.reader.session)
    assert len(it.reader.taken) == TURN_STANZAS


def test_who_sends_too_much_is_not_read_for_a_while() -> None:
    it = Set()
    it.inbox.shaper = Shaper(Limits(), 100.0)
    it.inbox.shape(100_000_000, 0)
    assert it.transport.held == SHAPED
    (until,) = it.reader.woken
    assert it.inbox.unshape(until - 0.01) == until
    assert it.transport.held == SHAPED
    it.inbox.unshape(until)
    assert it.transport.held == 0


def test_a_bus_without_room_is_waited_for_once() -> None:
    it = Set()
    it.context.is_congested = True
    it.handle(*stanzas(1))
    it.inbox.congest()
    assert it.context.congested == [it.inbox]
    assert it.transport.held == CONGESTED
    it.inbox.uncongested()
    assert it.transport.held == 0
