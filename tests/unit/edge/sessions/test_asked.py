"""Requests that a client was given and has not answered."""

from __future__ import annotations

from rookery.edge.sessions.asked import MANY, Asked
from rookery.shared.bus.messages import Origin, Route, Unbind, answering
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

from .world import FULL, World, stanza

ASKER = "bob@example.org/r"
PING = Element("urn:xmpp:ping", "ping")


def request(id: str = "q1") -> Stanza:
    return Stanza.build("iq", PING, type="get", to=FULL, from_=ASKER, id=id)


def refusals(world: World) -> list[Route]:
    return [item for item in world.arrived() if isinstance(item, Route) and item.stanza.type == "error"]


def test_whoever_asked_is_told_when_the_client_leaves() -> None:
    world = World()
    session, _ = world.bind()
    world.deliver(session, 1, request())
    world.sessions.close(session, "closed")
    (told,) = refusals(world)
    assert told.origin == answering(Origin(b"origin", 1, ""))
    assert (told.stanza.to, told.stanza.from_, told.stanza.id) == (ASKER, FULL, "q1")
    assert b"service-unavailable" in told.stanza.inner


def test_what_was_answered_needs_nothing_more() -> None:
    world = World()
    session, _ = world.bind()
    world.deliver(session, 1, request())
    session.take(stanza("iq", ASKER, "result", "q1"))
    world.sessions.close(session, "closed")
    items = world.arrived()
    assert not [item for item in items if isinstance(item, Route) and item.stanza.type == "error"]
    assert [item for item in items if isinstance(item, Unbind)]


def test_so_many_are_remembered_and_the_oldest_are_not() -> None:
    asked = Asked()
    for n in range(MANY + 3):
        asked.add(ASKER, f"q{n}", b"stream", n + 1)
    told = [route.stanza.id for route in asked.refusals(FULL)]
    assert len(told) == MANY
    assert told[0] == "q3"
