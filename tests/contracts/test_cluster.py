"""Nodes on a real NATS and a real Postgres: partitions move, are taken over, and never have two holders at one epoch."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import pytest
import trio

from rookery.shared import config
from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import VERSION, Acked, Claimed, Done, GetDomains, Item, Kind, Left
from rookery.shared.bus.nats import open_bus
from rookery.shared.cluster.node import ClusterNode, NodeFailed, open_node
from rookery.shared.db.api import FENCE, Connection
from rookery.shared.db.bridge import open_database

Held = dict[tuple[int, int], str]


async def say_left(settings: config.Bus, incarnations: list[str]) -> bool:
    """Announce, as `rookery up` does, that its children are gone."""
    async with open_bus("parent1", settings) as bus:
        for incarnation in incarnations:
            bus.announce(Left(incarnation))
        return await bus.drain()


class Recorder:
    """A service that writes down what it is told. `history` is shared: who held (partition, epoch)."""

    def __init__(self, node: ClusterNode, kind: Kind, history: Held) -> None:
        self.node = node
        self.kind = kind
        self.history = history
        self.held: dict[int, int] = {}
        self.received: list[tuple[int, Item]] = []
        #: The versions that this process wrote when it began to run, or to hold a partition.
        self.versions: set[int] = set()

    async def run(self) -> None:
        self.versions.add(self.node.bus.version)
        await trio.sleep_forever()

    async def acquire(self, partition: int, epoch: int) -> None:
        self.versions.add(self.node.bus.version)
        await trio.lowlevel.checkpoint()
        assert self.history.setdefault((partition, epoch), self.node.incarnation) == self.node.incarnation
        self.held[partition] = epoch

    async def release(self, partition: int) -> None:
        await trio.lowlevel.checkpoint()
        del self.held[partition]

    def drop(self, partition: int) -> None:
        self.held.pop(partition, None)

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        if isinstance(item, Call):
            self.node.bus.reply(item, Done())
        else:
            assert partition in self.held
            self.received.append((partition, item))


class Running:
    """One node in a task of its own."""

    def __init__(
        self, node: ClusterNode, service: Recorder, scope: trio.CancelScope, over: trio.Event
    ) -> None:
        self.node = node
        self.service = service
        self._scope = scope
        self.over = over
        self.error: BaseException | None = None

    async def kill(self) -> None:
        """As SIGKILL: nothing is said, nothing is released."""
        self._scope.cancel()
        await self.over.wait()


class Cluster:
    """Starts nodes against one database and one bus prefix."""

    def __init__(self, nursery: trio.Nursery, settings: config.Config) -> None:
        self._nursery = nursery
        self.settings = settings
        self.history: Held = {}

    async def start(self, kind: Kind = Kind.ROUTER) -> Running:
        running: Running = await self._nursery.start(self._run, kind)
        return running

    async def _run(self, kind: Kind, task_status: trio.TaskStatus[Running]) -> None:
        over = trio.Event()
        running: Running | None = None
        with trio.CancelScope() as scope:
            try:
                if kind is Kind.EDGE:
                    async with open_node(self.settings, (kind,)) as node:
                        running = Running(node, Recorder(node, kind, self.history), scope, over)
                        task_status.started(running)
                        await node.run(running.service)
                else:
                    async with (
                        open_database(self.settings.database) as db,
                        open_node(self.settings, (kind,), db) as node,
                    ):
                        running = Running(node, Recorder(node, kind, self.history), scope, over)
                        task_status.started(running)
                        await node.run(running.service)
            except* NodeFailed as failed:
                if running is not None:
                    running.error = failed.exceptions[0]
        over.set()


@pytest.fixture
async def cluster(
    nats_url: str, bus_prefix: str, database_settings: config.Database
) -> AsyncIterator[Cluster]:
    settings = config.Config(bus=config.Bus(url=nats_url, prefix=bus_prefix), database=database_settings)
    async with trio.open_nursery() as nursery:
        yield Cluster(nursery, settings)
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait for it; returns how long it took."""
    begin = time.monotonic()
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  from outside
            await trio.sleep(0.01)
    return time.monotonic() - begin


def holds(running: Running, count: int) -> Callable[[], bool]:
    return lambda: len(running.service.held) == count


async def test_nothing_is_served_before_the_version_that_all_read_is_known(cluster: Cluster) -> None:
    # The oldest version has not all items: an answer that it lacks is never sent, and whoever waits for it hangs.
    first = await cluster.start()
    await until(holds(first, 256))
    second = await cluster.start()
    edge = await cluster.start(Kind.EDGE)
    await until(lambda: len(second.service.held) > 0 and len(edge.service.versions) > 0)
    for running in (first, second, edge):
        assert running.service.versions == {VERSION}


async def test_joining_and_leaving_moves_partitions(cluster: Cluster) -> None:
    first = await cluster.start()
    await until(holds(first, 256))
    second = await cluster.start()
    await until(lambda: holds(first, 128)() and holds(second, 128)())
    assert not set(first.service.held) & set(second.service.held)
    await second.node.drain()
    await second.over.wait()
    await until(holds(first, 256))
    assert len(cluster.history) == 256 + 128 + 128, "nothing moved that need not"


