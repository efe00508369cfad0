"""All bound streams of an edge: re-sending, ends, mirrors, early items, holes, requests without an answer."""

from __future__ import annotations

from typing import cast

import pytest
import trio
from tests.unit.edge.sessions.world import ALICE, FULL, QUERY, Line, World, stanza

from rookery.edge.client.connection import Connection
from rookery.edge.sessions.endings import UNBIND_SECONDS
from rookery.shared.bus.messages import (
    Accepted,
    Bound,
    Deliver,
    DeliverMany,
    End,
    Kind,
    Mirror,
    MirrorRequest,
    Note,
    Route,
    Unbind,
    answering,
)
from rookery.shared.net.reactor import Reactor
from rookery.shared.xmpp.stanza import Stanza


@pytest.fixture
def world() -> World:
    return World()


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


def test_fan_out_carries_each_address(world: World) -> None:
    (one, line1), (two, line2) = world.bind(), world.bind(f"{ALICE}/tablet", 1 << 32 | 2)
    presence = Stanza.build("presence", from_="bob@example.org/r")
    targets = [(one.sid, one.grant, 1, one.full), (two.sid, two.grant, 1, two.full)]
    world.sessions.receive("router1", DeliverMany(presence, targets))
    assert line1.sent == [f"<presence from='bob@example.org/r' to='{FULL}'/>".encode()]
    assert line2.sent == [f"<presence from='bob@example.org/r' to='{ALICE}/tablet'/>".encode()]


def test_fan_out_carries_a_uid_into_the_mirrors(world: World) -> None:
    session, _ = world.bind()
    message = Stanza.build("message", type="groupchat", from_="room@example.org/nick")
    world.sessions.receive(
        "router1", DeliverMany(message, [(session.sid, session.grant, 1, FULL)], b"room", 7)
    )
    assert session.mirror.inflight() == [(1, b"room", 7)]
    assert session.mirror.messages() == [(1, message.replace(to=FULL))]


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
    sid, stream = world.sessions.reserve(), bytes(16)
    grant = 1 << 32 | 5
    message = Stanza.build("message", to=FULL)
    world.sessions.receive("router1", Deliver(sid, grant, 1, b"", 0, message))
    world.sessions.receive("router1", Note(sid, grant, b"note"))
    world.sessions.receive("router1", DeliverMany(message, [(sid, grant, 2, FULL)]))
    world.sessions.receive("router1", End(sid, grant, "conflict", ""))
    line = Line()
    session = world.sessions.begin(cast("Connection", line), sid, stream, Bound(FULL, grant))
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
    ((sid, stream, full, grant, n, acked, note, inflight, stanzas, _managed, heard),) = mirror.sessions
    assert (sid, stream, full, grant) == (session.sid, session.stream, FULL, session.grant)
    assert (n, acked, note, tuple(heard)) == (1, 0, b"", ())
    assert [tuple(one) for one in inflight] == [(1, b"origin", 1)]
    ((number, told),) = stanzas
    assert (number, Stanza.unpack(told).to) == (1, FULL)


def test_an_edge_without_sessions_answers_too(world: World) -> None:
    world.sessions.receive("router1", MirrorRequest(9, 1, "router1"))
    assert world.arrived() == [Mirror("edge1", 9, (), True)]


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


async def test_the_clock_of_the_reactor_is_trios() -> None:
    assert abs(Reactor().clock() - trio.current_time()) < 1.0
