"""Managed sessions of an edge on the bus: <r/>, <a/>, notes to the router, sleep, mirrors, and streams that go on here."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from tests.unit.edge.sessions.world import FULL, World, stanza

from rookery.edge.client.connection import Connection
from rookery.edge.sessions.management.manager import AGAIN_SECONDS, on_element
from rookery.edge.sessions.session import Session
from rookery.shared.bus.messages import (
    Accepted,
    Acked,
    End,
    Frontier,
    Item,
    Kind,
    Management,
    Mirror,
    MirrorRequest,
    MirrorSession,
    Noted,
    Resumed,
    Route,
    Unbind,
)
from rookery.shared.xeps.stream_management import DIGEST_BITS, NS
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = "bob@example.org"


class Line:
    """The part of a connection that a managed session uses."""

    xmlns = ""
    slow = False
    is_full = False
    ended = False

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.errors: list[str] = []
        self.asked: list[Callable[[], Awaitable[None]]] = []
        self.transport = self
        self.aborted: list[str] = []

    def send(self, data: bytes) -> int:
        self.sent.append(data.decode())
        return 0

    def say(self, element: Element) -> None:
        self.sent.append(element.xml("jabber:client"))

    def ask_client(self) -> None:
        self.sent.append("<r/>")

    def wake(self, at: float) -> None:
        pass

    def ask(self, question: Callable[[], Awaitable[None]]) -> None:
        self.asked.append(question)

    def answered(self) -> None:
        pass

    def fail(self, error: StreamError) -> None:
        self.errors.append(error.condition)

    def abort(self, reason: str) -> None:
        self.aborted.append(reason)

    def full(self) -> None:
        pass

    def roomy(self) -> None:
        pass

    def news(self) -> list[str]:
        sent, self.sent = self.sent, []
        return sent


def say(session: Session, line: Line, name: str, **attrs: str) -> None:
    on_element(session.sessions, session, cast("Connection", line), Element(NS, name, attrs))


def bound(world: World) -> tuple[Session, Line]:
    session, _ = world.bind()
    line = Line()
    session.connection = cast("Connection", line)
    return session, line


def managed(world: World, frontier: int = 0, n: int = 0) -> tuple[Session, Line]:
    """A stream that was resumed here."""
    line = Line()
    sid = world.sessions.reserve()
    management = Management(b"token", 600, 0, 0, frontier)
    resumed = Resumed(FULL, 2 << 32 | 1, b"stream", n, management, b"note")
    session = world.sessions.resume(cast("Connection", line), sid, resumed)
    world.sessions.replay_early(session)
    world.arrived()
    return session, line


def of(items: list[Item], kind: type) -> list[Item]:
    return [item for item in items if type(item) is kind]


def mirrored(items: list[Item]) -> list[MirrorSession]:
    """What an edge told of its sessions."""
    return [one for item in items if isinstance(item, Mirror) for one in item.sessions]


def sent(world: World) -> list[int]:
    """The uids of what was routed."""
    return [item.origin.n for item in world.arrived() if isinstance(item, Route)]


async def test_a_stream_without_resumption_is_acknowledged_without_its_router() -> None:
    world = World()
    session, line = bound(world)
    session.take(stanza("message", BOB, id="m0"))
    say(session, line, "enable")
    assert line.news() == [f"<enabled xmlns='{NS}'/>"]
    session.take(stanza("message", BOB, id="m1"))
    (before, uid) = sent(world)
    say(session, line, "r")
    assert line.news() == [f"<a xmlns='{NS}' h='0'/>"]
    world.sessions.receive("router1", Accepted([(session.stream, uid)]))
    assert line.news() == []  # what came before it was enabled is not counted, and is handled first
    world.sessions.receive("router1", Accepted([(session.stream, before)]))
    assert line.news() == [f"<a xmlns='{NS}' h='1'/>"]


async def test_enabling_again_and_words_out_of_place_are_refused() -> None:
    world = World()
    session, line = bound(world)
    for name in ("r", "a", "resume"):
        say(session, line, name)
    say(session, line, "enable", resume="maybe")
    say(session, line, "enable")
    say(session, line, "enable")
    answers = line.news()
    assert [("unexpected-request" in one, "bad-request" in one) for one in answers] == [
        (True, False),
        (True, False),
        (True, False),
        (False, True),
        (False, False),
        (True, False),
    ]
    say(session, line, "enabled")
    assert line.errors == ["unsupported-stanza-type"]


async def test_deliveries_wait_while_a_stream_is_made_resumable() -> None:
    world = World()
    session, line = bound(world)
    world.deliver(session, 1)
    line.news()
    say(session, line, "enable", resume="true", max="60")
    world.deliver(session, 2)
    assert line.news() == []
    assert session.mirror.n == 1
    # a successor that asks now learns that the stream can be resumed
    world.sessions.receive("router1", MirrorRequest(session.partition, 1, "router1"))
    (told,) = mirrored(world.arrived())
    (management,) = told.managed
    assert (management.base_out, len(management.token)) == (1, 24)
    assert len(line.asked) == 1


async def test_what_the_router_noted_is_told() -> None:
    world = World()
    session, line = managed(world)
    session.take(stanza("message", BOB, id="m1"))
    session.take(stanza("message", BOB, id="m2"))
    first, second = sent(world)
    assert (first >> DIGEST_BITS, second >> DIGEST_BITS) == (1, 2)
    say(session, line, "r")
    assert line.news() == [f"<a xmlns='{NS}' h='0'/>"]
    world.sessions.receive("router1", Accepted([(b"stream", second)]))
    assert of(world.arrived(), Frontier) == []
    world.sessions.receive("router1", Accepted([(b"stream", first)]))
    assert world.arrived() == [Frontier(FULL, session.grant, 2, (), 2)]
    assert line.news() == []
    world.sessions.receive("router1", Noted(session.sid, session.grant, 2))
    assert line.news() == [f"<a xmlns='{NS}' h='2'/>"]


async def test_the_router_learns_in_a_second_what_nobody_asked_for() -> None:
    world = World()
    session, _ = managed(world)
    session.take(stanza("message", BOB))
    (uid,) = sent(world)
    world.sessions.receive("router1", Accepted([(b"stream", uid)]))
    assert world.arrived() == []
    world.sessions.tick(world.clock.now + 1)
    assert of(world.arrived(), Frontier) == [Frontier(FULL, session.grant, 1, (), 1)]


async def test_deliveries_are_kept_until_the_client_has_them() -> None:
    world = World()
    session, line = managed(world, n=10)
    for n in range(11, 17):
        kind = Stanza.build("presence", to=FULL) if n % 2 else Stanza.build("message", to=FULL)
        world.deliver(session, n, kind)
    assert line.news().count("<r/>") == 1
    session.progress(10_000, True)  # that its socket took them says nothing
    assert session.mirror.acked == 10
    assert len(session.mirror.inflight()) == 6
    say(session, line, "a", h="12")
    assert session.mirror.acked == 12
    world.sessions.send_acks()
    assert world.arrived() == [Acked(FULL, session.grant, 12)]
    (part,) = session.describe()
    assert [n for n, _ in part.stanzas] == [13, 14, 15, 16]
    assert not line.errors


@pytest.mark.parametrize("h", ["-1", "+1", "1e3", "１", "4294967296", "", "x"])
async def test_an_acknowledgement_that_is_no_number_ends_the_stream(h: str) -> None:
    world = World()
    session, line = managed(world)
    say(session, line, "a", h=h)
    assert line.errors == ["bad-format"]


async def test_an_acknowledgement_of_more_than_was_sent_ends_the_stream() -> None:
    world = World()
    session, line = managed(world, n=3)
    say(session, line, "a", h="4")
    assert line.errors == ["undefined-condition"]
    session, line = managed(world)
    say(session, line, "a")
    assert line.errors == ["bad-format"]


async def test_a_stream_without_a_socket_is_told_whole_until_its_router_has_stored_it() -> None:
    world = World()
    session, _ = managed(world)
    world.deliver(session, 1)
    session.take(stanza("message", BOB))
    (uid,) = sent(world)
    world.sessions.close(session, "eof", resumable=True)
    assert of(world.arrived(), Unbind) == [Unbind(FULL, session.grant, "eof", True)]
    assert (len(world.sessions), world.sessions.asleep) == (0, 1)
    world.deliver(session, 2)  # it was on the way
    world.sessions.receive("router1", Accepted([(b"stream", uid)]))
    world.sessions.receive("router1", MirrorRequest(session.partition, 2, "router1"))
    arrived = world.arrived()
    assert of(arrived, Frontier) == [Frontier(FULL, session.grant, 1, (), 1)]
    assert of(arrived, Unbind) == []
    (told,) = mirrored(arrived)
    assert told.managed[0].asleep
    assert [n for n, _ in told.stanzas] == [1, 2]
    world.sessions.receive("router1", Noted(session.sid, session.grant, 1, True))
    assert world.sessions.asleep == 0
    world.sessions.receive("router1", MirrorRequest(session.partition, 3, "router1"))
    assert mirrored(world.arrived()) == []


async def test_a_stream_that_went_on_elsewhere_is_forgotten() -> None:
    world = World()
    session, _ = managed(world)
    world.sessions.close(session, "eof", resumable=True)
    world.sessions.receive("router1", End(session.sid, session.grant, "conflict", ""))
    assert world.sessions.asleep == 0


async def test_a_client_that_closes_its_stream_cannot_resume_it() -> None:
    world = World()
    session, _ = managed(world)
    world.sessions.close(session, "closed")
    assert of(world.arrived(), Unbind) == [Unbind(FULL, session.grant, "closed", False)]
    assert world.sessions.asleep == 0


async def test_a_stream_may_go_on_at_the_same_edge() -> None:
    world = World()
    old, line = managed(world)
    old.take(stanza("message", BOB, id="m1"))
    (uid,) = sent(world)
    new, _ = managed(world)
    assert line.errors == ["conflict"]
    world.sessions.close(old, "conflict")
    new.take(stanza("message", BOB, id="m1"))  # sent again: the same uid
    assert sent(world) == [uid]
    world.sessions.receive("router1", Accepted([(b"stream", uid)]))
    assert (old.unaccepted, new.unaccepted) == (0, 0)
    assert new.frontier() == 1
    assert world.sessions.streams.get(b"stream") is new


async def test_another_stanza_under_the_same_number_is_not_taken_for_accepted() -> None:
    world = World()
    old, _ = managed(world)
    old.take(stanza("message", BOB, id="m1"))
    (uid,) = sent(world)
    new, _ = managed(world)
    new.take(stanza("message", BOB, id="m2"))
    (other,) = sent(world)
    assert other != uid
    world.sessions.receive("router1", Accepted([(b"stream", uid)]))
    assert new.unaccepted == 1
    assert new.frontier() == 0


async def test_requests_of_a_resumed_stream_expire_when_they_would_have() -> None:
    world = World()
    wakes: list[float] = []
    world.reactor.at = lambda timed, when: wakes.append(when)  # type: ignore[method-assign]
    soon = int((time.time() + 5) * 1000)
    management = Management(b"token", 600, 0, 0, 0, (("q1", BOB, soon), ("q2", "", soon + 20_000)))
    sid = world.sessions.reserve()
    resumed = Resumed(FULL, 2 << 32 | 1, b"stream", 0, management, b"")
    session = world.sessions.resume(cast("Connection", Line()), sid, resumed)
    world.sessions.replay_early(session)
    assert min(wakes) == pytest.approx(world.clock.now + 5, abs=0.5)
    world.arrived()
    world.deliver(session, 1, Stanza.build("iq", type="result", id="q2", to=FULL, from_="alice@example.org"))
    world.clock.now += 6
    world.sessions.on_timer(world.clock.now)
    (answer,) = of(world.arrived(), Route)
    assert isinstance(answer, Route)
    assert (answer.stanza.id, answer.stanza.type) == ("q1", "error")
    assert len(world.sessions.iqs) == 0


def _asks(world: World, session: Session, id: str) -> None:
    """The client sends a request to bob."""
    session.take(Stanza.build("iq", Element("urn:xmpp:ping", "ping"), type="get", id=id, to=BOB))


async def test_a_request_that_was_answered_and_is_sent_again_is_not_waited_for() -> None:
    world = World()
    management = Management(b"token", 600, 0, 0, 0, (), False, (("q1", BOB),))
    sid = world.sessions.reserve()
    resumed = Resumed(FULL, 2 << 32 | 1, b"stream", 0, management, b"")
    session = world.sessions.resume(cast("Connection", Line()), sid, resumed)
    world.sessions.replay_early(session)
    _asks(world, session, "q1")
    _asks(world, session, "q2")
    assert [route.stanza.id for route in of(world.arrived(), Route)] == ["q1", "q2"]  # type: ignore[attr-defined]
    world.clock.now += 60
    world.sessions.on_timer(world.clock.now)
    (late,) = of(world.arrived(), Route)
    assert isinstance(late, Route)
    assert (late.stanza.id, late.stanza.type) == ("q2", "error")
    # The next request with this id is another one.
    _asks(world, session, "q1")
    assert len(world.sessions.iqs) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_a_request_whose_answer_comes_before_it_is_sent_again_is_not_waited_for(known: bool) -> None:
    """The answer waited for the stream to go on; its client has sent the request again before it saw that."""
    world = World()
    soon = int((time.time() + 30) * 1000)
    management = Management(b"token", 600, 0, 0, 0, (("q1", BOB, soon),) if known else ())
    sid = world.sessions.reserve()
    resumed = Resumed(FULL, 2 << 32 | 1, b"stream", 0, management, b"")
    session = world.sessions.resume(cast("Connection", Line()), sid, resumed)
    world.sessions.replay_early(session)
    world.deliver(session, 1, Stanza.build("iq", type="result", id="q1", to=FULL, from_=BOB))
    _asks(world, session, "q1")
    assert [route.stanza.id for route in of(world.arrived(), Route)] == ["q1"]  # type: ignore[attr-defined]
    assert len(world.sessions.iqs) == 0
    world.clock.now += AGAIN_SECONDS
    world.sessions.on_timer(world.clock.now)
    assert of(world.arrived(), Route) == []
    world.deliver(session, 2, Stanza.build("iq", type="result", id="q2", to=FULL, from_=BOB))
    _asks(world, session, "q2")
    assert len(world.sessions.iqs) == 1, "long after that an answer that nobody asked for means nothing"


async def test_a_mirror_tells_answered_requests_until_they_are_recorded() -> None:
    world = World()
    session, _ = managed(world)
    _asks(world, session, "q1")
    (uid,) = sent(world)
    world.deliver(session, 1, Stanza.build("iq", type="result", id="q1", to=FULL, from_=BOB))
    assert session.manager is not None
    assert session.manager.describe().answered == (("q1", BOB),)
    world.sessions.receive("router1", Accepted([(b"stream", uid)]))
    world.sessions.receive("router1", Noted(session.sid, session.grant, 1))
    assert session.manager.describe().answered == ()


async def test_a_deposed_router_can_neither_accept_nor_note_nor_confirm_an_end() -> None:
    world = World()
    session, _ = managed(world)
    session.take(stanza("message", BOB))
    (uid,) = sent(world)
    accepted = Accepted([(b"stream", uid)])
    for partition, router in (
        (world.sessions.partition(BOB), "router1"),
        (world.sessions.partition(BOB), "router2"),
        (session.partition, "router2"),
    ):
        epoch = world.sessions.attachments.epoch(partition) + 1
        world.sessions.successors.on_claimed(Kind.ROUTER, partition, epoch, router)
    world.sessions.receive("router1", accepted)
    assert session.unaccepted == 1
    world.sessions.receive("router1", Noted(session.sid, session.grant, 1))
    assert session.manager is not None
    assert session.manager.machine.noted == 0
    world.sessions.receive("router2", accepted)
    assert session.unaccepted == 0
    world.sessions.receive("router2", Noted(session.sid, session.grant, 1))
    assert session.manager.machine.noted == 1
    world.sessions.successors.on_claimed(Kind.ROUTER, session.partition, 99, "router3")
    world.sessions.close(session, "eof")
    world.sessions.receive("router2", Accepted([(b"stream", 0)]))
    assert world.sessions.unconfirmed == 1
    world.sessions.receive("router3", Accepted([(b"stream", 0)]))
    assert world.sessions.unconfirmed == 0
