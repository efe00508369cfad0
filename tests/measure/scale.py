"""A cluster of a hundred in one process: what control costs at rest, and how long takeovers and planned moves take.

Real nodes, leases, links and batches; the bus is in memory and there is one real Postgres. Kinds serve nothing: their partitions are
taken and given away at once, so the times are those of the cluster alone. One core does the work of all in simulated time
(`tests.measure.elastic`): what it computes takes none, waiting and Postgres take theirs::

    python -m tests.measure.scale --edges 100 --routers 16 --workers 32 --seconds 20
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import trio
from tests.measure.elastic import ElasticClock, simulate_database, tell_time

from rookery.embedded.postgres import start_postgres
from rookery.shared import config
from rookery.shared.bus import batch
from rookery.shared.bus.api import Call
from rookery.shared.bus.kinds import Kind, built
from rookery.shared.bus.memory import MemoryBus, Network
from rookery.shared.bus.messages import VERSION, Item
from rookery.shared.cluster.node import ClusterNode
from rookery.shared.db import migrate
from rookery.shared.db.api import Database, UnitOfWork
from rookery.shared.db.bridge import open_database
from rookery.shared.observe import log


class Wires(Network):
    """The bus: a message for one process costs that one alone, as with NATS."""

    def __init__(self) -> None:
        super().__init__()
        self.control = self.control_bytes = self.direct = self.direct_bytes = 0
        self._of: dict[str, MemoryBus] = {}

    def bus(self, incarnation: str, **windows: int) -> MemoryBus:
        bus = super().bus(incarnation, **windows)
        self._of[self.subjects.node(incarnation)] = bus
        return bus

    def carry(self, source: str, subject: str, payload: bytes) -> None:
        if subject == self.subjects.control:
            self.control += 1
            self.control_bytes += len(payload)
        else:
            self.direct += 1
            self.direct_bytes += len(payload)
        super().carry(source, subject, payload)

    def _deliver(self, subject: str, payload: bytes) -> None:
        if subject == self.subjects.control:
            # Read once for all: a hundred processes have a core each for that.
            head, items = batch.unpack_batch(payload, VERSION)
            entries = [entry for raw in items if (entry := batch.read_item(raw)) is not None]
            for bus in list(self.buses.values()):
                if bus.up and head.source != bus.incarnation:
                    for entry in entries:
                        bus.on_control(entry[3])
        elif (one := self._of.get(subject)) is not None and one.up:
            one.take_batch(payload)


class Counted:
    """A database that counts what is asked of it."""

    healthy = True

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.asked: Counter[str] = Counter()

    async def run(self, partition: int, work: UnitOfWork[Any], *, op: str = "") -> Any:
        self.asked[op or "other"] += 1
        return await self._inner.run(partition, work, op=op)


class Idle:
    """A kind that serves nothing, and tells when it stopped and began to hold a partition."""

    def __init__(self, kind: Kind, gaps: Gaps) -> None:
        self.kind = kind
        self._gaps = gaps

    async def run(self) -> None:
        """Wait."""
        await trio.sleep_forever()

    async def acquire(self, partition: int, epoch: int) -> None:
        """There is nothing to read."""
        self._gaps.began(self.kind, partition)

    async def release(self, partition: int) -> None:
        """There is nothing to write."""
        self._gaps.stopped(self.kind, partition)

    def drop(self, partition: int) -> None:
        """There is nothing to forget."""

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        """Nothing is sent."""


class Gaps:
    """For how long each partition had no holder in a planned move, in seconds."""

    def __init__(self) -> None:
        self._since: dict[tuple[Kind, int], float] = {}
        self.seconds: list[float] = []

    def stopped(self, kind: Kind, partition: int) -> None:
        self._since[kind, partition] = trio.current_time()

    def began(self, kind: Kind, partition: int) -> None:
        if (since := self._since.pop((kind, partition), None)) is not None:
            self.seconds.append(trio.current_time() - since)


class World:
    """The cluster."""

    def __init__(self, wires: Wires, db: Counted, nursery: trio.Nursery) -> None:
        self.wires = wires
        self.db = db
        self.gaps = Gaps()
        self._nursery = nursery
        self.nodes: dict[str, ClusterNode] = {}
        self._scopes: dict[str, trio.CancelScope] = {}

    def start(self, name: str, kinds: tuple[Kind, ...]) -> None:
        """One more process."""
        settings = config.Config()
        node = ClusterNode(settings, kinds, None if kinds == (Kind.EDGE,) else self.db, self.wires.bus(name))
        self.nodes[name] = node
        scope = self._scopes[name] = trio.CancelScope()

        async def run() -> None:
            with scope:
                await node.run(*(Idle(kind, self.gaps) for kind in kinds))

        self._nursery.start_soon(run)

    def kill(self, name: str) -> None:
        """SIGKILL: nothing is said."""
        self.wires.kill(name)
        self._scopes[name].cancel()
        del self.nodes[name]

    async def until(self, true: Callable[[ClusterNode], bool], seconds: float = 60.0) -> float:
        """Seconds until every process has found it true once. Looking costs the simulated cluster its own time."""
        since = trio.current_time()
        with trio.fail_after(seconds):
            for name in list(self.nodes):
                while name in self.nodes and not true(self.nodes[name]):  # noqa: ASYNC110  nodes announce nothing
                    await trio.sleep(0.05)
        return trio.current_time() - since

    def whole(self, node: ClusterNode) -> bool:
        """Whether a process knows a living holder of every partition."""
        kinds = {kind for one in self.nodes.values() for kind in one.kinds} - {Kind.EDGE}
        return all(
            (holder := node.map.holder(kind, number)) is not None and holder[0] in self.nodes
            for kind in kinds
            for number in range(node.partitions)
        )


@asynccontextmanager
async def world(url: str) -> AsyncIterator[World]:
    """An empty cluster on an empty database."""
    async with open_database(config.Database(url=url)) as db:
        await simulate_database(db, urlsplit(url).path.strip("/"))
    async with open_database(config.Database(url=url, pool_max=16)) as db, trio.open_nursery() as nursery:
        await migrate.up(config.Database(url=url))
        nursery.start_soon(tell_time, db)
        wires = Wires()
        nursery.start_soon(wires.run)
        yield World(wires, Counted(db), nursery)
        nursery.cancel_scope.cancel()


def memory() -> int:
    """Resident MiB at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all do not exceed; 0.0 for none."""
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)] if values else 0.0


async def rest(one: World, seconds: float) -> dict[str, float]:
    """What a second costs when nothing happens."""
    wires, before = one.wires, Counter(one.db.asked)
    counts = wires.control, wires.control_bytes, wires.direct, wires.direct_bytes
    cpu = time.process_time()
    await trio.sleep(seconds)
    now = wires.control, wires.control_bytes, wires.direct, wires.direct_bytes
    names = ("control_messages", "control_bytes", "direct_messages", "direct_bytes")
    found = {name: (b - a) / seconds for name, a, b in zip(names, counts, now, strict=True)}
    found["control_deliveries"] = found["control_messages"] * len(one.nodes)
    for op, count in (one.db.asked - before).items():
        found[f"statements_{op}"] = count / seconds
    found["cpu_seconds"] = (time.process_time() - cpu) / seconds
    return {name: round(value, 2) for name, value in found.items()}


async def measure(url: str, edges: int, routers: int, workers: int, seconds: float) -> dict[str, Any]:
    """All of it."""
    kinds = [row.kind for row in built() if row.worker and row.by_default]
    found: dict[str, Any] = {"processes": edges + routers + workers, "worker_kinds": len(kinds)}
    async with world(url) as one:
        began = memory()
        since = trio.current_time()
        names = [
            *((f"worker{number}", kinds[number % len(kinds)]) for number in range(workers)),
            *((f"router{number}", Kind.ROUTER) for number in range(routers)),
            *((f"edge{number}", Kind.EDGE) for number in range(edges)),
        ]
        for name, kind in names:
            one.start(name, (kind,))
            await trio.sleep(0.05)  # processes of a hundred machines do not begin in one instant
        await one.until(one.whole, 240)
        found["start_seconds"] = round(trio.current_time() - since, 2)
        found["memory_mib_a_process"] = round((memory() - began) / found["processes"], 2)
        await trio.sleep(8)  # moves that make the shares even
        found["rest_a_second"] = await rest(one, seconds)

        sent = one.wires.control, one.wires.direct
        one.kill("router0")
        found["router_killed_seconds"] = round(await one.until(one.whole), 2)
        found["router_killed_messages"] = [one.wires.control - sent[0], one.wires.direct - sent[1]]
        one.kill("edge0")
        edge_gone = await one.until(lambda node: "edge0" not in node.edges())
        found["edge_killed_seconds"] = round(edge_gone, 2)
        await trio.sleep(3)

        one.gaps.seconds.clear()
        since = trio.current_time()
        await one.nodes["router1"].drain()
        found["router_drained_seconds"] = round(trio.current_time() - since, 2)
        one.kill("router1")
        await one.until(one.whole)
        gaps = one.gaps.seconds
        found["unserved_ms"] = {
            "partitions": len(gaps),
            **{
                name: round(1000 * quantile(gaps, share), 1)
                for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
            },
        }
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edges", type=int, default=100)
    parser.add_argument("--routers", type=int, default=16)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    log.configure(level="error")
    postgres = start_postgres(ephemeral=True)
    try:
        work = partial(measure, postgres.url, given.edges, given.routers, given.workers, given.seconds)
        clock = ElasticClock()
        print(json.dumps(trio.run(work, clock=clock, instruments=[clock]), indent=1))
    finally:
        postgres.stop()


if __name__ == "__main__":
    main()
