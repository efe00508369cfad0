"""What a dead process leaves behind goes to the next holder: once, in order, and only what may be repeated."""

from __future__ import annotations

import pytest

from rookery.shared.bus.api import Call
from rookery.shared.bus.memory import MemoryBus, Network
from rookery.shared.bus.messages import (
    NOBODY,
    Accepted,
    Acked,
    Copied,
    Deliver,
    Fanout,
    Gate,
    Gated,
    Handle,
    Item,
    Kind,
    Noted,
    Origin,
    Probe,
    Replay,
    Route,
    answering,
)
from rookery.shared.bus.repeats import repeatable
from rookery.shared.xmpp.stanza import Stanza

KEY = [(Kind.ROUTER, 5)]
OTHER = [(Kind.ROUTER, 6)]


class World:
    """A sender, a holder that dies, and its successor."""

    def __init__(self) -> None:
        self.now = 0.0
        self.net = Network(clock=lambda: self.now)
        self.sender = self.net.bus("sender")
        self.holders: dict[int, tuple[str, int]] = {5: ("router1", 1), 6: ("router1", 1)}
        self.sender.resolver = lambda kind, partition: self.holders.get(partition)
        self.got: dict[str, list[str]] = {"router1": [], "router2": []}
        for name in self.got:
            self.add(name)

    def add(self, name: str) -> MemoryBus:
        bus = self.net.bus(name)

        def receive(source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
            assert isinstance(item, Probe)
            self.got[name].append(item.from_)

        bus.receiver = receive
        return bus

    def post(self, *names: str, partition: int = 5) -> None:
        for name in names:
            self.sender.post(Kind.ROUTER, partition, Probe(name, "a@x"))


@pytest.fixture
def world() -> World:
    return World()


def test_the_successor_gets_what_was_on_the_way(world: World) -> None:
    world.post("one")
    world.net.settle()
    world.net.kill("router1")
    world.post("two", "three")
    world.net.settle()
    world.holders.clear()
    world.sender.forget("router1")
    world.post("four")
    world.holders[5] = ("router2", 2)
    world.sender.holder_changed("router1", KEY)
    world.net.settle()
    # What had arrived, but was not acknowledged yet, comes once more.
    assert world.got["router2"] == ["one", "two", "three", "four"]


@pytest.mark.parametrize("lost_first", [False, True])
def test_what_was_on_the_way_goes_before_what_is_posted_while_nobody_holds_the_partition(
    world: World, lost_first: bool
) -> None:
    world.net.kill("router1")
    world.post("one")
    world.net.settle()
    world.holders.clear()
    world.post("two")
    if lost_first:
        world.sender.forget("router1")
    world.post("three")
    world.holders[5] = ("router2", 2)
    world.sender.holder_changed("router1", KEY, wait=False)
    if not lost_first:
        world.sender.forget("router1")
    world.net.settle()
    assert world.got["router2"] == ["one", "two", "three"]


def test_a_successor_that_is_there_before_the_former_is_lost_gets_it_once(world: World) -> None:
    world.net.kill("router1")
    world.post("one")
    world.post("other", partition=6)
    world.net.settle()
    world.holders[5] = ("router2", 2)
    world.sender.holder_changed("router1", KEY, wait=False)
    world.post("two")
    world.net.settle()
    assert world.got["router2"] == ["one", "two"]
    del world.holders[6]
    world.sender.forget("router1")
    world.holders[6] = ("router2", 2)
    world.sender.holder_changed("router1", OTHER)
    world.net.settle()
    assert world.got["router2"] == ["one", "two", "other"]


def test_what_had_no_credit_is_not_overtaken(world: World) -> None:
    world.net.kill("router1")
    many = [str(n) for n in range(5000)]  # more than a window
    world.post(*many)
    world.net.settle()
    assert world.sender.congested()
    world.holders[5] = ("router2", 2)
    world.sender.holder_changed("router1", KEY, wait=False)
    world.post("last")
    world.net.settle()
    world.sender.forget("router1")
    world.net.settle()
    assert world.got["router2"] == [*many, "last"]


def test_a_link_that_begins_anew_repeats_what_may_be_lost(world: World) -> None:
    world.post("one")
    world.net.settle()
    world.net.buses["router1"].forget("sender")
    world.sender.on_reset = lambda peer: world.post("service")
    world.post("two")
    world.net.settle()
    world.post("three")
    world.net.settle()
    assert world.got["router1"] == ["one", "service", "one", "two", "three"]


def test_who_gave_us_up_is_told_again_what_nobody_else_repeats(world: World) -> None:
    told: list[Item | Call] = []
    router, edge = world.net.buses["router1"], world.add("edge1")
    edge.receiver = lambda source, kind, partition, epoch, item: told.append(item)
    router.post_to("edge1", Copied(((b"s", 1),)))
    world.net.settle()
    edge.forget("router1")
    router.post_to("edge1", Accepted(((b"s", 1),)))
    router.post_to("edge1", Deliver(1, 1, 1, b"s", 1, Stanza.build("message", to="a@x")))
    world.net.settle()
    # The delivery is repeated by the service that numbered it.
    assert [type(item) for item in told] == [Copied, Copied, Accepted]
    router.forget("edge1")
    router.post_to("edge1", Noted(1, 1, 1))
    world.net.settle()
    assert type(told[-1]) is Noted


MESSAGE = Stanza.build("message", to="a@x")
IQ = Stanza.build("iq", type="get", to="a@x/r")
SUBSCRIBE = Stanza.build("presence", type="subscribe", to="a@x")
KEPT = Origin(b"s", 1, "e")


@pytest.mark.parametrize(
    ("item", "again"),
    [
        (Route(NOBODY, Stanza.build("presence", type="unsubscribed", to="a@x", from_="b@x")), True),
        (Route(KEPT, SUBSCRIBE), False),  # its custodian sends it again, in order
        (Route(NOBODY, Stanza.build("iq", type="result", to="a@x/r")), True),
        (Route(answering(KEPT), Stanza.build("iq", type="result", to="a@x/r")), True),  # once by its uid
        (Route(KEPT, IQ), False),
        (Route(KEPT, MESSAGE), False),
        (Route(NOBODY, Stanza.build("message", type="error", to="a@x")), True),  # else it has no fate at all
        (Handle(KEPT, "a@x", "", False, SUBSCRIBE), False),
        (Handle(NOBODY, "a@x", "", False, SUBSCRIBE), True),
        (Gate(KEPT, "a@x", IQ), False),
        (Gated(KEPT, "a@x", IQ), True),  # goes back to its custodian, or to the successor of that one
        (Replay("a@x/r", 1, (), True), False),
        (Acked("a@x/r", 1, 1), False),
    ],
)
def test_only_what_does_no_harm_twice_and_nobody_keeps(item: Item, again: bool) -> None:
    assert repeatable(item) is again


# --- one item for several partitions ----------------------------------------------------------------------------------


def fanned(world: World) -> list[tuple[str, int, list[str]]]:
    """Lets every holder remember (who, partition, recipients) of what it gets."""
    got: list[tuple[str, int, list[str]]] = []
    for name in world.got:

        def receive(
            source: str, kind: Kind, partition: int, epoch: int, item: Item | Call, name: str = name
        ) -> None:
            assert isinstance(item, Fanout)
            got.append((name, partition, list(item.recipients)))

        world.net.bus(name).receiver = receive
    return got


PRESENCE = Stanza.build("presence", from_="a@x/r")


@pytest.mark.parametrize("sent", [True, False])
def test_a_fan_out_to_a_dead_process_goes_on_by_its_partitions_in_order(world: World, sent: bool) -> None:
    got = fanned(world)
    item = Fanout(PRESENCE, ["five@x", "six@x", "six2@x"], NOBODY, [(5, 1, 1), (6, 1, 2)])
    world.sender.post_to("router1", item, kind=Kind.ROUTER, partition=5, epoch=1)
    if sent:
        world.sender.turn()
    world.net.kill("router1")
    got.clear()
    # Its partitions get their new holders one after the other.
    world.holders = {5: ("router2", 2)}
    world.sender.holder_changed("router1", KEY, wait=False)
    world.sender.post(Kind.ROUTER, 5, Fanout(PRESENCE, ["later@x"]))
    world.net.settle()
    assert got == [("router2", 5, ["five@x"]), ("router2", 5, ["later@x"])]
    world.holders[6] = ("router2", 2)
    world.sender.holder_changed("router1", OTHER, wait=False)
    world.net.settle()
    assert got[2:] == [("router2", 6, ["six@x", "six2@x"])]
