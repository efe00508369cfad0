"""Messages to `DOMAIN/announce/...`: accepted when all copies are, left to the next holder when the partition goes."""

from __future__ import annotations

import trio

from rookery.shared.bus.messages import Accepted, Handle, Kind, Origin, Route
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.cluster.orders import Give
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account import announcements
from rookery.workers.hosted import HostedWorker

BOSS = "boss@x.example"
ITEM = Handle(
    Origin(b"s" * 16, 7, "router1"),
    BOSS,
    "",
    True,
    Stanza.build("message", to="x.example/announce/all", from_=f"{BOSS}/desk", id="a"),
)


class Worker(HostedWorker):
    """A kind that does nothing else."""

    kind = Kind.ACCOUNT


class World:
    """A worker, and a router that collects."""

    def __init__(self, nursery: trio.Nursery) -> None:
        cluster = FakeCluster(clock=trio.current_time)
        self.router: FakeNode = cluster.node("router1", Kind.ROUTER)
        self.worker = Worker(cluster.node("worker1", Kind.ACCOUNT))
        self.worker.addresses.learn({"x.example": "accounts"})
        nursery.start_soon(cluster.network.run)

    def got(self, type: type) -> list[object]:
        return [item for _, _, _, _, item in self.router.received if isinstance(item, type)]

    def settle(self) -> None:
        """The router accepts what it was given."""
        uids = [(item.origin.stream, item.origin.n) for item in self.got(Route) if isinstance(item, Route)]
        for heard in self.worker.node.on_accepted:
            heard(uids)


async def _two(message: Stanza, give: Give) -> None:
    for number, name in ((3, "a"), (9, "b")):
        await give(Stanza.build("message", to=f"{name}@x.example", from_="x.example"), number)


async def _refused(message: Stanza, give: Give) -> None:
    raise StanzaError("forbidden")


async def test_it_is_accepted_when_all_copies_are(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery)
        world.worker.node.orders.announce = _two
        nursery.start_soon(announcements.carry_out, world.worker, 1, ITEM, lambda: False)
        await trio.sleep(1.0)
        copies = [item for item in world.got(Route) if isinstance(item, Route)]
        assert [copy.stanza.to for copy in copies] == ["a@x.example", "b@x.example"]
        assert len({copy.origin.stream for copy in copies}) == 2, "each counts for itself"
        assert not world.got(Accepted)
        world.settle()
        await trio.sleep(1.0)
        assert [item.uids for item in world.got(Accepted) if isinstance(item, Accepted)] == [
            ((ITEM.origin.stream, ITEM.origin.n),)
        ]
        nursery.cancel_scope.cancel()


async def test_the_next_holder_does_it_when_the_partition_goes(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery)
        world.worker.node.orders.announce = _two
        with trio.fail_after(5):
            await announcements.carry_out(world.worker, 1, ITEM, lambda: True)
        await trio.sleep(1.0)
        assert not world.got(Accepted)
        nursery.cancel_scope.cancel()


async def test_who_may_not_gets_one_error(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        world = World(nursery)
        world.worker.node.orders.announce = _refused
        await announcements.carry_out(world.worker, 1, ITEM, lambda: False)
        await trio.sleep(1.0)
        [answer] = world.got(Route)
        assert isinstance(answer, Route)
        assert (answer.stanza.type, answer.stanza.to) == ("error", f"{BOSS}/desk")
        assert len(world.got(Accepted)) == 1
        nursery.cancel_scope.cancel()
