"""A process in the middle on the memory bus: it keeps what it hands on, and the next holder gets it first and in order."""

from __future__ import annotations

import pytest

from rookery.shared.bus.messages import Accepted, Handle, Item, Kind, Origin, Route
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.custody.custodian import AGAIN_SECONDS, Custodian
from rookery.shared.custody.kept import Handed
from rookery.shared.xmpp.stanza import Stanza

PLACE = (Kind.ROUTER, 7)
CAME = 3


class World:
    """`middle` hands on to routers; `told` is what is settled."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cluster = FakeCluster(clock=lambda: self.now)
        self.edge = self.cluster.node("edge1", Kind.EDGE)
        self.middle = self.cluster.node("middle", Kind.ROSTER)
        self.next = self.cluster.node("router1", Kind.ROUTER)
        self.told: list[tuple[str, int]] = []
        self.custodian = Custodian(self.middle, self.settled, lambda: self.now)

    def settled(self, handed: Handed) -> None:
        self.told.append((handed.former.custodian, handed.former.n))

    def hand(self, *numbers: int, once: bool = False, custodian: str = "edge1", came: int = CAME) -> None:
        for n in numbers:
            stanza = Stanza.build("message", to="b@x", id=str(n))
            item = Route(Origin(b"s", n, custodian, 5, 6), stanza)
            self.custodian.hand_on(came, PLACE, item, sent=True, once=once)

    def arrived(self, node: FakeNode | None = None) -> list[Route]:
        self.cluster.network.settle()
        node = node or self.next
        received, node.received = node.received, []
        return [item for *_, item in received if isinstance(item, Route)]

    def numbers(self, node: FakeNode | None = None) -> list[int]:
        return [item.origin.n for item in self.arrived(node)]

    def accept(self, *numbers: int, node: FakeNode | None = None) -> None:
        (node or self.next).bus.post_to("middle", Accepted([(b"s", n) for n in numbers]))
        self.cluster.network.settle()

    def successor(self, name: str = "router2") -> FakeNode:
        node = self.cluster.nodes.get(name) or self.cluster.node(name, Kind.ROUTER)
        if (
            self.cluster.holders[Kind.ROUTER][0] != name
        ):  # who comes when nobody holds anything takes it at once
            self.cluster.move(Kind.ROUTER, name)
        return node


@pytest.fixture
def world() -> World:
    return World()


def test_it_puts_itself_as_custodian_and_tells_who_came_before(world: World) -> None:
    world.hand(1)
    (item,) = world.arrived()
    assert item.origin == Origin(b"s", 1, "middle", 5, 6)
    assert world.told == []
    world.accept(1)
    assert world.told == [("edge1", 1)]
    world.accept(1)
    assert world.told == [("edge1", 1)]


def test_what_nobody_keeps_is_not_kept_here_either(world: World) -> None:
    world.hand(1, custodian="")
    (item,) = world.arrived()
    assert item.origin.custodian == ""
    assert len(world.custodian.kept) == 0


def test_a_next_hop_that_dies_before_it_accepts(world: World) -> None:
    world.hand(1, 2)
    assert world.numbers() == [1, 2]
    world.accept(1)
    world.hand(3)
    world.next.bus.disconnect()
    world.hand(4)
    world.cluster.network.settle()
    world.cluster.lose("router1")
    world.hand(5)
    successor = world.successor()
    world.hand(6)
    got = world.numbers(successor)
    # The first time that each comes is in order, and nothing newer comes before what is kept.
    assert list(dict.fromkeys(got)) == [2, 3, 4, 5, 6]
    world.accept(2, 3, 4, 5, 6, node=successor)
    assert [n for _, n in world.told] == [1, 2, 3, 4, 5, 6]
    assert len(world.custodian.kept) == 0


def test_a_live_move_sends_everything_again_in_order(world: World) -> None:
    world.hand(1, 2)
    world.arrived()
    successor = world.successor()
    world.hand(3)
    assert list(dict.fromkeys(world.numbers(successor))) == [1, 2, 3]


def test_at_most_once_items_go_to_the_process_that_had_them_or_nowhere(world: World) -> None:
    world.hand(1, once=True)
    world.hand(2)
    world.arrived()
    world.next.bus.forget("middle")  # it gave our link up, and is there still
    world.hand(3)
    assert list(dict.fromkeys(world.numbers())) == [1, 2, 3]
    world.cluster.lose("router1")
    assert world.numbers(world.successor()) == [2, 3]
    assert world.told == [("edge1", 1)], "nobody will ever accept it: its custodian keeps it no longer"


def test_what_comes_again_is_not_handed_on_again_but_its_new_custodian_is_told(world: World) -> None:
    world.hand(1)
    world.hand(1, custodian="edge2", came=4)
    assert world.numbers() == [1]
    assert world.custodian.has(4, Origin(b"s", 1, "edge3"), sent=True)
    assert not world.custodian.has(4, Origin(b"s", 1, "edge3"), sent=False)
    world.accept(1)
    assert world.told == [("edge3", 1)]


def test_what_was_lost_unnoticed_is_sent_again_after_a_while(world: World) -> None:
    world.hand(1)
    world.now = 10.0
    world.hand(2)
    world.arrived()
    world.now = AGAIN_SECONDS
    world.custodian.repeat()
    assert world.numbers() == []
    world.now = AGAIN_SECONDS + 1
    world.custodian.repeat()
    assert world.numbers() == [1, 2]


def test_a_partition_that_went_away_is_seen_through_by_its_next_holder(world: World) -> None:
    world.hand(1, came=1)
    world.hand(2, came=2)
    world.arrived()
    world.custodian.forget(1)
    world.accept(1, 2)
    assert world.told == [("edge1", 2)]


def test_what_was_on_its_way_when_a_partition_went_away_stays_in_order(world: World) -> None:
    """The first was with a process that died, the second waits for the next one, which the next holder of the first partition sends both to."""
    world.hand(1)
    assert world.numbers() == [1]
    world.cluster.network.settle()
    world.cluster.lose("router1")
    world.hand(2)
    world.custodian.forget(CAME)
    successor = world.successor()
    assert list(dict.fromkeys(world.numbers(successor))) == [1, 2]
    world.accept(1, 2, node=successor)
    assert (world.told, len(world.custodian.kept)) == ([], 0)


def test_what_a_partition_left_behind_is_forgotten_after_a_while(world: World) -> None:
    world.hand(1, 2)
    world.custodian.forget(CAME)
    world.hand(2, came=4)  # (this one came again)
    world.arrived()
    world.now = AGAIN_SECONDS + 1
    world.custodian.repeat()
    assert world.numbers() == [2]
    assert len(world.custodian.kept) == 1


def test_what_a_hop_gives_back_is_its_former_custodians_again(world: World) -> None:
    world.hand(1)
    (item,) = world.arrived()
    assert world.custodian.regain(item.origin, sent=True) == Origin(b"s", 1, "edge1", 5, 6)
    assert world.custodian.regain(item.origin, sent=True) is None
    foreign = Origin(b"s", 1, "router9")
    assert world.custodian.regain(foreign, sent=True) == foreign


def test_acceptance_reaches_every_custodian_of_a_process(world: World) -> None:
    other: list[int] = []
    second = Custodian(world.middle, lambda handed: other.append(handed.former.n), lambda: world.now)
    item: Item = Route(Origin(b"t", 1, "edge1"), Stanza.build("message", to="b@x"))
    assert isinstance(item, Route)
    second.hand_on(CAME, PLACE, item, sent=False)
    world.hand(1)
    world.arrived()
    world.next.bus.post_to("middle", Accepted([(b"t", 1), (b"s", 1)]))
    world.cluster.network.settle()
    assert (other, world.told) == ([1], [("edge1", 1)])


def test_a_handle_is_kept_for_its_worker() -> None:
    cluster = FakeCluster(clock=lambda: 0.0)
    router = cluster.node("router1", Kind.ROUTER)
    worker = cluster.node("worker1", Kind.ROSTER)
    custodian = Custodian(router, lambda handed: None, lambda: 0.0)
    handle = Handle(Origin(b"s", 1, "edge1"), "a@x", "a@x/r", True, Stanza.build("iq", type="get"))
    custodian.hand_on(1, (Kind.ROSTER, 1), handle, sent=True)
    cluster.network.settle()
    assert len(worker.received) == 1
    cluster.lose("worker1")
    successor = cluster.node("worker2", Kind.ROSTER)
    cluster.network.settle()
    assert [item.origin for *_, item in successor.received if isinstance(item, Handle)] == [
        Origin(b"s", 1, "router1")
    ]
