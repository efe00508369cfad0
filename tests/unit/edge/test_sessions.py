"""Bound streams against the real bus core: stamping, choosing the way, deliveries, mirrors, re-sending."""

from __future__ import annotations

from typing import cast

import pytest
import trio

from rookery.edge.connection import Connection
from rookery.edge.endings import UNBIND_SECONDS
from rookery.edge.loop import Reactor
from rookery.edge.session import Session
from rookery.edge.sessions import Sessions
from rookery.shared.bus.messages import (
    Accepted,
    Acked,
    Bound,
    Copy,
    Deliver,
    DeliverMany,
    End,
    Item,
    Kind,
    Mirror,
    MirrorRequest,
    Note,
    Route,
    Submit,
    Unbind,
    answering,
)
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import NO_LANG, Stanza
from rookery.shared.xmpp.xml import Element

ALICE = "alice@example.org"
FULL = f"{ALICE}/phone"
QUERY = Element("jabber:iq:roster", "query")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Line:
    """The part of a connection that a session uses."""

    xmlns = ""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.errors: list[str] = []
        self.is_full = False
        self.slow = False

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return sum(map(len, self.sent))

    def fail(self, error: StreamError) -> None:
        self.errors.append(error.condition)

    def full(self) -> None:
        self.is_full = True

    def roomy(self) -> None:
        self.is_full = False


