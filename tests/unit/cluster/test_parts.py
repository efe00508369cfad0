"""Held partitions: what arrives waits, is served or goes back, by the state of its partition."""

from __future__ import annotations

import pytest

from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import NOBODY, Acked, Fanout, Item, Kind, Mirror
from rookery.shared.cluster.parts import Parts, State
from rookery.shared.xmpp.stanza import Stanza


class Service:
    kind = Kind.ROUTER

    def __init__(self) -> None:
        self.received: list[Item | Call] = []
        self.dropped: list[int] = []

    async def run(self) -> None: ...

    async def acquire(self, partition: int, epoch: int) -> None: ...

    async def release(self, partition: int) -> None: ...

    def drop(self, partition: int) -> None:
        self.dropped.append(partition)

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        self.received.append(item)


class Scene:
    def __init__(self) -> None:
        self.service = Service()
        self.refused: list[Item | Call] = []
        self.parts = Parts({Kind.ROUTER: self.service}, 8, lambda s, k, p, e, item: self.refused.append(item))

    def send(self, item: Item | Call, epoch: int = 3, partition: int = 5, kind: Kind = Kind.ROUTER) -> None:
        self.parts.dispatch("edge1", kind, partition, epoch, item)


A, B = Acked("a@x/r", 1, 1), Acked("a@x/r", 1, 2)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_is_not_held_goes_back(scene: Scene) -> None:
    scene.send(A)
    scene.send(A, kind=Kind.ROSTER)
    scene.send(A, partition=8)
    scene.send(A, partition=-1)
    assert scene.refused == [A] * 4


def test_items_wait_until_hydrated_but_mirrors_pass(scene: Scene) -> None:
    part = scene.parts.add(Kind.ROUTER, 5, 3)
    mirror = Mirror("edge1", 5, (), True)
    call = Call(1, "edge1", B)
    scene.send(A)
    scene.send(mirror)
    scene.send(call)
    assert scene.service.received == [mirror]
    assert scene.parts.served(Kind.ROUTER) == []
    scene.parts.serve(Kind.ROUTER, 5, part)
    assert scene.service.received == [mirror, A, call]
    assert scene.parts.served(Kind.ROUTER) == [(5, 3)]
    scene.send(B)
    assert scene.service.received[-1] == B


def test_what_was_sent_under_another_epoch_goes_back_but_for_mirrors(scene: Scene) -> None:
    scene.parts.serve(Kind.ROUTER, 5, scene.parts.add(Kind.ROUTER, 5, 3))
    mirror = Mirror("edge1", 5, (), True)
    scene.send(A, epoch=2)
    scene.send(B, epoch=4)
    scene.send(mirror, epoch=2)
    assert scene.service.received == [mirror]
    assert scene.refused == [A, B]


def test_a_partition_that_comes_back_does_not_turn_the_order_of_its_senders(scene: Scene) -> None:
    # It was given to a process that died at once. Meanwhile the sender knew no other holder than this process.
    scene.send(A, epoch=2)
    part = scene.parts.add(Kind.ROUTER, 5, 4)
    scene.send(B, epoch=2)
    scene.parts.serve(Kind.ROUTER, 5, part)
    assert scene.service.received == []
    assert scene.refused == [A, B]


def test_what_comes_while_releasing_goes_back(scene: Scene) -> None:
    part = scene.parts.add(Kind.ROUTER, 5, 3)
    scene.parts.serve(Kind.ROUTER, 5, part)
    part.state = State.RELEASING
    scene.send(A)
    scene.parts.remove(Kind.ROUTER, 5)
    scene.send(B)
    assert scene.refused == [A, B]


def test_dropped_while_acquiring_gives_back_what_waited(scene: Scene) -> None:
    part = scene.parts.add(Kind.ROUTER, 5, 3)
    scene.send(A)
    scene.parts.drop(Kind.ROUTER, 5)
    assert scene.refused == [A]
    assert scene.service.dropped == [5]
    assert part.scope.cancel_called
    assert list(scene.parts.all()) == []
    scene.parts.drop(Kind.ROUTER, 5)
    assert scene.service.dropped == [5], "once"


# --- one item for several partitions ----------------------------------------------------------------------------------


def fanned(*runs: tuple[int, int, int]) -> Fanout:
    recipients = [f"{partition}.{n}@x" for partition, _, count in runs for n in range(count)]
    return Fanout(Stanza.build("presence"), recipients, NOBODY, runs)


def received(scene: Scene) -> list[list[str]]:
    return [list(item.recipients) for item in scene.service.received if isinstance(item, Fanout)]


def test_what_is_served_comes_as_one_whatever_the_partitions(scene: Scene) -> None:
    for partition in (1, 2):
        scene.parts.serve(Kind.ROUTER, partition, scene.parts.add(Kind.ROUTER, partition, 3))
    scene.send(fanned((1, 3, 2), (2, 3, 1)), partition=1)
    assert received(scene) == [["1.0@x", "1.1@x", "2.0@x"]]
    assert scene.refused == []


def test_each_partition_of_an_item_goes_its_own_way(scene: Scene) -> None:
    """Held, being acquired, released, given away, held again later: as if each had got an item of its own."""
    parts = scene.parts
    parts.serve(Kind.ROUTER, 1, parts.add(Kind.ROUTER, 1, 3))
    waits = parts.add(Kind.ROUTER, 2, 3)
    releasing = parts.add(Kind.ROUTER, 3, 3)
    releasing.state = State.RELEASING
    parts.serve(Kind.ROUTER, 5, parts.add(Kind.ROUTER, 5, 4))
    # The item is posted to a partition that is not held at all.
    scene.send(fanned((4, 3, 1), (1, 3, 1), (2, 3, 1), (3, 3, 1), (5, 3, 1)), partition=4)
    assert received(scene) == [["1.0@x"]]
    refused = [list(item.recipients) for item in scene.refused if isinstance(item, Fanout)]
    assert refused == [["4.0@x"], ["3.0@x"], ["5.0@x"]]
    assert not any(item.runs for item in scene.refused if isinstance(item, Fanout))
    parts.serve(Kind.ROUTER, 2, waits)
    assert received(scene) == [["1.0@x"], ["2.0@x"]]
