"""The loop of every process that holds partitions: beat, see who lives, take what falls to it, give away what does not.

Every process computes the same targets from the same rows; only claims need the cluster-wide lock. Nothing here is done
while Postgres is away: holders keep what they have and serve it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bus.core import BusCore
from rookery.shared.bus.messages import Granted, Kind
from rookery.shared.cluster import leases, members
from rookery.shared.cluster.about import here
from rookery.shared.cluster.api import Service
from rookery.shared.cluster.assign import targets
from rookery.shared.cluster.evidence import Evidence
from rookery.shared.cluster.leases import Lease, Move
from rookery.shared.cluster.liveness import Liveness
from rookery.shared.cluster.parts import Part, Parts, State
from rookery.shared.config import Cluster as ClusterConfig
from rookery.shared.db.api import Connection, Database, DatabaseUnavailable, Fenced

_log = structlog.get_logger()

#: Seconds between looks at the lease rows when nothing seems to have changed.
LOOK_SECONDS: Final = 5.0
#: Seconds between beats while some process is late: take-over must not wait for the next whole second.
SUSPECT_SECONDS: Final = 0.25
#: Partitions that are released side by side: each is unserved for as long as the slowest of them.
MOVE_BATCH: Final = 32
ACQUIRE_LIMIT: Final = 64
_SWEEP_SECONDS: Final = 300.0


class Holder:
    """Keeps `parts` in line with the lease rows. `announce` tells the cluster (kind, [(partition, epoch)]) that are served now,
    `claimed` those that are taken and hydrated next."""

    def __init__(
        self,
        incarnation: str,
        bus: BusCore,
        db: Database,
        config: ClusterConfig,
        services: Mapping[Kind, Service],
        liveness: Liveness,
        parts: Parts,
        *,
        announce: Callable[[Kind, list[tuple[int, int]]], None],
        claimed: Callable[[Kind, list[tuple[int, int]]], None],
        fail: Callable[[str], None],
    ) -> None:
        self._me = incarnation
        self._bus = bus
        self._db = db
        self._config = config
        self._services: dict[Kind, Service] = {
            kind: service for kind, service in services.items() if kind is not Kind.EDGE
        }
        self._kinds = tuple(self._services)
        self._liveness = liveness
        self._parts = parts
        self._announce = announce
        self._say_claimed = claimed
        self._fail = fail
        self._evidence = Evidence(incarnation, liveness, config)
        self._nursery: trio.Nursery
        self._limit = trio.CapacityLimiter(ACQUIRE_LIMIT)
        self._beat_now = trio.Event()
        self._look_now = trio.Event()
        self._moving = False
        self.draining = False
        #: Whether the lease rows were seen at least once, so that what is held is known.
        self.settled = False
        self._served: dict[Kind, list[tuple[int, int]]] = {}
        #: Partitions that others took, not told in the log yet.
        self._dropped: Counter[Kind] = Counter()
        #: The last epoch under which we gave a partition up: rows that were read before must not bring it back.
        self._gave: dict[tuple[Kind, int], int] = {}
        self._leaving = False

    # --- the outside ---

    def poke(self) -> None:
        """Something has changed: beat and look soon."""
        self._beat_now.set()
        self._look_now.set()

    @property
    def yields(self) -> bool:
        """Whether this process should ask to be taken over: it has partitions, and has not reached Postgres for a while."""
        return self._evidence.cut_off(trio.current_time()) and any(True for _ in self._parts.all())

    async def run(self) -> None:
        """Beat, look and move until cancelled. The process has joined before."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._beats)
            nursery.start_soon(self._looks)

    async def join(self) -> int:
        """Become a member; waits for Postgres as long as it takes. Returns the number of partitions."""
        while True:
            try:
                return await self._db.run(
                    0,
                    lambda conn: members.join(
                        conn,
                        self._me,
                        self._kinds,
                        self._config.lease_ttl,
                        self._bus.speaks,
                        place=here(self._config),
                    ),
                )
            except DatabaseUnavailable:
                _log.warning("cluster_waits_for_database")
                await trio.sleep(0.5)

    async def drain(self) -> None:
        """Give everything away while other processes can take it, release the rest, leave. At most `drain_limit` seconds."""
        self.draining = True
        self.poke()
        with trio.move_on_after(self._config.drain_limit) as scope:
            while any(True for _ in self._parts.all()):  # noqa: ASYNC110  once in a process's life
                await trio.sleep(0.05)
        if scope.cancelled_caught:
            _log.error("cluster_drain_took_too_long")
        self._leaving = True
        try:
            with trio.move_on_after(5.0):
                await self._db.run(0, lambda conn: members.leave(conn, self._me))
        except (DatabaseUnavailable, Fenced):
            _log.warning("cluster_left_without_database")

    # --- beats ---

    async def _beats(self) -> None:
        config, swept = self._config, trio.current_time()
        while True:
            self._beat_now = trio.Event()
            try:
                work = partial(
                    members.beat, incarnation=self._me, ttl=config.lease_ttl, draining=self.draining
                )
                may_go_on, rows = await self._db.run(0, work, op="cluster_beat")
            except DatabaseUnavailable:
                self._evidence.blind()
            else:
                if self._leaving:
                    return
                if not may_go_on:
                    self._fail("fenced: another process has taken over")
                    return
                now = trio.current_time()
                if self._evidence.look(rows, now):
                    self._look_now.set()
                if now - swept > _SWEEP_SECONDS:
                    swept = now
                    await self._quietly(members.sweep)
            with trio.move_on_after(SUSPECT_SECONDS if self._evidence.suspects else config.heartbeat):
                await self._beat_now.wait()
                # However often we are poked, rows are not written without a pause.
                await trio.sleep(0.02)

    async def _quietly(self, work: Callable[[Connection], object]) -> None:
        try:
            await self._db.run(0, work)  # type: ignore[arg-type]
        except DatabaseUnavailable:
            pass

    # --- looks ---

    async def _looks(self) -> None:
        while True:
            self._look_now = trio.Event()
            try:
                await self._look()
            except DatabaseUnavailable:
                pass  # the beats notice, and look again when it is back
            except Fenced:
                self._fail("fenced: another process has taken over")
                return
            except Exception:
                _log.exception("cluster_look_failed")
            with trio.move_on_after(LOOK_SECONDS):
                await self._look_now.wait()

    async def _look(self) -> None:
        if not self._evidence.seen:
            return
        rows = await self._db.run(0, lambda conn: leases.look(conn, self._kinds), op="cluster_look")
        now = trio.current_time()
        if not self.draining and self._evidence.free(rows, now):
            consenting, silent = self._evidence.dead(now)
            taken = await self._db.run(
                0,
                lambda conn: leases.claim(conn, self._me, self._kinds, consenting, silent),
                op="cluster_claim",
            )
            if taken:
                _log.info("partitions_claimed", count=len(taken))
                for kind in self._kinds:
                    if held := [(lease.partition, lease.epoch) for lease in taken if lease.kind is kind]:
                        self._say_claimed(kind, held)
                by_key = {(r.kind, r.partition): r for r in rows} | {(r.kind, r.partition): r for r in taken}
                rows = list(by_key.values())
        self._follow(rows)
        self.settled = True
        if not self._moving and (moves := self._moves(rows)):
            self._moving = True
            self._nursery.start_soon(self._move, moves)

    def _follow(self, rows: list[Lease]) -> None:
        """Acquire what the rows give us, drop what they gave to another."""
        mine = {(r.kind, r.partition): r.epoch for r in rows if r.incarnation == self._me}
        for kind, partition, part in list(self._parts.all()):
            epoch = mine.pop((kind, partition), 0)
            # A part that is being released changes its row by our own hand. A look may be older than a grant.
            if (
                part.state is not State.RELEASING
                and epoch != part.epoch
                and not self._newer(rows, kind, partition, part)
            ):
                self.drop(kind, partition)
                if epoch > part.epoch:
                    self.acquire(kind, partition, epoch)
        for (kind, partition), epoch in mine.items():
            self.acquire(kind, partition, epoch)

    def _newer(self, rows: list[Lease], kind: Kind, partition: int, part: Part) -> bool:
        return all(r.epoch < part.epoch for r in rows if r.kind is kind and r.partition == partition)

    # --- acquire and drop ---

    def granted(self, item: Granted) -> None:
        """A former holder has leased partitions to us."""
        for partition, epoch in item.held:
            self.acquire(Kind(item.kind), partition, epoch)

    def acquire(self, kind: Kind, partition: int, epoch: int) -> None:
        """Begin to hold a partition that the rows give us."""
        if epoch <= self._gave.get((kind, partition), 0) or self._leaving:
            return
        if kind in self._services and self._parts.get(kind, partition) is None:
            part = self._parts.add(kind, partition, epoch)
            self._nursery.start_soon(self._acquire, kind, partition, part)

    async def _acquire(self, kind: Kind, partition: int, part: Part) -> None:
        service = self._services[kind]
        with part.scope:
            async with self._limit:
                while True:
                    try:
                        await service.acquire(partition, part.epoch)
                        break
                    except Fenced:
                        self._fail("fenced: another process has taken over")
                        return
                    except DatabaseUnavailable:
                        await trio.sleep(0.25)
                    except Exception:
                        _log.exception("partition_acquire_failed", kind=kind.label, partition=partition)
                        await trio.sleep(1.0)
            self._parts.serve(kind, partition, part)
            if not self._served:
                self._nursery.start_soon(self._tell)
            self._served.setdefault(kind, []).append((partition, part.epoch))

    async def _tell(self) -> None:
        """Announce what is served now; partitions that are acquired together are told together."""
        await trio.sleep(0.005)
        served, self._served = self._served, {}
        for kind, held in served.items():
            self._announce(
                kind, [(p, e) for p, e in held if (part := self._parts.get(kind, p)) and part.epoch == e]
            )

    def drop(self, kind: Kind, partition: int) -> None:
        """A higher epoch exists."""
        if (part := self._parts.get(kind, partition)) is not None:
            self._gave[kind, partition] = part.epoch
        if not self._dropped:
            self._nursery.start_soon(self._tell_dropped)
        self._dropped[kind] += 1
        self._parts.drop(kind, partition)

    async def _tell_dropped(self) -> None:
        """One line for all that a claim of another process took at once: there may be thousands."""
        await trio.sleep(0.1)
        dropped, self._dropped = self._dropped, Counter()
        for kind, count in dropped.items():
            _log.warning("partitions_dropped", kind=kind.label, count=count)

    # --- moves ---

    def _moves(self, rows: list[Lease]) -> list[Move]:
        """What we hold and others should hold. Only what is served moves: the rest is still on its way to us."""
        live, places = self._evidence.live(), self._evidence.places()
        moves: list[Move] = []
        for kind in self._kinds:
            names = {name for name, kinds in live.items() if kind.label in kinds}
            holders = {r.partition: r.incarnation for r in rows if r.kind is kind}
            free = {self._me} if self.draining else set()
            wanted = targets(holders, names - free, free, places)
            for partition, epoch in self._parts.served(kind):
                target = wanted.get(partition, self._me)
                if target != self._me and holders.get(partition) == self._me:
                    moves.append(Move(kind, partition, epoch, target))
        return moves

    async def _move(self, moves: list[Move]) -> None:
        try:
            for i in range(0, len(moves), MOVE_BATCH):
                await self._move_batch(moves[i : i + MOVE_BATCH])
        finally:
            self._moving = False
            self._look_now.set()

    async def _move_batch(self, batch: list[Move]) -> None:
        batch = [
            m
            for m in batch
            if (part := self._parts.get(m.kind, m.partition)) is not None and part.epoch == m.epoch
        ]
        if not batch:
            return
        async with trio.open_nursery() as nursery:
            for item in batch:
                part = self._parts.get(item.kind, item.partition)
                assert part is not None
                part.state = State.RELEASING
                nursery.start_soon(self._release, item)
        rows = await self._write(batch)
        given: dict[tuple[str, Kind], list[tuple[int, int]]] = {}
        for row in rows:
            if row.incarnation is not None:
                given.setdefault((row.incarnation, row.kind), []).append((row.partition, row.epoch))
        for item in batch:
            self._gave[item.kind, item.partition] = item.epoch
            self._parts.remove(item.kind, item.partition)
        for (name, kind), held in given.items():
            self._bus.post_to(name, Granted(kind, tuple(held)))
        _log.info("partitions_moved", count=len(rows))

    async def _release(self, item: Move) -> None:
        try:
            with trio.move_on_after(self._config.drain_limit) as scope:
                await self._services[item.kind].release(item.partition)
        except Fenced:
            self._fail("fenced: another process has taken over")
        except Exception:
            _log.exception("partition_release_failed", kind=item.kind.label, partition=item.partition)
            await self._give_up()
        else:
            if scope.cancelled_caught:
                _log.error("partition_release_took_too_long", kind=item.kind.label, partition=item.partition)
                await self._give_up()

    async def _give_up(self) -> None:
        """A partition cannot be released: its rows may still wait, and must not be written behind the next holder's.

        The own fence is closed, which waits for what is being written and lets nothing follow; others claim everything.
        """
        self._leaving = True
        while True:
            try:
                await self._db.run(0, lambda conn: members.leave(conn, self._me))
            except DatabaseUnavailable:
                await trio.sleep(0.25)  # nobody else can hold anything either
            else:
                break
        self._fail("a partition could not be released")

    async def _write(self, batch: list[Move]) -> list[Lease]:
        while True:
            try:
                return await self._db.run(
                    0, lambda conn: leases.move(conn, self._me, batch), op="cluster_move"
                )
            except Fenced:
                self._fail("fenced: another process has taken over")
                return []
            except DatabaseUnavailable:
                # Nobody else can hold them either. When the write did reach Postgres, its repetition changes no row.
                await trio.sleep(0.25)
