"""The room worker (XEP-0045): holds partitions of rooms. This file joins the parts; `live` is one room, `rooms` all of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import (
    NOBODY,
    Accepted,
    AskRoom,
    ContactRemoved,
    FannedOut,
    Fanout,
    Item,
    Kind,
    RemoteBroken,
    Route,
    ToSession,
)
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.sender_lists import SenderLists
from rookery.shared.custody.kept import Handed
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.db.persist import persist
from rookery.shared.db.secrets import shared_secrets
from rookery.shared.store.ids import cluster_seal
from rookery.shared.store.writer import StoreWriter
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import Answerer, Handler, HostedWorker
from rookery.workers.muc.live import Work
from rookery.workers.muc.operators import Operators
from rookery.workers.muc.part import Part
from rookery.workers.muc.policy import Policy
from rookery.workers.muc.rooms import Rooms
from rookery.workers.muc.shell import Shell
from rookery.workers.muc.store import sql
from rookery.workers.muc.store.writer import RoomWriter

#: Seconds between looks at what is heard, what is idle, what waits to be written.
TICK: Final = 1.0
#: Ticks between turns of the uids.
ROTATE: Final = 40
#: How long a group commit waits for more while there is much to do: nothing is said before it, so it is shorter than a router's. Seconds.
DELAY: Final = 0.003
_RETRY: Final = 0.2
_log = structlog.get_logger()


class MucService(HostedWorker):
    """Implements `shared.cluster.api.Service` for the kind muc."""

    kind = Kind.MUC

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        config = node.config.router
        self._archive = StoreWriter(
            node.db, node.incarnation, node.fail, delay_ms=DELAY * 1000, rows=config.commit_rows
        )
        self._writer = RoomWriter(node.db, node.incarnation, node.fail, delay=DELAY)
        self.shell = Shell(node, self._archive, self._writer, self, self.addresses.account)
        self.parts: dict[int, Part] = {}
        self.policy = Policy(node.config, self.addresses.account)
        self.domains.changed = self.policy.learn
        #: Lists of senders of spam that other servers publish.
        self._lists = SenderLists(node)
        if node.config.s2s.block_lists:
            self.policy.lists = self._lists.has
            self._lists.changed = lambda: self.policy.on_bans()
        self.rooms = Rooms(self, self.shell, self.policy)
        self.operators = Operators(self, self.rooms, self.shell, self.policy)
        node.on_holder.append(self._on_holder)
        node.on_returned.append(self._on_returned)
        node.on_lost.append(self.rooms.lost)

    def items(self) -> Mapping[type, Handler]:
        """Who handles what."""
        return {
            Route: self._on_route,
            FannedOut: self._on_fanned_out,
            Accepted: self._on_accepted,
            RemoteBroken: self._on_remote_broken,
            ContactRemoved: self._on_contact_removed,
        }

    def calls(self) -> Mapping[type, Answerer]:
        """Who answers which requests."""
        return {AskRoom: self._on_ask}

    def _on_ask(self, partition: int, call: Call, request: AskRoom) -> None:
        self.operators.asked(self.parts.get(partition), call, request)

    def _on_route(self, partition: int, item: Route) -> None:
        part = self.parts.get(partition)
        if part is None:
            return
        origin = item.origin
        if origin.n:
            repeated = part.uids.repeated(origin)
            if repeated is not None:
                if repeated:
                    self.shell.accept(part, origin)
                return
            if self.custodian.has(partition, origin, sent=True):
                return
        self.rooms.take(part, item)

    def _on_fanned_out(self, partition: int, item: FannedOut) -> None:
        self.rooms.heard(item)

    def _on_remote_broken(self, partition: int, item: RemoteBroken) -> None:
        self.rooms.abroad.shaken(item.domain)

    def _on_contact_removed(self, partition: int, item: ContactRemoved) -> None:
        """An account is gone that was in the lists of a room; a room that is not in memory has read nothing of it."""
        part = self.parts.get(partition)
        if part is not None:
            self.job(partition, item.account, partial(self._unlist, part, item))

    async def _unlist(self, part: Part, item: ContactRemoved) -> None:
        live = self.rooms.find(part, item.account)
        if live is None or live.removing is not None:
            return
        now = self.shell.clock()
        stanza = Stanza.build("presence", from_=item.account, to=item.account)
        deed = live.room.unlist(item.contact, stanza, self.policy.facts(stanza, now, live.history))
        if deed.affiliations:
            self.rooms.done(live, deed, Work(NOBODY, stanza, now))

    def _on_accepted(self, partition: int, item: Accepted) -> None:
        self.shell.flush_accepted()

    def _settled(self, handed: Handed) -> None:
        part = self.parts.get(handed.came)
        if part is not None:
            self.shell.accept(part, handed.former)

    def _on_holder(self, kind: Kind, partition: int) -> None:
        if kind is Kind.ROUTER:
            self.rooms.router_changed(partition)

    def _on_returned(self, kind: Kind, partition: int, item: Item) -> None:
        if kind is Kind.ROUTER and isinstance(item, Fanout | ToSession):
            self.rooms.returned(partition, item)

    # --- partitions --------------------------------------------------------------------------------------------------

    async def acquire(self, partition: int, epoch: int) -> None:
        """Know who is in which room; the rooms themselves are read when they are needed, those that have to speak first."""
        await self.domains.known()
        while self.shell.seal is None:
            try:
                self.policy.secret = (await shared_secrets(self.node.db, "occupant-ids"))[-1]
                self.shell.seal = await cluster_seal(self.node.db)
            except DatabaseUnavailable:
                await trio.sleep(_RETRY)
        heard = await persist(self.node.db, partition, lambda conn: sql.heard(conn, partition))
        occupied = await persist(self.node.db, partition, lambda conn: sql.occupied(conn, partition, heard))
        part = self.parts[partition] = Part(partition, epoch, heard)
        self.rooms.open(part, occupied)

    async def release(self, partition: int) -> None:
        """Commit what was received; what still waits is not accepted, so it goes to the next holder."""
        part = self.parts.get(partition)
        if part is None:
            return
        await self.lanes.drain(partition)
        await self._archive.drain()
        await self._writer.drain()
        await self.rooms.note([part])
        self.shell.flush_accepted()
        self.drop(partition)

    def drop(self, partition: int) -> None:
        """Forget the partition at once."""
        super().drop(partition)
        part = self.parts.pop(partition, None)
        if part is not None:
            part.held.live = False
            self.rooms.forget(part)

    # --- background --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().run)
            nursery.start_soon(self._archive.run)
            nursery.start_soon(self._writer.run)
            nursery.start_soon(self.rooms.run)
            nursery.start_soon(self._lists.run)
            nursery.start_soon(self._ticks)

    async def _ticks(self) -> None:
        ticks = 0
        while True:
            await trio.sleep(TICK)
            ticks += 1
            try:
                self._writer.tick()
                self.shell.flush_accepted()
                self.rooms.tick()
                if ticks % ROTATE == 0:
                    for part in self.parts.values():
                        part.uids.rotate()
                await self.rooms.note(list(self.parts.values()))
            except Exception:
                _log.exception("muc_tick_failed")
