"""When a router tells a room that what it said has a second copy."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest

from rookery.router.core import Core
from rookery.router.delivery.rooms import Rooms
from rookery.router.partition import Part
from rookery.shared.bus.messages import Acked, FannedOut, Kind, Origin
from rookery.shared.cluster.fake import FakeCluster

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
    core = Core(node, ticks=lambda: now[0])
    for partition in range(node.partitions):
        core.parts[partition] = Part(partition, 1)
    rows = Rows()
    return World(cluster, core, rows, Rooms(core, rows), now)


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
