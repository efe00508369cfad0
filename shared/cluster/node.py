"""One process in the cluster: the bus, who lives, the map of partitions, and, for processes with a database, the holder.

async with open_node(config, (Kind.ROUTER,), db) as node:
    await node.run(RouterService(node))      # until `drain` is done, `fail`, or cancelled
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, cast

import structlog
import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.core import BusCore
from rookery.shared.bus.messages import (
    VERSION,
    Accepted,
    AskHolds,
    Beat,
    Claimed,
    DomainsChanged,
    Granted,
    Holds,
    Item,
    Kind,
    Left,
    Yield,
)
from rookery.shared.bus.nats import NatsBus, open_bus
from rookery.shared.bus.subjects import partition_of
from rookery.shared.bus.versions import OLDEST
from rookery.shared.cluster.about import About
from rookery.shared.cluster.api import Service
from rookery.shared.cluster.asking import Asking
from rookery.shared.cluster.holder import Holder
from rookery.shared.cluster.liveness import Liveness
from rookery.shared.cluster.map import PartitionMap
from rookery.shared.cluster.orders import Orders
from rookery.shared.cluster.parts import Parts
from rookery.shared.cluster.readiness import Readiness
from rookery.shared.config import Config
from rookery.shared.db.api import Database

_log = structlog.get_logger()

#: A new process listens for so long before it holds anything: every living process answers AskHolds with a beat.
LISTEN_SECONDS: Final = 0.4
#: A process whose beat is so much late stood still: that it heard nobody does not mean that nobody was there.
_PAUSE_SECONDS: Final = 1.0
#: The exit code of a process that `fail`ed: its parent starts it anew (EX_TEMPFAIL).
EXIT_FAILED: Final = 75


class NodeFailed(Exception):  # noqa: N818  what happened
    """This process could not go on holding anything; the text says why. Exit with EXIT_FAILED and start anew."""


def new_incarnation(kinds: Iterable[Kind]) -> str:
    """A name for one life of one process, also a part of NATS subjects."""
    return f"{'x'.join(kind.label for kind in kinds)[:24]}{secrets.token_hex(6)}"


class ClusterNode:
    """Implements `shared.cluster.api.Node`. Use `open_node`."""

    def __init__(self, config: Config, kinds: tuple[Kind, ...], db: Database | None, bus: BusCore) -> None:
        self.incarnation = bus.incarnation
        self.config = config
        self.kinds = kinds
        self.bus = bus
        self.db = cast("Database", db)
        self.partitions = 256
        self.on_lost: list[Callable[[str], None]] = []
        self.on_found: list[Callable[[str, frozenset[Kind]], None]] = []
        self.on_holder: list[Callable[[Kind, int], None]] = []
        self.on_returned: list[Callable[[Kind, int, Item], None]] = []
        self.on_reset: list[Callable[[str], None]] = []
        self.on_accepted: list[Callable[[Sequence[tuple[bytes, int]]], None]] = []
        self.on_claimed: list[Callable[[Kind, int, int, str], None]] = []
        self.on_frozen: list[Callable[[float], None]] = []
        self.on_domains: list[Callable[[], None]] = []
        self.takers: dict[type, Callable[[Item], None]] = {}
        self.orders = Orders()
        #: Why `fail` was called.
        self.failure: str | None = None
        self.map = PartitionMap()
        self.draining = False
        #: What `rookery status` shows of this process.
        self.about = About()
        self._services: dict[Kind, Service] = {}
        bus.speaks = config.cluster.speak_version or VERSION
        self.liveness = Liveness(self.incarnation, trio.current_time(), bus.speaks)
        self._parts: Parts | None = None
        self._holder: Holder | None = None
        self._stop = trio.Event()
        self._asking = Asking()
        self._silence = config.cluster.heartbeat * 2.2
        self._connected, self._connections, self._items = True, self._came_up(), 0
        self._control: dict[type, Callable[[Item], None]] = {
            Accepted: self._on_accepted,
            Beat: self._on_beat,
            Left: self._on_left,
            Holds: self._on_holds,
            Claimed: self._on_claimed,
            AskHolds: self._on_ask,
            Yield: self._on_yield,
            DomainsChanged: lambda _: _each(self.on_domains),
            **self.orders.handlers,
        }
        bus.resolver = self.map.holder
        bus.receiver = self._receive
        bus.on_control = self._on_control
        bus.on_holder = partial(_each, self.on_holder)
        bus.on_returned = partial(_each, self.on_returned)
        bus.on_reset = partial(_each, self.on_reset)
        if isinstance(bus, NatsBus):
            bus.on_frozen = self._on_frozen

    # --- what services use ---

    def partition(self, bare: str) -> int:
        """The partition of a bare JID."""
        return partition_of(bare, self.partitions)

    def epoch(self, kind: Kind, partition: int) -> int | None:
        """The epoch under which this process holds the partition, or None."""
        part = self._parts.get(kind, partition) if self._parts is not None else None
        return None if part is None else part.epoch

    def edges(self) -> list[str]:
        """Incarnations of the live edges."""
        edges = self.liveness.of_kind(Kind.EDGE)
        return [*edges, self.incarnation] if Kind.EDGE in self.kinds else edges

    def fail(self, reason: str) -> None:
        """This process cannot go on holding anything (it was fenced): it stops at once and is started anew."""
        if self.failure is None:
            self.failure = reason
            _log.critical("node_failed", incarnation=self.incarnation, reason=reason)
            self._stop.set()

    # --- what wiring uses ---

    async def run(self, *services: Service) -> None:
        """Serve until drained, failed or cancelled. `open_node` raises NodeFailed when it failed."""
        self._services = {service.kind: service for service in services}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beats)
            # Nothing is served before the others are known: who does not know them writes the oldest version, which has not all items.
            await self._listen()
            for service in services:
                nursery.start_soon(service.run)
            if any(kind is not Kind.EDGE for kind in self._services):
                await self._hold(nursery)
            await self._stop.wait()
            nursery.cancel_scope.cancel()

    async def drain(self) -> None:
        """SIGTERM: give everything away, say Left, end `run`."""
        if self.draining:
            return
        self.draining = True
        self._say_beat()
        if self._holder is not None:
            await self._holder.drain()
        if isinstance(self.bus, NatsBus):
            await self.bus.emptied()
            self.bus.announce(Left(self.incarnation, drained=True))
            await self.bus.drain()
        self._stop.set()

    def readiness(self) -> Readiness:
        """What /readyz tells."""
        parts = [] if self._parts is None else list(self._parts.all())
        held = {kind.label: 0 for kind in self._services if kind is not Kind.EDGE}
        for kind, _, part in parts:
            held[kind.label] += bool(part.state)
        return Readiness(
            bus=self.bus.connected,
            database=self.db is None or self.db.healthy,
            settled=self._holder is None or self._holder.settled,
            draining=self.draining,
            held=held,
            acquiring=sum(not part.state for _, _, part in parts),
            known={kind.label: count for kind, count in self.map.count().items()},
        )

    async def _listen(self) -> None:
        """Learn who lives and who holds what before holding anything."""
        # The beat first: it says which version the answers may be in.
        self._say_beat()
        self.bus.announce(AskHolds(self.incarnation))
        await trio.sleep(LISTEN_SECONDS)
        if self.bus.connected:
            self._write(self.liveness.lowest_version())

    async def _hold(self, nursery: trio.Nursery) -> None:
        parts = self._parts = Parts(self._services, self.partitions, self.bus.refuse)
        holder = Holder(
            self.incarnation,
            self.bus,
            self.db,
            self.config.cluster,
            self._services,
            self.liveness,
            parts,
            announce=self._say_holds,
            claimed=lambda kind, held: self.bus.announce(Claimed(self.incarnation, kind, tuple(held))),
            fail=self.fail,
        )
        if (count := await holder.join()) != self.partitions:
            self.fail(f"the installation has {count} partitions, this version works with {self.partitions}")
            return
        self._holder = holder
        nursery.start_soon(holder.run)

    # --- the bus ---

    def _receive(self, source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        if kind is Kind.EDGE:
            if (handler := self._control.get(item.__class__) or self.takers.get(item.__class__)) is not None:
                handler(cast("Item", item))
            elif isinstance(item, Call):
                self.orders.answer(self.bus, item)
            elif isinstance(item, Granted) and self._holder is not None:
                self._holder.granted(item)
            elif (service := self._services.get(kind)) is not None:
                service.receive(source, partition, epoch, item)
        elif self._parts is not None:
            self._parts.dispatch(source, kind, partition, epoch, item)
        else:
            self.bus.refuse(source, kind, partition, epoch, item)

    def _on_control(self, item: Item) -> None:
        if (handler := self._control.get(item.__class__)) is not None:
            handler(item)

    def _on_beat(self, item: Item) -> None:
        assert isinstance(item, Beat)
        if self.liveness.heard(item, trio.current_time()):
            # At once for an older one. To write more waits for the next beat: who has come before may not have been heard yet.
            self._write(min(self.bus.version, self.liveness.lowest_version()))
            kinds = frozenset(kind for kind in Kind if kind in item.kinds)
            if kinds - {Kind.EDGE}:
                self.bus.post_to(item.incarnation, AskHolds(self.incarnation))
            _each(self.on_found, item.incarnation, kinds)

    def _on_left(self, item: Item) -> None:
        assert isinstance(item, Left)
        if item.incarnation != self.incarnation:
            drained = item.drained or (self.bus.version < 2 and self.liveness.draining(item.incarnation))
            if self.liveness.left(item.incarnation):
                self._gone(item.incarnation, "process_left" if drained else "process_lost")
            elif self._holder is not None:
                self._holder.poke()

    def _on_holds(self, item: Item) -> None:
        assert isinstance(item, Holds)
        if item.incarnation != self.incarnation and not self.liveness.gone(item.incarnation):
            self._learn(item.incarnation, Kind(item.kind), item.held)

    def _on_claimed(self, item: Item) -> None:
        """A partition has another holder soon: the former one, be it this process, is deposed at once."""
        assert isinstance(item, Claimed)
        if self.liveness.gone(item.incarnation):
            return
        kind = Kind(item.kind)
        self.map.claimed(item.incarnation, kind, item.held)
        for partition, epoch in item.held:
            part = self._parts.get(kind, partition) if self._parts is not None else None
            if part is not None and part.epoch < epoch and self._holder is not None:
                self._holder.drop(kind, partition)
            _each(self.on_claimed, kind, partition, epoch, item.incarnation)

    def _on_frozen(self, seconds: float) -> None:
        _log.warning("process_frozen", seconds=round(seconds, 1))
        _each(self.on_frozen, seconds)

    def _learn(self, incarnation: str, kind: Kind, held: Iterable[tuple[int, int]]) -> None:
        for former, keys in self.map.learn(incarnation, kind, held).items():
            if incarnation != self.incarnation and self._holder is not None and self._parts is not None:
                for _, partition in keys:
                    part = self._parts.get(kind, partition)
                    if part is not None and self.map.higher(self.incarnation, kind, partition, part.epoch):
                        self._holder.drop(kind, partition)
            # A former holder that is silent was taken over: it will pass no barrier.
            waits = former is not None and not self.liveness.silent(
                former, self._silence, trio.current_time()
            )
            self.bus.holder_changed(former, keys, wait=waits)

    def _on_accepted(self, item: Item) -> None:
        _each(self.on_accepted, cast("Accepted", item).uids)

    def _on_ask(self, item: Item) -> None:
        assert isinstance(item, AskHolds)
        if item.incarnation != self.incarnation:
            self.bus.post_to(item.incarnation, self._beat()._replace(about=self.about.pack()))
        if item.incarnation != self.incarnation and self._parts is not None:
            for kind in self._services:
                if held := self._parts.served(kind):
                    self.bus.post_to(item.incarnation, Holds(self.incarnation, kind, tuple(held)))

    def _on_yield(self, item: Item) -> None:
        assert isinstance(item, Yield)
        self.liveness.yielded(item.incarnation, trio.current_time())

    def _say_holds(self, kind: Kind, held: list[tuple[int, int]]) -> None:
        self._learn(self.incarnation, kind, held)
        self.bus.announce(Holds(self.incarnation, kind, tuple(held)))

    def _beat(self) -> Beat:
        load, self._items = self.bus.stats.items_in - self._items, self.bus.stats.items_in
        return Beat(
            self.incarnation,
            tuple(int(kind) for kind in self.kinds),
            load,
            "draining" if self.draining else "up",
            self.bus.speaks,
        )

    def _say_beat(self) -> None:
        self.bus.announce(self._beat())

    def _came_up(self) -> int:
        return self.bus.connections if isinstance(self.bus, NatsBus) else 0

    async def _beats(self) -> None:
        while True:
            due = trio.current_time() + self.config.cluster.heartbeat
            await trio.sleep_until(due)
            connected, now = self.bus.connected, trio.current_time()
            again = connected and (not self._connected or self._connections != self._came_up())
            if again:
                self.liveness.hearing(False, now)
            self.liveness.hearing(connected, now)
            if now - due > _PAUSE_SECONDS:
                _log.warning("process_paused", seconds=round(now - due, 1))
                self.liveness.paused(now)
            if self._asking.due(bool(self.bus.parking), now) or again:
                self.bus.announce(AskHolds(self.incarnation))
            if again:
                # Announcements may have been missed, ours and others'.
                for kind in self._services:
                    if self._parts is not None and (held := self._parts.served(kind)):
                        self.bus.announce(Holds(self.incarnation, kind, tuple(held)))
            self._connected, self._connections = connected, self._came_up()
            self._say_beat()
            if self._holder is not None and self._holder.yields:
                self.bus.announce(Yield(self.incarnation))
            for name in self.liveness.lose(now):
                self._gone(name, "process_lost")
            self._write(self.liveness.lowest_version())

    def _write(self, version: int) -> None:
        """Send in this version of the items from now on."""
        if version != self.bus.version:
            self.bus.version = version
            _log.info("bus_version", version=version, newest=VERSION)

    def _gone(self, name: str, event: str) -> None:
        """A process is gone: nobody holds what it held, nothing is sent to it any more, services forget it."""
        _log.log(logging.INFO if event == "process_left" else logging.WARNING, event, process=name)
        self.map.forget(name)
        self.bus.forget(name)
        _each(self.on_lost, name)
        if self._holder is not None:
            self._holder.poke()


def _each(callbacks: Iterable[Callable[..., None]], *arguments: object) -> None:
    for callback in callbacks:
        callback(*arguments)


@asynccontextmanager
async def open_node(
    config: Config, kinds: tuple[Kind, ...], db: Database | None = None, *, incarnation: str = ""
) -> AsyncIterator[ClusterNode]:
    """This process in the cluster, connected to the bus. Kinds other than EDGE need `db`.

    Raises NodeFailed at the end when the node failed.
    """
    if db is None and any(kind is not Kind.EDGE for kind in kinds):
        raise ValueError("only an edge works without a database")
    if config.cluster.speak_version not in (0, *range(OLDEST, VERSION + 1)):
        raise NodeFailed(
            f"cluster.speak_version is {config.cluster.speak_version}; this version speaks {OLDEST} to {VERSION}"
        )
    async with open_bus(incarnation or new_incarnation(kinds), config.bus) as bus:
        node = ClusterNode(config, kinds, db, bus)
        yield node
    if node.failure is not None:
        raise NodeFailed(node.failure)