async def test_killed_holder_is_taken_over_within_five_seconds(cluster: Cluster) -> None:
    first, second = await cluster.start(), await cluster.start()
    await until(lambda: holds(first, 128)() and holds(second, 128)())
    lost = dict(second.service.held)
    await second.kill()
    took = await until(holds(first, 256))
    assert took <= 5.0
    assert all(first.service.held[p] > epoch for p, epoch in lost.items())


async def test_reaped_holder_is_taken_over_at_once(cluster: Cluster) -> None:
    first, second = await cluster.start(), await cluster.start()
    await until(lambda: holds(first, 128)() and holds(second, 128)())
    await second.kill()
    assert await say_left(cluster.settings.bus, [second.node.incarnation])
    assert await until(holds(first, 256)) < 1.5


async def test_a_claim_deposes_the_holder_before_its_successor_serves(cluster: Cluster) -> None:
    edge, first = await cluster.start(Kind.EDGE), await cluster.start()
    await until(holds(first, 256))
    await until(lambda: edge.node.map.holder(Kind.ROUTER, 5) is not None)
    told: list[tuple[Kind, int, int, str]] = []
    first.node.on_claimed.append(lambda *claim: told.append(claim))
    higher = first.service.held[5] + 1
    edge.node.bus.announce(Claimed("router9", Kind.ROUTER, ((5, higher), (6, 0))))
    await until(holds(first, 255))
    assert 5 not in first.service.held
    assert told == [(Kind.ROUTER, 5, higher, "router9"), (Kind.ROUTER, 6, 0, "router9")]
    assert first.node.map.holder(Kind.ROUTER, 5) is None, "what is for it waits for the successor"
    assert first.node.map.holder(Kind.ROUTER, 6) is not None


async def test_who_cannot_release_a_partition_closes_its_fence_and_ends(cluster: Cluster) -> None:
    first = await cluster.start()
    await until(holds(first, 256))

    async def release(partition: int) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("its rows are still on their way")

    first.service.release = release  # type: ignore[method-assign]
    second = await cluster.start()
    await until(first.over.is_set)
    assert isinstance(first.error, NodeFailed)
    assert "could not be released" in str(first.error)
    await until(holds(second, 256))
    async with open_database(cluster.settings.database) as db:

        async def open_fences(conn: Connection) -> int:
            count: int = await conn.fetchval("SELECT count(*) FROM fence WHERE open")
            return count

        assert await db.run(0, open_fences) == 1


async def test_items_and_calls_follow_the_partition(cluster: Cluster) -> None:
    edge, first = await cluster.start(Kind.EDGE), await cluster.start()
    for n in range(256):  # nobody holds anything yet: they wait
        edge.node.bus.post(Kind.ROUTER, n, Acked("a@x/r", 1, n))
    await until(lambda: len(first.service.received) == 256)
    second = await cluster.start()
    sent = 256
    while len(second.service.held) < 128 or len(first.service.held) > 128:
        edge.node.bus.post(Kind.ROUTER, sent % 256, Acked("a@x/r", 1, sent))
        sent += 1
        await trio.sleep(0.0005)
    for partition in range(256):
        edge.node.bus.post(Kind.ROUTER, partition, Acked("a@x/r", 1, sent + partition))
    sent += 256
    assert await edge.node.bus.call(Kind.ROUTER, min(second.service.held), GetDomains(), timeout=2) == Done()
    await until(lambda: len(first.service.received) + len(second.service.received) == sent)
    for partition in range(256):
        order = [
            item.n
            for running in (first, second)
            for p, item in running.service.received
            if p == partition and isinstance(item, Acked)
        ]
        assert order == sorted(order), "order within a partition holds across the move"
    assert second.service.received


async def test_fenced_writer_cannot_write_and_stops(cluster: Cluster) -> None:
    first = await cluster.start()
    await until(holds(first, 256))
    async with open_database(cluster.settings.database) as db:

        async def close_fence(conn: Connection) -> None:
            await conn.execute("UPDATE fence SET open = false WHERE incarnation = $1", first.node.incarnation)

        async def write(conn: Connection) -> str:
            return await conn.execute(
                f"{FENCE} INSERT INTO domain (name) SELECT 'x.example' FROM fence_ok", first.node.incarnation
            )

        assert await db.run(0, write) == "INSERT 0 1"
        await db.run(0, close_fence)
        assert (await db.run(0, write)) == "INSERT 0 0"
    await until(first.over.is_set)
    assert isinstance(first.error, NodeFailed)


async def test_second_lease_holder_of_one_epoch_never_exists(cluster: Cluster) -> None:
    """Processes come and go quickly; `Recorder.acquire` checks that no (partition, epoch) had two holders."""
    running = [await cluster.start() for _ in range(3)]
    await until(lambda: sum(len(r.service.held) for r in running) == 256)
    await running[0].node.drain()
    fresh = await cluster.start()
    await running[1].kill()
    await say_left(cluster.settings.bus, [running[1].node.incarnation])
    left = [running[2], fresh]
    await until(lambda: sorted(len(r.service.held) for r in left) == [128, 128])