class World:
    """An edge's sessions, and two processes that may hold the routers' partitions."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cluster = FakeCluster(clock=self.clock)
        self.edge = self.cluster.node("edge1", Kind.EDGE)
        self.router = self.cluster.node("router1", Kind.ROUTER)
        self.reactor = Reactor()
        self.reactor.clock = self.clock  # type: ignore[method-assign]
        self.reactor.at = lambda timed, when: None  # type: ignore[method-assign]
        self.reactor.now = self.clock.now
        self.sessions = Sessions(self.edge, self.reactor, {"example.org", "other.example"})
        self.edge.serve(cast("Kind.EDGE", self))  # type: ignore[arg-type, valid-type]
        self.edge.on_holder.append(self.sessions.successors.on_holder)
        self.edge.on_reset.append(self.sessions.successors.on_reset)
        self.counter = 0

    kind = Kind.EDGE

    def receive(self, source: str, partition: int, epoch: int, item: Item) -> None:
        self.sessions.receive(source, item)

    def bind(self, full: str = FULL, grant: int = 1 << 32 | 1) -> tuple[Session, Line]:
        line = Line()
        sid, stream = self.sessions.reserve()
        session = self.sessions.begin(cast("Connection", line), sid, stream, Bound(full, grant), "")
        self.sessions.replay_early(session)
        return session, line

    def arrived(self, router: str = "router1") -> list[Item]:
        """What has come to a router since the last look."""
        self.cluster.network.settle()
        node = self.cluster.nodes[router]
        items = [item for _, _, _, _, item in node.received]
        node.received.clear()
        return cast("list[Item]", items)

    def deliver(
        self, session: Session, n: int, stanza: Stanza | None = None, source: str = "router1"
    ) -> None:
        message = stanza or Stanza.build("message", to=session.full, from_="bob@example.org/r")
        self.sessions.receive(source, Deliver(session.sid, session.grant, n, b"origin", n, message))


@pytest.fixture
def world() -> World:
    return World()


def stanza(kind: str, to: str = "", type: str = "", id: str = "", *children: Element) -> Stanza:
    return Stanza.build(kind, *children, type=type, to=to, id=id)


# --- which way --------------------------------------------------------------------------------------------------------

WAYS = {
    "no to": (stanza("message"), Submit, ""),
    "own bare JID": (stanza("message", ALICE), Submit, ALICE),
    "own full JID": (stanza("message", f"{ALICE}/other"), Route, f"{ALICE}/other"),
    "a user": (stanza("message", "Bob@Example.org"), Route, "bob@example.org"),
    "a user of another hosted domain": (
        stanza("message", "bob@other.example/r"),
        Route,
        "bob@other.example/r",
    ),
    "a hosted domain": (stanza("message", "example.org"), Submit, "example.org"),
    "elsewhere": (stanza("message", "bob@far.example"), Submit, "bob@far.example"),
    "presence": (stanza("presence"), Submit, ""),
    "directed presence": (stanza("presence", "bob@example.org"), Submit, "bob@example.org"),
    "a subscription": (stanza("presence", "bob@example.org", "subscribe"), Submit, "bob@example.org"),
    "own roster": (stanza("iq", "", "get", "1", QUERY), Submit, ""),
    "a user's vCard": (stanza("iq", "bob@example.org", "get", "1", QUERY), Route, "bob@example.org"),
    "a resource": (stanza("iq", "bob@example.org/r", "set", "1", QUERY), Route, "bob@example.org/r"),
    "an answer": (stanza("iq", "bob@example.org/r", "result", "1"), Route, "bob@example.org/r"),
}


@pytest.mark.parametrize(("sent", "way", "to"), WAYS.values(), ids=WAYS.keys())
def test_the_way_of_a_stanza(world: World, sent: Stanza, way: type, to: str) -> None:
    session, _ = world.bind()
    session.take(sent.replace(from_="mallory@example.org/x"))
    (item,) = world.arrived()
    assert type(item) is way
    assert isinstance(item, (Submit, Route))
    assert item.stanza == sent.replace(from_=FULL, to=to)
    assert (item.origin.stream, item.origin.n, item.origin.edge) == (session.stream, 1, "edge1")


def test_everything_goes_to_the_own_router_first_when_that_is_wanted(world: World) -> None:
    session, _ = world.bind()
    world.sessions.receive("router1", Note(session.sid, session.grant, b"note", True))
    session.take(stanza("message", "bob@example.org"))
    assert [type(item) for item in world.arrived()] == [Submit]
    assert session.mirror.note == b"note"
    # It stays so: the direct way would overtake what is still on the longer one.
    world.sessions.receive("router1", Note(session.sid, session.grant, b"note", False))
    session.take(stanza("message", "bob@example.org"))
    assert [type(item) for item in world.arrived()] == [Submit]


def test_a_binding_of_a_former_router_is_outdated(world: World) -> None:
    partition = world.sessions.partition(ALICE)
    assert not world.sessions.outdated(partition, 1 << 32 | 1)
    mirrored(world, partition)  # router1 asks under epoch 2
    assert world.sessions.outdated(partition, 1 << 32 | 1)
    assert not world.sessions.outdated(partition, 2 << 32 | 1)


def test_each_partition_gets_again_what_is_its_own_and_what_came_meanwhile(world: World) -> None:
    session, _ = world.bind()
    names = ["bob@example.org", "carol@example.org"]
    for name in names:
        session.take(stanza("message", name))
    world.arrived()
    for name in names:
        world.sessions.successors.on_holder(Kind.ROUTER, world.sessions.partition(name))
        (item,) = world.arrived()
        assert isinstance(item, Route)
        assert item.stanza.to == name
    session.take(stanza("message", names[0]))
    world.arrived()
    world.sessions.successors.on_holder(Kind.ROUTER, world.sessions.partition(names[0]))
    assert len(world.arrived()) == 2


def test_the_language_of_the_stream_is_stamped_where_none_is(world: World) -> None:
    session, _ = world.bind()
    session.lang = "de"
    session.take(stanza("message", "bob@example.org"))
    session.take(stanza("message", "bob@example.org").replace(lang="fr"))
    session.take(stanza("message", "bob@example.org").replace(attrs=(NO_LANG,)))
    assert [item.stanza.lang for item in world.arrived()] == ["de", "fr", ""]  # type: ignore[union-attr]


REFUSED = {
    "iq without id": (stanza("iq", "", "get", "", QUERY), "bad-request"),
    "iq without payload": (stanza("iq", "", "get", "1"), "bad-request"),
    "iq with two payloads": (stanza("iq", "", "get", "1", QUERY, QUERY), "bad-request"),
    "iq without type": (stanza("iq", "", "", "1", QUERY), "bad-request"),
    "iq of another type": (stanza("iq", "", "foo", "1", QUERY), "bad-request"),
    "presence of another type": (stanza("presence", "", "foo"), "bad-request"),
    "two at signs": (stanza("message", "a@b@c"), "jid-malformed"),
    "a space": (stanza("iq", "a b@example.org", "get", "1", QUERY), "jid-malformed"),
    "binding again": (
        stanza("iq", "", "set", "1", Element("urn:ietf:params:xml:ns:xmpp-bind", "bind")),
        "not-allowed",
    ),
}


@pytest.mark.parametrize(("sent", "condition"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_edge_refuses_comes_back_through_the_router(
    world: World, sent: Stanza, condition: str
) -> None:
    session, _ = world.bind()
    session.take(sent)
    (item,) = world.arrived()
    assert isinstance(item, Route)
    assert (item.stanza.type, item.stanza.to, item.stanza.id) == ("error", FULL, sent.id)
    assert item.stanza.from_ == (sent.to or ALICE)
    assert condition.encode() in item.stanza.inner
    assert item.origin.n == 0
    assert session.unaccepted == 0
    assert session.n == 1


SILENT = {
    "a malformed error": stanza("message", "a@b@c", "error"),
    "an answer to nobody": stanza("iq", "", "result", "1"),
    "an answer to the own account": stanza("iq", ALICE, "result", "push1"),
    "an answer without id": stanza("iq", "bob@example.org/r", "result"),
    "a malformed result": stanza("iq", "a@b@c", "result", "1"),
}


@pytest.mark.parametrize("sent", SILENT.values(), ids=SILENT.keys())
def test_what_is_never_answered(world: World, sent: Stanza) -> None:
    session, _ = world.bind()
    session.take(sent)
    assert world.arrived() == []


@pytest.mark.parametrize("type", ["", "chat", "normal", "headline", "error", "groupchat", "strange"])
@pytest.mark.parametrize("wanted", [True, False])
def test_the_own_router_gets_a_copy_of_what_may_be_archived_or_have_carbons(
    world: World, type: str, wanted: bool
) -> None:
    session, _ = world.bind()
    session.copies = wanted
    for to in ("bob@example.org", f"{ALICE}/other", ALICE, ""):
        session.take(stanza("message", to, type))
    copies = [item for item in world.arrived() if isinstance(item, Copy)]
    # The own account's router sees what is for the account itself.
    expected = ["bob@example.org"] if wanted and type != "groupchat" else []
    assert [copy.stanza.to for copy in copies] == expected
    assert all(copy.stanza.from_ == FULL for copy in copies)


# --- un-accepted ------------------------------------------------------------------------------------------------------


def test_a_stanza_is_kept_until_it_is_accepted(world: World) -> None:
    session, _ = world.bind()
    for _ in range(3):
        session.take(stanza("message", "bob@example.org"))
    world.sessions.receive("router1", Accepted([(session.stream, 2), (b"unknown", 1), (session.stream, 9)]))
    assert session.unaccepted == 2
    world.sessions.receive("router1", Accepted([(session.stream, 1), (session.stream, 3)]))
    assert session.unaccepted == 0
    assert world.sessions.unaccepted == 0


def test_a_full_stream_is_not_read_until_half_is_accepted(world: World) -> None:
    session, line = world.bind()
    limit = world.edge.config.limits.uncommitted_stanzas
    for _ in range(limit):
        session.take(stanza("message", "bob@example.org"))
    assert line.is_full
    world.sessions.receive("router1", Accepted([(session.stream, n) for n in range(1, limit // 2)]))
    assert line.is_full
    world.sessions.receive("router1", Accepted([(session.stream, limit // 2)]))
    assert not line.is_full


def test_the_next_holder_gets_in_order_what_the_former_did_not_accept(world: World) -> None:
    session, _ = world.bind()
    for to in ("bob@example.org", "bob@example.org/r", "carol@example.org"):
        session.take(stanza("message", to))
    session.take(stanza("iq", "bob@example.org/r", "get", "q", QUERY))
    session.take(stanza("message", "bob@example.org", "headline"))
    session.take(stanza("message", "bob@example.org"))
    world.arrived()
    world.sessions.receive("router1", Accepted([(session.stream, 1)]))
    world.cluster.node("router2", Kind.ROUTER)
    world.cluster.lose("router1")
    world.cluster.move(Kind.ROUTER, "router2")
    again = world.arrived("router2")
    to_bob = [item.origin.n for item in again if isinstance(item, Route) and item.stanza.to.startswith("bob")]
    assert to_bob == [2, 6]
    assert {item.origin.n for item in again if isinstance(item, Route)} == {2, 3, 6}
    assert session.unaccepted == 3


def test_a_lost_link_sends_again(world: World) -> None:
    session, _ = world.bind()
    session.take(stanza("message", "bob@example.org"))
    world.arrived()
    world.sessions.successors.on_reset("router1")
    assert [type(item) for item in world.arrived()] == [Route]
    world.sessions.successors.on_reset("somebody-else")
    assert world.arrived() == []


def test_time_sends_again_what_nobody_accepted(world: World) -> None:
    session, _ = world.bind()
    session.take(stanza("message", "bob@example.org"))
    world.arrived()
    world.sessions.successors.repeat(world.clock.now + 14)
    assert world.arrived() == []
    world.sessions.successors.repeat(world.clock.now + 16)
    assert len(world.arrived()) == 1


def test_a_closed_stream_is_seen_through_and_then_forgotten(world: World) -> None:
    session, _ = world.bind()
    session.take(stanza("message", "bob@example.org"))
    world.sessions.close(session, "eof")
    world.sessions.close(session, "eof")
    assert [type(item) for item in world.arrived()] == [Route, Unbind]
    world.sessions.successors.on_holder(Kind.ROUTER, world.sessions.partition("bob@example.org"))
    assert isinstance(world.arrived()[0], Route)
    world.sessions.receive("router1", Accepted([(session.stream, 1)]))
    assert world.sessions.unaccepted == 0
    assert world.sessions.streams._by_stream == {}


def test_an_unbind_is_repeated_for_a_while_when_its_router_changes(world: World) -> None:
    session, _ = world.bind()
    world.sessions.close(session, "eof")
    assert world.arrived() == [Unbind(FULL, session.grant, "eof")]
    world.sessions.successors.on_holder(Kind.ROUTER, session.partition)
    assert world.arrived() == [Unbind(FULL, session.grant, "eof")]
    world.sessions.tick(world.clock.now + 31)
    world.sessions.successors.on_holder(Kind.ROUTER, session.partition)
    assert world.arrived() == []


# --- deliveries -------------------------------------------------------------------------------------------------------


def mirrored(world: World, partition: int) -> list[str]:
    world.arrived()
    world.sessions.receive("router1", MirrorRequest(partition, 2, "router1"))
    mirror, *ends = world.arrived()
    assert isinstance(mirror, Mirror)
    assert [type(end) for end in ends] == [Unbind] * len(mirror.sessions)
    return [session.full for session in mirror.sessions]


def test_a_successor_is_told_of_a_closed_stream_until_its_end_is_confirmed(world: World) -> None:
    session, _ = world.bind()
    world.sessions.close(session, "eof")
    assert world.sessions.unconfirmed == 1
    assert mirrored(world, session.partition) == [FULL]
    world.sessions.receive("router1", Accepted([(session.stream, 0)]))
    assert world.sessions.unconfirmed == 0
    assert mirrored(world, session.partition) == []


def test_the_end_of_a_stream_is_not_told_for_ever(world: World) -> None:
    session, _ = world.bind()
    world.sessions.close(session, "eof")
    world.sessions.tick(world.clock.now + UNBIND_SECONDS - 1)
    assert mirrored(world, session.partition) == [FULL]
    world.sessions.tick(world.clock.now + UNBIND_SECONDS + 1)
    assert mirrored(world, session.partition) == []


def test_a_stream_that_its_router_ended_needs_no_confirmation(world: World) -> None:
    session, line = world.bind()
    line.fail = lambda error: world.sessions.close(session, error.condition)  # type: ignore[method-assign]
    world.sessions.receive("router1", End(session.sid, session.grant, "conflict", ""))
    assert len(world.sessions) == 0
    assert world.sessions.unconfirmed == 0


def test_deliveries_are_written_once_and_in_order(world: World) -> None:
    session, line = world.bind()
    for n in (1, 3, 2, 2, 3):
        world.deliver(session, n, Stanza.build("message", to=FULL, id=str(n)))
    assert [sent.partition(b"id='")[2][:1] for sent in line.sent] == [b"1", b"2", b"3"]
    session.progress(0, drained=True)
    world.sessions.send_acks()
    assert Acked(FULL, session.grant, 3) in world.arrived()


def test_a_slow_socket_acknowledges_only_what_has_left(world: World) -> None:
    session, line = world.bind()
    line.slow = True
    world.deliver(session, 1)
    first = len(line.sent[0])
    world.deliver(session, 2)
    session.progress(first - 1, drained=False)
    assert session.mirror.acked == 0
    session.progress(first, drained=False)
    assert session.mirror.acked == 1
    session.progress(0, drained=True)
    assert session.mirror.acked == 2


def test_fan_out_carries_each_address(world: World) -> None:
    (one, line1), (two, line2) = world.bind(), world.bind(f"{ALICE}/tablet", 1 << 32 | 2)
    presence = Stanza.build("presence", from_="bob@example.org/r")
    targets = [(one.sid, one.grant, 1, one.full), (two.sid, two.grant, 1, two.full)]
    world.sessions.receive("router1", DeliverMany(presence, targets))
    assert line1.sent == [f"<presence from='bob@example.org/r' to='{FULL}'/>".encode()]
    assert line2.sent == [f"<presence from='bob@example.org/r' to='{ALICE}/tablet'/>".encode()]


def test_a_deposed_router_delivers_nothing(world: World) -> None:
    session, line = world.bind()
    world.sessions.receive("router2", MirrorRequest(session.partition, 2, "router2"))
    world.deliver(session, 1, source="router1")
    assert line.sent == []
    world.deliver(session, 1, source="router2")
    assert len(line.sent) == 1


def test_a_session_that_the_edge_does_not_have_is_unbound(world: World) -> None:
    world.sessions.receive(
        "router1", Deliver(1, 99, 1, b"", 0, Stanza.build("message", to="x@example.org/r"))
    )
    world.sessions.receive("router1", DeliverMany(Stanza.build("presence"), [(2, 98, 1, "y@example.org/r")]))
    assert world.arrived() == [Unbind("x@example.org/r", 99, "gone"), Unbind("y@example.org/r", 98, "gone")]


def test_what_comes_before_our_binding_returns_is_not_lost(world: World) -> None:
    sid, stream = world.sessions.reserve()
    grant = 1 << 32 | 5
    message = Stanza.build("message", to=FULL)
    world.sessions.receive("router1", Deliver(sid, grant, 1, b"", 0, message))
    world.sessions.receive("router1", Note(sid, grant, b"note"))
    world.sessions.receive("router1", DeliverMany(message, [(sid, grant, 2, FULL)]))
    world.sessions.receive("router1", End(sid, grant, "conflict", ""))
    line = Line()
    session = world.sessions.begin(cast("Connection", line), sid, stream, Bound(FULL, grant), "")
    world.sessions.replay_early(session)
    assert len(line.sent) == 2
    assert session.mirror.note == b"note"
    assert line.errors == ["conflict"]
    assert world.arrived() == []


def test_a_delivery_that_never_comes_ends_the_session(world: World) -> None:
    session, line = world.bind()
    world.deliver(session, 2)
    world.sessions.tick(world.clock.now + 9)
    assert line.errors == []
    world.sessions.tick(world.clock.now + 11)
    assert line.errors == ["internal-server-error"]


def test_a_hole_that_is_filled_in_time_is_forgotten(world: World) -> None:
    session, line = world.bind()
    world.deliver(session, 2)
    world.deliver(session, 1)
    world.deliver(session, 2)
    world.sessions.tick(world.clock.now + 100)
    assert line.errors == []
    assert len(line.sent) == 2


def test_end_is_for_that_binding_only(world: World) -> None:
    session, line = world.bind()
    world.sessions.receive("router1", End(session.sid, session.grant - 1, "conflict", ""))
    assert line.errors == []
    world.sessions.receive("router1", End(session.sid, session.grant, "conflict", "elsewhere"))
    world.sessions.receive("router1", End(0, 0, "no-such-condition", "", session.stream))
    assert line.errors == ["conflict", "undefined-condition"]


def test_the_mirror_names_every_session_of_the_partition(world: World) -> None:
    session, _ = world.bind()
    world.bind("zoe@example.org/r", 1 << 32 | 3)
    world.deliver(session, 1)
    world.sessions.receive("router1", MirrorRequest(session.partition, 1, "router1"))
    (mirror,) = [item for item in world.arrived() if isinstance(item, Mirror)]
    assert mirror.last
    assert (mirror.edge, mirror.partition) == ("edge1", session.partition)
    ((sid, stream, full, grant, n, acked, note, inflight, stanzas, _managed),) = mirror.sessions
    assert (sid, stream, full, grant) == (session.sid, session.stream, FULL, session.grant)
    assert (n, acked, note) == (1, 0, b"")
    assert [tuple(one) for one in inflight] == [(1, b"origin", 1)]
    ((number, told),) = stanzas
    assert (number, Stanza.unpack(told).to) == (1, FULL)


def test_an_edge_without_sessions_answers_too(world: World) -> None:
    world.sessions.receive("router1", MirrorRequest(9, 1, "router1"))
    assert world.arrived() == [Mirror("edge1", 9, (), True)]


# --- requests ---------------------------------------------------------------------------------------------------------


def test_a_request_that_nobody_answers_is_answered_by_the_own_router(world: World) -> None:
    session, _ = world.bind()
    session.take(stanza("iq", "bob@example.org/r", "get", "q", QUERY))
    (asked,) = world.arrived()
    assert isinstance(asked, Route)
    world.sessions.on_timer(world.clock.now + 31)
    (item,) = world.arrived()
    assert isinstance(item, Route)
    assert item.origin == answering(asked.origin), "a late answer of a worker is not given as well"
    assert (item.stanza.from_, item.stanza.to, item.stanza.id) == ("bob@example.org/r", FULL, "q")
    assert b"remote-server-timeout" in item.stanza.inner


@pytest.mark.parametrize(
    ("asked", "answers"), [("", ""), ("", ALICE), (ALICE, ""), ("example.org", "example.org")]
)
def test_an_answer_closes_its_request(world: World, asked: str, answers: str) -> None:
    session, line = world.bind()
    session.take(stanza("iq", asked, "get", "q", QUERY))
    world.arrived()
    world.deliver(session, 1, Stanza.build("iq", type="result", id="q", from_=answers, to=FULL))
    world.sessions.on_timer(world.clock.now + 31)
    assert world.arrived() == []
    assert len(line.sent) == 1


def test_the_answer_to_our_ping_goes_nowhere(world: World) -> None:
    session, _ = world.bind()
    session.ping = "ping-1"
    session.take(stanza("iq", "example.org", "result", "ping-1"))
    assert session.ping == ""
    assert world.arrived() == []


async def test_the_clock_of_the_reactor_is_trios() -> None:
    assert abs(Reactor().clock() - trio.current_time()) < 1.0
