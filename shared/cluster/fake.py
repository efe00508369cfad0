"""A cluster without NATS, Postgres and leases, for the unit tests of kinds: the real bus core, every partition held at once.

cluster = FakeCluster()
edge = cluster.node("edge1", Kind.EDGE)
router = cluster.node("router1", Kind.ROUTER)
router.serve(service)            # receives what is posted to (ROUTER, any partition)
edge.bus.post(Kind.ROUTER, edge.partition("a@x"), item)
cluster.network.settle()         # or, in tests that await: nursery.start_soon(cluster.network.run)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.memory import MemoryBus, Network
from rookery.shared.bus.messages import Accepted, Claimed, DomainsChanged, Item, Kind
from rookery.shared.bus.subjects import partition_of
from rookery.shared.cluster.api import Service
from rookery.shared.cluster.orders import Orders
from rookery.shared.config import Config
from rookery.shared.db.api import Database


class FakeCluster:
    """The nodes of a test. The first node of a kind holds all its partitions; `move` gives them to another.

    To take 256 partitions costs more than most tests: a test that needs only a few says so.
    """

    def __init__(self, *, clock: Callable[[], float] = trio.current_time, partitions: int = 256) -> None:
        self.partitions = partitions
        self.network = Network(clock=clock)
        self.nodes: dict[str, FakeNode] = {}
        self.holders: dict[Kind, tuple[str, int]] = {}
        self._last: dict[Kind, tuple[str, int]] = {}
        #: Partitions that have a holder of their own; None while that one is lost.
        self._apart: dict[tuple[Kind, int], tuple[str, int] | None] = {}

    def holder(self, kind: Kind, partition: int) -> tuple[str, int] | None:
        """Who holds a partition, and under which epoch."""
        key = kind, partition
        return self._apart[key] if key in self._apart else self.holders.get(kind)

    def node(
        self, incarnation: str, *kinds: Kind, config: Config | None = None, db: Database | None = None
    ) -> FakeNode:
        """Add a process that hosts `kinds`."""
        node = FakeNode(self, incarnation, kinds, config or Config(), db)
        for other in self.nodes.values():
            for callback in other.on_found:
                callback(incarnation, frozenset(kinds))
        self.nodes[incarnation] = node
        for kind in kinds:
            if kind is not Kind.EDGE and kind not in self.holders:
                self.move(kind, incarnation)
        return node

    def move(self, kind: Kind, incarnation: str) -> None:
        """All partitions of the kind have another holder now, with a higher epoch."""
        former, epoch = self._last.get(kind, (None, 0))
        self.holders[kind] = self._last[kind] = (incarnation, epoch + 1)
        keys = [
            (kind, partition) for partition in range(self.partitions) if (kind, partition) not in self._apart
        ]
        for node in self.nodes.values():
            node.bus.holder_changed(former, keys)

    def move_one(self, kind: Kind, partition: int, incarnation: str, former: str, epoch: int) -> None:
        """One partition, which `former` held, has a holder of its own now."""
        self._apart[kind, partition] = incarnation, epoch
        for node in self.nodes.values():
            node.bus.holder_changed(former, [(kind, partition)])

    def lose(self, incarnation: str) -> None:
        """The process is killed: every other one notices."""
        self.network.kill(incarnation)
        del self.nodes[incarnation]
        for kind, (holder, _) in list(self.holders.items()):
            if holder == incarnation:
                del self.holders[kind]
        for key, apart in self._apart.items():
            if apart is not None and apart[0] == incarnation:
                self._apart[key] = None
        for node in self.nodes.values():
            node.bus.forget(incarnation)
            for callback in node.on_lost:
                callback(incarnation)


class FakeNode:
    """Implements `shared.cluster.api.Node`."""

    def __init__(
        self,
        cluster: FakeCluster,
        incarnation: str,
        kinds: tuple[Kind, ...],
        config: Config,
        db: Database | None,
    ) -> None:
        self.cluster = cluster
        self.incarnation = incarnation
        self.kinds = kinds
        self.config = config
        self.bus: MemoryBus = cluster.network.bus(incarnation)
        self.db = cast("Database", db)
        self.partitions = cluster.partitions
        self.on_lost: list[Callable[[str], None]] = []
        self.on_found: list[Callable[[str, frozenset[Kind]], None]] = []
        self.on_holder: list[Callable[[Kind, int], None]] = []
        self.on_returned: list[Callable[[Kind, int, Item], None]] = []
        self.on_reset: list[Callable[[str], None]] = []
        self.on_accepted: list[Callable[[Sequence[tuple[bytes, int]]], None]] = []
        self.on_claimed: list[Callable[[Kind, int, int, str], None]] = []
        self.on_frozen: list[Callable[[float], None]] = []
        self.on_domains: list[Callable[[], None]] = []
        self.orders = Orders()
        self.takers: dict[type, Callable[[Item], None]] = {}
        #: Reasons given to `fail`.
        self.failures: list[str] = []
        #: What arrived for a kind that no service serves: (source, kind, partition, epoch, item).
        self.received: list[tuple[str, Kind, int, int, Item | Call]] = []
        self._services: dict[Kind, Service] = {}
        bus = self.bus
        bus.resolver = cluster.holder
        bus.receiver = self._receive
        bus.on_holder = self._holder_changed
        bus.on_returned = self._returned
        bus.on_reset = self._link_reset
        bus.on_control = self._control

    def serve(self, service: Service) -> None:
        """Hand what arrives for the service's kind to it."""
        self._services[service.kind] = service

    def _receive(self, source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        if kind is not Kind.EDGE and self.epoch(kind, partition) is None:
            self.bus.refuse(source, kind, partition, epoch, item)
        elif kind is Kind.EDGE and isinstance(item, Accepted) and self.on_accepted:
            for callback in self.on_accepted:
                callback(item.uids)
        elif kind is Kind.EDGE and (taker := self.takers.get(type(item))) is not None:
            taker(cast("Item", item))
        elif (service := self._services.get(kind)) is not None:
            service.receive(source, partition, epoch, item)
        else:
            self.received.append((source, kind, partition, epoch, item))

    def _holder_changed(self, kind: Kind, partition: int) -> None:
        for callback in self.on_holder:
            callback(kind, partition)

    def _returned(self, kind: Kind, partition: int, item: Item) -> None:
        for callback in self.on_returned:
            callback(kind, partition, item)

    def _link_reset(self, peer: str) -> None:
        for callback in self.on_reset:
            callback(peer)

    def _control(self, item: Item) -> None:
        if isinstance(item, Claimed):
            for partition, epoch in item.held:
                for claimed in self.on_claimed:
                    claimed(Kind(item.kind), partition, epoch, item.incarnation)
        elif isinstance(item, DomainsChanged):
            for callback in self.on_domains:
                callback()

    def partition(self, bare: str) -> int:
        """The partition of a bare JID."""
        return partition_of(bare, self.partitions)

    def epoch(self, kind: Kind, partition: int) -> int | None:
        """The epoch under which this process holds the partition, or None."""
        holder = self.cluster.holder(kind, partition)
        return holder[1] if holder is not None and holder[0] == self.incarnation else None

    def edges(self) -> list[str]:
        """Incarnations of the live edges."""
        return [node.incarnation for node in self.cluster.nodes.values() if Kind.EDGE in node.kinds]

    def fail(self, reason: str) -> None:
        """Remember the reason; the test looks at it."""
        self.failures.append(reason)
