"""What was told a moment ago is told again to the next router, before anything newer."""

from __future__ import annotations

import pytest

from rookery.shared.bus.messages import NODE, Fanout, Kind, Origin
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.pubsub import recent
from rookery.workers.pubsub.recent import Notice, Recent

ALICE, BOB = "alice@example.org", "bob@example.org"


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.cluster = FakeCluster(clock=lambda: self.now)
        self.routers = [self.cluster.node("router1", Kind.ROUTER)]
        self.node = self.cluster.node("pubsub1", Kind.PUBSUB)
        self.recent = Recent(self.node, lambda: self.now)
        self.node.on_holder.append(self.recent.on_holder)
        self.now += recent.GRACE

    def send(self, n: int, *jids: str) -> None:
        stanza = Stanza("message", "headline", "", "owner@example.org", f"1-{n}", "", (), (), b"")
        recipients = [(jid, self.node.partition(jid)) for jid in jids]
        assert self.recent.send(Notice(stanza, recipients, Origin(NODE + b"1", n, ""), "mood")) == len(jids)

    def router_dies(self) -> None:
        number = len(self.routers)
        self.cluster.lose(f"router{number}")
        self.routers.append(self.cluster.node(f"router{number + 1}", Kind.ROUTER))

    def told(self, router: FakeNode | None = None) -> list[tuple[int, str]]:
        """(number, recipient) of all that the last router got, in order of arrival."""
        self.cluster.network.settle()
        router = router or self.routers[-1]
        found, router.received = router.received, []
        items = [item for *_, item in found if isinstance(item, Fanout)]
        assert all(item.notify == "mood" for item in items)
        return [(item.origin.n, jid) for item in items for jid in item.recipients]

    def look(self) -> None:
        for _ in range(2):
            self.cluster.network.settle()
            for bus in self.cluster.network.buses.values():
                bus.tick()
            self.recent.look()


@pytest.fixture
def world() -> World:
    return World()


def test_the_next_router_is_told_again_in_order(world: World) -> None:
    world.send(1, ALICE, BOB)
    world.send(2, ALICE)
    assert sorted(world.told()) == [(1, ALICE), (1, BOB), (2, ALICE)]
    world.router_dies()
    told = list(dict.fromkeys(world.told()))  # (the bus itself brings what was not acknowledged)
    assert sorted(told) == [(1, ALICE), (1, BOB), (2, ALICE)]
    assert told.index((1, ALICE)) < told.index((2, ALICE))


def test_what_has_arrived_is_forgotten_after_two_looks(world: World) -> None:
    world.send(1, ALICE)
    world.look()
    assert len(world.recent) == 0
    world.router_dies()
    assert world.told() == []


def test_what_a_new_holder_has_taken_is_kept_for_the_next_one_for_a_while(world: World) -> None:
    """It may not know of a session whose edge is silent, and which goes on when that edge is heard again."""
    world.router_dies()
    world.send(1, ALICE)
    world.look()
    world.now += recent.GRACE - 1
    world.look()
    world.router_dies()
    assert (1, ALICE) in world.told()
    world.now += recent.GRACE
    world.look()
    assert len(world.recent) == 0


def test_what_is_told_after_a_look_is_kept(world: World) -> None:
    world.send(1, ALICE)
    world.recent.look()
    world.send(2, ALICE)
    world.look()
    world.told()
    world.send(3, BOB)
    world.router_dies()
    assert [n for n, _ in world.told()][-1] == 3


def test_while_nobody_holds_a_partition_nothing_is_forgotten(world: World) -> None:
    world.cluster.lose("router1")
    world.send(1, ALICE)
    world.look()
    world.look()
    assert len(world.recent) == 1
    world.routers.append(world.cluster.node("router2", Kind.ROUTER))
    assert (1, ALICE) in world.told()


def test_it_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST", 3)
    for n in range(10):
        world.send(n, ALICE, BOB)
    assert len(world.recent) == 1
