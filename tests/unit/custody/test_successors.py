"""Who is asked to send again, and what goes out first."""

from __future__ import annotations

from collections.abc import Collection

from rookery.shared.bus.messages import Item, Kind, Origin, Route
from rookery.shared.custody.inflight import Entry, Inflight, Place, Pool
from rookery.shared.custody.successors import Successors
from rookery.shared.xmpp.stanza import Stanza

MESSAGE = Stanza.build("message", to="b@x", from_="a@x/r")


class Stream:
    """A keeper that counts how often it was asked where it waits."""

    def __init__(self, *sent: tuple[int, Place]) -> None:
        self.inflight = Inflight(100, 1 << 20, Pool(1000, 1 << 30))
        self.asked = 0
        for n, place in sent:
            self.inflight.add(n, Entry(place, Route(Origin(b"s", n, "e"), MESSAGE), 1, False, float(n)))

    def places(self) -> Collection[Place]:
        self.asked += 1
        return self.inflight.places()

    def again(self, places: Collection[Place], before: float, same: bool) -> list[Entry]:
        return self.inflight.again(places, before, same)


class World:
    def __init__(self, *streams: Stream) -> None:
        self.streams = list(streams)
        self.posted: list[tuple[Place, int]] = []
        self.successors = Successors[Stream](lambda: self.streams, self.post)

    def post(self, kind: Kind, partition: int, item: Item) -> None:
        assert isinstance(item, Route)
        self.posted.append(((kind, partition), item.origin.n))


HERE: Place = (Kind.ROUTER, 1)
THERE: Place = (Kind.ROUTER, 2)
ROOM: Place = (Kind.MUC, 1)


def test_places_of_two_kinds_are_two_places() -> None:
    world = World(Stream((1, HERE), (2, ROOM), (3, HERE)), Stream((4, THERE)))
    assert world.successors.again({HERE}) == [world.streams[0]]
    assert world.posted == [(HERE, 1), (HERE, 3)]
    world.posted.clear()
    assert world.successors.again({ROOM, THERE}) == world.streams
    assert world.posted == [(ROOM, 2), (THERE, 4)]


def test_keepers_are_asked_once_where_they_wait_however_many_places_change() -> None:
    world = World(Stream((1, HERE), (2, THERE)))
    for place in (HERE, THERE, ROOM):
        world.successors.again({place})
    assert world.streams[0].asked == 1
    world.streams[0].inflight.add(3, Entry(ROOM, Route(Origin(b"s", 3, "e"), MESSAGE), 1, False, 3.0))
    world.successors.stale = True
    world.posted.clear()
    world.successors.again({ROOM})
    assert world.posted == [(ROOM, 3)]
    assert world.streams[0].asked == 2


def test_by_time_everybody_is_asked() -> None:
    world = World(Stream((1, HERE), (9, HERE)), Stream((5, HERE)))
    assert world.successors.again({HERE}, before=2.0) == world.streams
    assert world.posted == [(HERE, 1), (HERE, 9)]
