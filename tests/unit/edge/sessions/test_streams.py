"""Who gets `Accepted` and `Copied`: bound streams, closed ones, and those that went on under another binding."""

from __future__ import annotations

from typing import cast

import pytest
import structlog
from tests.unit.edge.sessions.management.test_manager import BOB, managed, of, say, sent
from tests.unit.edge.sessions.world import World, stanza

from rookery.edge.client.connection import Connection
from rookery.edge.sessions.session import Session
from rookery.edge.sessions.streams import ORPHAN_SECONDS, Streams
from rookery.shared.bus.messages import Bound, Frontier


@pytest.fixture
def world() -> World:
    return World()


def message(session: Session, count: int = 1) -> None:
    for _ in range(count):
        session.take(stanza("message", BOB))


def test_number_0_is_the_end_of_a_stream() -> None:
    ended: list[bytes] = []
    streams = Streams(ended.append)
    streams.accepted([(b"a", 0), (b"unknown", 3), (b"b", 0)], False)
    assert ended == [b"a", b"b"]


def test_a_session_that_is_open_is_never_forgotten(world: World) -> None:
    session, _ = world.bind()
    streams = world.sessions.streams
    message(session)
    streams.accepted([(session.stream, 1)], False)
    streams.settled(session)
    assert streams.get(session.stream) is session
    assert streams.unsettled == set()


def test_both_legs_settle_a_closed_stream(world: World) -> None:
    session, _ = world.bind()
    session.copies = True
    message(session)
    session.connection = None
    streams = world.sessions.streams
    streams.closed(session, 0.0)
    streams.accepted([(session.stream, 1)], False)
    assert streams.get(session.stream) is session
    streams.accepted([(session.stream, 1)], True)
    assert streams.get(session.stream) is None


def test_a_closed_stream_with_nothing_open_is_forgotten_at_once(world: World) -> None:
    session, _ = world.bind()
    session.connection = None
    world.sessions.streams.closed(session, 0.0)
    assert world.sessions.streams.get(session.stream) is None


def test_what_nobody_accepts_is_given_up_and_said(world: World) -> None:
    session, _ = world.bind()
    message(session, 2)
    session.connection = None
    streams = world.sessions.streams
    streams.closed(session, 100.0)
    streams.tick(100.0 + ORPHAN_SECONDS)
    assert session in streams.unsettled
    with structlog.testing.capture_logs() as logs:
        streams.tick(101.0 + ORPHAN_SECONDS)
    assert [(log["event"], log["count"]) for log in logs] == [("stanzas_not_accepted", 2)]
    assert streams.get(session.stream) is None
    assert streams.unsettled == set()


def test_an_orphan_that_was_accepted_in_time_is_no_news(world: World) -> None:
    session, _ = world.bind()
    message(session)
    session.connection = None
    streams = world.sessions.streams
    streams.closed(session, 100.0)
    streams.accepted([(session.stream, 1)], False)
    with structlog.testing.capture_logs() as logs:
        streams.tick(101.0 + ORPHAN_SECONDS)
    assert logs == []


def test_elders_of_a_stream_get_theirs_too(world: World) -> None:
    """A stream that goes on at this very edge: what the former binding has un-accepted is seen through there."""
    streams = world.sessions.streams
    elder, _ = managed(world)
    message(elder, 2)
    first, second = sent(world)
    middle, _ = managed(world)  # went on once more, with nothing of its own
    young, _ = managed(world)
    message(young)
    for session in (elder, middle):
        world.sessions.close(session, "conflict")
    assert sent(world) == [first]  # sent again: the same uid
    streams.accepted([(b"stream", first)], False)
    assert (elder.unaccepted, young.unaccepted) == (1, 0)
    streams.accepted([(b"stream", second)], False)
    assert elder.unaccepted == 0
    assert elder not in streams.unsettled
    assert streams.get(b"stream") is young
    assert streams._elders == {}


def test_an_elder_that_nobody_accepts_is_given_up(world: World) -> None:
    streams = world.sessions.streams
    elder, _ = managed(world)
    message(elder)
    young, _ = managed(world)
    world.sessions.close(elder, "conflict")
    streams.tick(world.clock.now + ORPHAN_SECONDS + 1)
    assert streams._elders == {}
    assert elder not in streams.unsettled
    assert streams.get(b"stream") is young


def test_a_client_that_asked_is_answered_in_the_same_turn_and_others_in_a_second(world: World) -> None:
    streams = world.sessions.streams
    session, line = managed(world)
    message(session)
    (uid,) = sent(world)
    streams.accepted([(b"stream", uid)], False)
    assert of(world.arrived(), Frontier) == []
    streams.tick(world.clock.now)
    assert of(world.arrived(), Frontier) == [Frontier(session.full, session.grant, 1, (), 1)]
    session.manager.noted(1)  # type: ignore[union-attr]
    message(session)
    (uid,) = sent(world)
    say(session, line, "r")
    streams.accepted([(b"stream", uid)], False)
    assert of(world.arrived(), Frontier) == [Frontier(session.full, session.grant, 2, (), 2)]


def test_a_frontier_is_told_once_for_a_batch(world: World) -> None:
    streams = world.sessions.streams
    session, line = managed(world)
    message(session, 5)
    uids = sent(world)
    say(session, line, "r")
    streams.accepted([(b"stream", uid) for uid in uids], False)
    assert of(world.arrived(), Frontier) == [Frontier(session.full, session.grant, 5, (), 5)]


def test_add_tells_who_had_the_stream(world: World) -> None:
    streams = Streams(lambda stream: None)
    former, _ = world.bind()
    assert streams.add(former) is None
    bound = Bound(former.full, 2 << 32 | 1)
    following = Session(world.sessions, cast("Connection", object()), 99, former.stream, bound)
    assert streams.add(following) is former
    assert streams.get(former.stream) is following
