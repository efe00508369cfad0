"""Marks: what was posted before them has arrived, or has nobody any more to whom it could go."""

from __future__ import annotations

from rookery.shared.bus.memory import MemoryBus, Network
from rookery.shared.bus.messages import Acked, Kind


class World:
    def __init__(self) -> None:
        self.net = Network(clock=lambda: 0.0)
        self.bus, self.edge, self.other = (self.net.bus(name) for name in ("router1", "edge1", "edge2"))
        for bus in (self.bus, self.edge, self.other):
            bus.receiver = lambda source, kind, partition, epoch, item: None

    def post(self, to: MemoryBus) -> None:
        self.bus.post_to(to.incarnation, Acked("a@x/r", 1, 1), kind=Kind.ROUTER)

    def second(self) -> None:
        for bus in (self.bus, self.edge, self.other):
            bus.tick()
        self.net.settle()


def test_a_mark_is_passed_when_peers_have_said_that_they_have_it() -> None:
    world = World()
    world.post(world.edge)
    mark = world.bus.mark()
    assert not mark.passed()
    world.net.settle()
    assert not mark.passed(), "(nobody has said so yet)"
    world.second()
    assert mark.passed()
    assert world.bus.mark().passed(), "nothing is under way"


def test_what_is_posted_later_is_not_waited_for() -> None:
    world = World()
    world.post(world.edge)
    mark = world.bus.mark()
    world.net.settle()
    world.second()
    world.post(world.edge)
    assert mark.passed()


def test_a_peer_that_is_given_up_is_not_waited_for() -> None:
    world = World()
    world.post(world.edge)
    world.post(world.other)
    mark = world.bus.mark()
    world.other.disconnect()
    world.net.settle()
    world.second()
    assert not mark.passed()
    world.bus.forget("edge2")
    assert mark.passed()


def test_a_link_that_begins_anew_has_to_bring_what_is_sent_again() -> None:
    world = World()
    world.post(world.edge)
    world.net.settle()
    world.second()
    world.edge.forget("router1")
    world.bus.on_reset = lambda peer: world.post(world.edge)
    world.post(world.edge)
    mark = world.bus.mark()
    world.net.settle()
    assert not mark.passed()
    world.second()
    world.second()
    assert mark.passed()
