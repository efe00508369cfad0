"""When a router tells a room that what it said has a second copy, and who is in no more."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
from tests.unit.router.rig import PARTITIONS, Client, Rig, rig

from rookery.router.absences import GRACE
from rookery.router.core import Core
from rookery.router.delivery.rooms import Rooms
from rookery.router.partition import Part
from rookery.shared.bus.messages import (
    Acked,
    CheckOccupants,
    FannedOut,
    Fanout,
    Kind,
    Origin,
    Route,
    ToSession,
)
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.xmpp.stanza import Stanza

STREAM = b"room:room@conference.example.org"
ROOM = "room@conference.example.org"


class Rows:
    """Sessions without a socket."""

    def __init__(self) -> None:
        self.moved = 0
        self.since = math.inf

    def unwritten(self) -> float:
        return self.since


class World(NamedTuple):
    cluster: FakeCluster
    core: Core
    rows: Rows
    rooms: Rooms
    now: list[float]

    def step(self, seconds: float = 0.5) -> None:
        self.now[0] += seconds
        self.rooms.tick()
        self.cluster.network.settle()

    def acknowledge(self) -> None:
        for bus in self.cluster.network.buses.values():
            bus.tick()
        self.cluster.network.settle()

    def post(self) -> None:
        self.core.bus.post_to("edge1", Acked("a@x/r", 1, 1))

    def confirmed(self) -> list[int]:
        muc = self.cluster.nodes["muc1"]
        received, muc.received = muc.received, []
        return [n for *_, item in received if isinstance(item, FannedOut) for _, n in item.heard]


@pytest.fixture
def world() -> World:
    now = [100.0]
    cluster = FakeCluster(clock=lambda: now[0])
    cluster.node("edge1", Kind.EDGE)
    cluster.node("muc1", Kind.MUC)
    node = cluster.node("router1", Kind.ROUTER)
    core = Core(node, clock=lambda: now[0], ticks=lambda: now[0])
    for partition in range(node.partitions):
        core.parts[partition] = Part(partition, 1)
    rows = Rows()
    return World(cluster, core, rows, Rooms(core, rows, lambda *_: None), now)


def test_what_edges_have_taken_is_confirmed(world: World) -> None:
    world.post()
    world.rooms.took(ROOM, Origin(STREAM, 5, ""))
    for _ in range(4):
        world.step()
    assert world.confirmed() == []
    world.acknowledge()
    world.step()
    assert world.confirmed() == [5]
    world.step()
    assert world.confirmed() == []


def test_what_is_said_meanwhile_waits_for_its_turn(world: World) -> None:
    world.post()
    world.rooms.took(ROOM, Origin(STREAM, 5, ""))
    world.step()
    world.acknowledge()
    world.post()
    world.rooms.took(ROOM, Origin(STREAM, 6, ""))
    world.step()
    world.step()
    assert world.confirmed() == [5]
    world.acknowledge()
    world.step()
    assert world.confirmed() == [6]


def test_rows_that_lack_something_are_waited_for(world: World) -> None:
    world.rooms.took(ROOM, Origin(STREAM, 5, ""))
    world.rows.since = world.now[0]
    for _ in range(4):
        world.step()
    assert world.confirmed() == []
    world.rows.since = world.now[0]  # (what it lacks now came later)
    world.step()
    assert world.confirmed() == [5]


def test_what_went_from_a_row_to_an_edge_is_waited_for(world: World) -> None:
    world.rooms.took(ROOM, Origin(STREAM, 5, ""))
    world.step()
    world.rows.moved += 1
    world.post()
    world.step()
    assert world.confirmed() == []
    world.acknowledge()
    world.step()
    assert world.confirmed() == [5]


def test_nothing_is_confirmed_while_items_wait_for_a_partition(world: World) -> None:
    part = world.core.parts.pop(9)
    world.rooms.took(ROOM, Origin(STREAM, 5, ""))
    for _ in range(4):
        world.step()
    assert world.confirmed() == []
    world.core.parts[9] = part
    world.step()
    assert world.confirmed() == [5]


def test_nothing_is_confirmed_while_somebody_who_missed_something_may_come_back(world: World) -> None:
    """Their edge was silent when this process took over: the next holder may learn of them, and the room gives it all again."""
    part = world.core.parts[9]
    part.since = world.now[0]
    world.core.absences.missed(part)
    world.rooms.took(ROOM, Origin(STREAM, 5, ""))
    for _ in range(4):
        world.step()
    assert world.confirmed() == []
    world.step(GRACE)
    world.step()
    assert world.confirmed() == [5]
    world.core.absences.missed(part)
    world.rooms.took(ROOM, Origin(STREAM, 6, ""))
    world.acknowledge()
    world.step()
    world.step()
    assert world.confirmed() == [6]


# --- who is in -------------------------------------------------------------------------------------------------------


async def occupant(it: Rig) -> Client:
    """Alice, in the room."""
    it.workers[Kind.MUC] = it.cluster.node("muc", Kind.MUC)
    it.db.domains.append("conference.example.org")
    it.db.kinds["conference.example.org"] = "rooms"
    it.router.domains.reader.refresh()
    await it.settle()
    alice = await it.online("alice")
    alice.presence(to=f"{ROOM}/Alice")
    await it.settle()
    it.seen(Kind.MUC)
    return alice


async def asked(it: Rig, alice: Client, stream: bytes) -> list[Route]:
    """What the room hears when it asks for alice, whom it let in for the session `stream`."""
    node = it.workers[Kind.MUC]
    node.bus.post(Kind.ROUTER, node.partition(alice.bare), CheckOccupants(ROOM, (alice.full,), (stream,)))
    await it.settle()
    return it.seen(Kind.MUC, Route)


async def test_the_end_of_a_session_says_which_it_was() -> None:
    async with rig() as it:
        alice = await occupant(it)
        alice.unbind()
        await it.settle()
        (told,) = it.seen(Kind.MUC, Route)
        assert (told.stanza.type, told.stanza.to) == ("unavailable", f"{ROOM}/Alice")
        assert told.origin == Origin(alice.stream, 0, "")


async def test_who_is_in_stays_in() -> None:
    async with rig() as it:
        alice = await occupant(it)
        assert await asked(it, alice, alice.stream) == []


@pytest.mark.parametrize("many", [True, False])
async def test_who_misses_something_is_waited_for(many: bool) -> None:
    async with rig() as it:
        alice = await occupant(it)
        node, number = it.workers[Kind.MUC], it.router.core.node.partition(alice.bare)
        stanza = Stanza.build("message", type="groupchat", from_=f"{ROOM}/Bob")

        async def said(n: int, full: str) -> bool:
            told = ToSession(full, 0, (stanza,), Origin(STREAM, n, ""))
            node.bus.post(
                Kind.ROUTER, number, Fanout(stanza, (full,), Origin(STREAM, n, "")) if many else told
            )
            await it.settle()
            return it.router.core.absences.waiting

        assert not await said(1, alice.full)
        assert await said(2, f"{alice.bare}/away")


async def test_a_session_is_not_let_in_by_what_a_former_one_is_told() -> None:
    """The next holder of a room says again what may not have been heard, to whatever session has the full JID by then."""
    async with rig() as it:
        alice = await occupant(it)
        node, partition = it.workers[Kind.MUC], it.workers[Kind.MUC].partition(alice.bare)
        shown = Stanza.build("presence", from_=f"{ROOM}/Alice", to=alice.full)
        alice.news()

        async def lets_in(n: int, stream: bytes) -> list[str]:
            entrance = ToSession(alice.full, 0, (shown,), Origin(STREAM, n, ""), True, stream)
            node.bus.post(Kind.ROUTER, partition, entrance)
            await it.settle()
            return [one.from_ for one in alice.news()]

        assert await lets_in(7, b"former") == []
        assert await lets_in(8, alice.stream) == [shown.from_]
        assert await lets_in(9, b"former") == []
        assert await lets_in(10, b"") == [shown.from_], "a former version does not say whom it means"


async def test_a_session_of_which_only_the_room_knows_is_in() -> None:
    """The router died before the edge had its note."""
    async with rig() as it:
        alice = await occupant(it)
        for client in it.edge().clients.values():
            client.note = b""
        await it.start_router("router2")
        it.seen(Kind.MUC)
        assert await asked(it, alice, alice.stream) == []
        alice.unbind()
        await it.settle()
        assert [one.stanza.type for one in it.seen(Kind.MUC, Route)] == ["unavailable"]


async def test_a_new_session_that_did_not_come_in_is_not_in() -> None:
    async with rig() as it:
        alice = await occupant(it)
        again = await it.bind("alice")
        it.seen(Kind.MUC)
        (told,) = await asked(it, again, alice.stream)
        assert (told.stanza.from_, told.stanza.type) == (alice.full, "unavailable")
        assert told.origin == Origin(alice.stream, 0, ""), "it is about the former session only"


async def test_a_session_that_a_new_holder_does_not_know_has_time_to_come_back() -> None:
    """Its edge was silent when the partition moved, and the holder after that learns it from there."""
    async with rig() as it:
        alice = await occupant(it)
        clients = dict(it.edge().clients)
        it.edge().clients.clear()
        router = await it.start_router("router2")
        assert await asked(it, alice, alice.stream) == []
        it.now += GRACE - 1.0
        router.core.absences.tick()
        assert it.seen(Kind.MUC, Route) == []
        it.edge().clients.update(clients)
        for number in range(PARTITIONS):
            router.drop(number)
        await it.start_router("router3")
        assert await asked(it, alice, alice.stream) == []
        it.now += 1.0
        router.core.absences.tick()
        await it.settle()
        assert it.seen(Kind.MUC, Route) == [], "who no longer holds the partition says nothing"


async def test_a_session_that_does_not_come_back_is_gone() -> None:
    async with rig() as it:
        alice = await occupant(it)
        it.edge().clients.clear()
        router = await it.start_router("router2")
        assert await asked(it, alice, alice.stream) == []
        it.now += GRACE
        router.core.absences.tick()
        await it.settle()
        (told,) = it.seen(Kind.MUC, Route)
        assert (told.stanza.from_, told.stanza.type) == (alice.full, "unavailable")
        assert told.origin == Origin(alice.stream, 0, "")
