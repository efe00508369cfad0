"""Guests of rooms: a stay ends with the own unavailable presence, and what others do in the room is none of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.bench.scenes import SECOND, WINDOW, Scene

from rookery.bench.driver.client import Client
from rookery.bench.driver.login import Session
from rookery.bench.driver.loop import Loop
from rookery.bench.driver.target import Target
from rookery.bench.plan import PlanError, make
from rookery.bench.scenarios._rooms import enter
from rookery.bench.scenarios.join import Join
from rookery.bench.users import accounts

ROOM = b"bench1-0-0@conference.localhost"
OWN = (
    b"<presence from='%b/u0'><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>"
    % ROOM
)
REFUSED = (
    b"<presence type='error' from='%b/u0'><error type='cancel'>"
    b"<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>" % ROOM
)


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene(users=4, scenario="join", rooms=1, talkers=1, seed=1)
    yield scene
    scene.close()


def presence(nick: str, inner: bytes = b"", type: bytes = b"") -> bytes:
    return b"<presence from='%b/%b'%b><x>%b</x></presence>" % (ROOM, nick.encode(), type, inner)


def test_a_stay_from_the_join_to_the_end(scene: Scene) -> None:
    join = Join(scene.driver)
    join.begin(WINDOW)
    guest = scene.people[-1]
    assert [one.said() for one in scene.people[:-1]] == [[], [], []], "residents do nothing"
    (entered,) = guest.said()
    assert entered.startswith(b"<presence to='%b/" % ROOM)
    scene.now = 2 * SECOND
    guest.hear(presence("u0") + presence("u3", b"<status code='110'/>")[:40])
    assert guest.said() == []
    guest.hear(presence("u3", b"<status code='110'/>")[40:] + b"<message from='%b'/>" % ROOM)
    (left,) = guest.said()
    assert b"type='unavailable'" in left
    guest.hear(presence("u1", b"", b" type='unavailable'"))
    assert join.outstanding() == 1, "another one has left"
    guest.hear(presence("u3", b"<status code='110'/>", b" type='unavailable'"))
    assert join.outstanding() == 0
    part = scene.recorder.tick(0)
    assert sum(count for _, count in part.parts["join"].counts) == 1
    assert part.parts["stay"].errors == {}


def test_a_refused_join_and_one_without_an_end_are_errors(scene: Scene) -> None:
    join = Join(scene.driver)
    join.begin(WINDOW)
    guest = scene.people[-1]
    join.finish()
    guest.hear(
        b"<presence type='error' from='%b/u3'><error type='wait'>"
        b"<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>" % ROOM
    )
    join.one(guest, 0)  # type: ignore[arg-type]
    join._under_way += 1
    scene.now = 3600 * SECOND
    join.watch(scene.now)
    assert scene.recorder.tick(0).parts["stay"].errors == {"resource-constraint": 1, "timeout": 1}


def test_each_guest_of_an_empty_room_has_one_of_its_own() -> None:
    scene = Scene(users=2, scenario="join", rooms=1, talkers=2, seed=1)
    join = Join(scene.driver)
    join.begin(WINDOW)
    rooms = [one.said()[0].split(b"/")[0] for one in scene.people]
    scene.close()
    assert len(set(rooms)) == 2


def test_a_room_needs_its_guests() -> None:
    plan = make({"scenario": "join", "users": 4, "transport": "plain"}, {"rooms": 2, "talkers": 3})
    with pytest.raises(PlanError, match="talkers"):
        Join.check(plan)


@pytest.mark.parametrize(
    ("last", "condition"),
    [
        (OWN, ""),
        (REFUSED, "conflict"),
        (b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", "conflict"),
    ],
)
def test_who_enters_a_large_room_looks_at_what_concerns_it_only(last: bytes, condition: str) -> None:
    """A thousand presences come before the own one; the first of these would not even be parsed."""
    plan = make({"scenario": "join", "users": 2, "rooms": 1, "talkers": 1})
    ends: list[str] = []
    writes: list[bytes] = []

    class Dry(Client):
        """One without a socket."""

        def write(self, data: bytes) -> None:
            writes.append(data)

    client = Dry(Loop(), Target(plan), Session(accounts(plan)[0]), lambda _client, end: ends.append(end))
    client.run(enter(client, ROOM.decode()), client.gone)
    crowd = b"".join(presence(f"other{n}", b"<undeclared:x/>") for n in range(1000))
    client._elements(crowd + b"<iq type='get' id='p' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert ends == []
    assert [one.partition(b" ")[0] for one in writes] == [b"<presence", b"<iq"], "requests are answered"
    client._elements(last)
    assert ends == [condition]
