"""The router: holds partitions of bare JIDs, delivers by RFC 6121 section 8, numbers what sessions are sent.

This file wires the parts together and is what the cluster layer calls. Where to look: `delivery` (what is addressed to
an account), `submit` (what its own streams send), `presence`, `iqs`, `binding` (sessions begin and end), `flushes` (offline
messages), `keeping` (the store), `pushing` (to the edges), `takeover` (a new holder), `accounts` (the cache).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
import trio

from rookery.router.account_cache import Accounts
from rookery.router.accounts.account import Account
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.delivery.carbons import Carbons
from rookery.router.delivery.copies import Copies
from rookery.router.delivery.fanout import Fanouts
from rookery.router.delivery.from_workers import FromWorkers
from rookery.router.delivery.iqs import Iqs
from rookery.router.delivery.presence import Presence
from rookery.router.delivery.rooms import Rooms
from rookery.router.delivery.route import Delivery
from rookery.router.delivery.submit import Submits
from rookery.router.domains import Domains
from rookery.router.keeping.flushes import Flushes
from rookery.router.keeping.rows import Keeping, Store
from rookery.router.metrics import Totals
from rookery.router.partition import Part
from rookery.router.pushing import Pushing
from rookery.router.sessions.binding import Bindings
from rookery.router.sessions.client_state import ClientStates
from rookery.router.sessions.hibernation import Hibernation
from rookery.router.sessions.operators import Operators
from rookery.router.sessions.resume import Resumptions
from rookery.router.takeover import handover
from rookery.router.takeover.mirrors import Takeover
from rookery.router.takeover.recovery import recover
from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import (
    Accepted,
    AccountChanged,
    Acked,
    Bind,
    CheckOccupants,
    ClientState,
    Copy,
    Enable,
    EndSessions,
    Fanout,
    Frontier,
    Gated,
    Item,
    Kind,
    LastItems,
    ListSessions,
    Mirror,
    Origin,
    Replay,
    Resume,
    Route,
    SendPresence,
    StillThere,
    Submit,
    ToResources,
    ToSession,
    Unbind,
)
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.store.ids import cluster_seal
from rookery.shared.store.writer import StoreWriter
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

_log = structlog.get_logger()

#: Seconds between looks at flushes and session totals.
TICK: Final = 0.5
#: Seconds between sweeps of the account cache, and turns of the recent uids.
SWEEP: Final = 60.0
#: Sessions of a dead edge that are ended before others get a turn.
CHUNK: Final = 50

Handler = Callable[[Part, Any], None]


class RouterService:
    """Implements `shared.cluster.api.Service` for the kind router."""

    kind = Kind.ROUTER

    def __init__(
        self,
        node: Node,
        *,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer: StoreWriter | None = None
        if store is None:
            delay, rows = node.config.router.commit_delay_ms, node.config.router.commit_rows
            store = self._writer = StoreWriter(
                node.db, node.incarnation, node.fail, delay_ms=delay, rows=rows
            )
        self.core = core = Core(node, clock=clock, ticks=ticks)
        self.domains = Domains(core)
        self.accounts = Accounts(core, self.guarded)
        self.pushing = Pushing(core)
        self.keeping = Keeping(core, store)
        self.flushes = Flushes(core, self.pushing, self.keeping)
        self.iqs = Iqs(core)
        self.carbons = Carbons(core, self.pushing)
        self.delivery = Delivery(
            core, self.accounts, self.pushing, self.keeping, self.flushes, self.iqs, self.carbons
        )
        self.hibernation = Hibernation(core)
        self.presence = Presence(core, self.pushing, self.flushes)
        self.rooms = Rooms(core, self.hibernation, self.presence.note)
        self.fanouts = Fanouts(core, self.accounts, self.pushing, self.delivery, self.rooms)
        self.from_workers = FromWorkers(core, self.pushing, self.rooms)
        self.client_states = ClientStates(core, self.pushing, self.presence)
        self.copies = Copies(core, self.accounts, self.keeping, self.carbons)
        self.submits = Submits(
            core, self.accounts, self.pushing, self.delivery, self.iqs, self.presence, self.copies
        )
        self.bindings = Bindings(
            core, self.accounts, self.delivery, self.presence, self.flushes, self.keeping, self.hibernation
        )
        self.resumptions = Resumptions(
            core,
            self.accounts,
            self.pushing,
            self.flushes,
            self.bindings,
            self.client_states,
            self.hibernation,
        )
        self.operators = Operators(core, self.accounts, self.bindings)
        self.takeover = Takeover(core, self.accounts, self.hibernation)
        self.totals = Totals(core)
        self._wire(store)
        self._handlers = self._table()
        self._lost: list[str] = []
        self._lost_some = trio.Event()

    def _wire(self, store: Store) -> None:
        """What the parts tell one another."""
        self.flushes.message = self.delivery.message
        self.iqs.on_marked = self.presence.notes
        self.iqs.deliver = self.delivery.on_route
        self.takeover.on_restored = self.client_states.restored
        self.takeover.on_attached = self._attached
        self.pushing.on_overrun = self.bindings.overrun
        self.pushing.on_asleep = self.hibernation.changed
        self.pushing.on_missed = self.hibernation.misses.in_room
        self.iqs.behind_store = store.after
        self.domains.on_durability = self._durability
        node = self.core.node
        node.on_lost.append(self._on_lost)
        node.on_found.append(self.takeover.found)
        node.on_reset.append(self._on_reset)
        node.on_domains.append(self.domains.reader.refresh)

    def _durability(self, domains: frozenset[str]) -> None:
        """Messages of these domains are accepted at another moment from now on."""
        for part in self.core.parts.values():
            for bare in [bare for bare in part.accounts if bare.rpartition("@")[2] in domains]:
                self.accounts.changed(part, bare)

    def _table(self) -> dict[type, Handler]:
        """Who handles what."""
        return {
            Route: self.delivery.on_route,
            Submit: self.submits.on_submit,
            Copy: self.copies.on_copy,
            Acked: self.bindings.on_acked,
            ClientState: self.client_states.on_state,
            Unbind: self.bindings.on_unbind,
            Fanout: self.fanouts.on_fanout,
            CheckOccupants: self.rooms.on_check,
            ToResources: self.from_workers.on_to_resources,
            ToSession: self.from_workers.on_to_session,
            LastItems: self.presence.interests.on_last_items,
            StillThere: self.presence.on_still_there,
            SendPresence: self.presence.on_send_presence,
            AccountChanged: self.bindings.on_account_changed,
            Gated: self.delivery.on_gated,
            Replay: self.flushes.on_replay,
            Accepted: self._end_of_turn,
            Bind: self.bindings.on_bind,
            Enable: self.resumptions.on_enable,
            Resume: self.resumptions.on_resume,
            Frontier: self.resumptions.on_frontier,
            ListSessions: self.operators.on_list,
            EndSessions: self.operators.on_end,
        }

    # --- items -------------------------------------------------------------------------------------------------------

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        """Handle an item or a call. Never raises and never blocks."""
        part = self.core.parts.get(partition)
        if part is None:
            if isinstance(item, Mirror):
                self.takeover.on_mirror(item)
            return
        handler = self._handlers.get(item.__class__)
        if handler is None:
            handler = self._rare(item)
            if handler is None:
                return
        try:
            handler(part, item)
        except Exception as exc:
            self._failed(part, handler, item, exc)

    def _rare(self, item: Item | Call) -> Handler | None:
        if isinstance(item, Call):
            handler = self._handlers.get(item.request.__class__)
            if handler is None:
                self.core.bus.reply(item, StanzaError("feature-not-implemented"))
            return handler
        if isinstance(item, Mirror):
            self.takeover.on_mirror(item)
        return None

    def guarded(self, part: Part, handler: Handler, item: Any) -> None:
        """Run a handler so that its failure concerns only this item."""
        try:
            handler(part, item)
        except Exception as exc:
            self._failed(part, handler, item, exc)

    def _failed(self, part: Part, handler: Handler, item: Any, exc: Exception) -> None:
        """A refusal, or a bug that this stanza found: its sender gets an error, the partition goes on."""
        if isinstance(exc, StanzaError):
            error = exc
        else:
            self.core.count.failed += 1
            _log.error(
                "stanza_failed",
                item=type(item).__name__,
                handler=getattr(handler, "__qualname__", ""),
                exc_info=exc,
            )
            error = StanzaError("internal-server-error")
        if isinstance(item, Call):
            self.core.bus.reply(item, error)
            return
        if isinstance(item, Submit):
            self.submits.refuse(part, item, error)
            return
        stanza, origin = getattr(item, "stanza", None), getattr(item, "origin", None)
        if isinstance(stanza, Stanza) and isinstance(origin, Origin):
            try:
                self.core.bounce(stanza, error, origin)
            except Exception:
                _log.exception("bounce_failed")
            self.core.accept(part, origin)

    def _end_of_turn(self, part: Part, item: Accepted) -> None:
        self.core.flush_accepted()
        self.pushing.end_overrun()

    # --- partitions --------------------------------------------------------------------------------------------------

    async def acquire(self, partition: int, epoch: int) -> None:
        """Rebuild the partition's sessions from the edges' mirrors."""
        await self.domains.reader.known()
        await self._sealed()
        part = Part(partition, epoch)
        part.since = self.core.clock()
        late = await self.takeover.gather(part)
        assert self.keeping.seal is not None
        await recover(self.core, self.keeping.seal, part, late)
        await handover.load(self.core, part)
        self.core.parts[partition] = part

    async def _sealed(self) -> None:
        """Know the secret of the archive ids."""
        while self.keeping.seal is None:
            try:
                self.keeping.seal = await cluster_seal(self.core.node.db)
            except DatabaseUnavailable:
                await trio.sleep(TICK)

    async def release(self, partition: int) -> None:
        """Commit what was received; what still waits is not accepted, so the edges send it to the next holder."""
        part = self.core.parts.get(partition)
        if part is None:
            return
        if self._writer is not None:
            await self._writer.drain()
        await self.hibernation.flush(part)
        await handover.save(self.core, part)
        self.core.flush_accepted()
        self.drop(partition)

    def drop(self, partition: int) -> None:
        """Forget the partition at once."""
        part = self.core.parts.pop(partition, None)
        if part is not None:
            part.live = False
            self.core.custodian.forget(partition)
            self.flushes.forget(part)
            self.hibernation.drop(part)
            self.core.count.sessions -= sum(len(account.resources) for account in part.accounts.values())

    # --- background --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.domains.reader.run)
            nursery.start_soon(self.accounts.run)
            nursery.start_soon(self._ticks)
            nursery.start_soon(self._bury)
            nursery.start_soon(self.hibernation.run)
            nursery.start_soon(self.core.custodian.run)
            if self._writer is not None:
                nursery.start_soon(self._writer.run)

    async def _ticks(self) -> None:
        swept = self.core.ticks()
        while True:
            await trio.sleep(TICK)
            try:
                self.flushes.tick()
                self.hibernation.tick()
                self.client_states.tick()
                self.rooms.tick()
                self.presence.interests.tick()
                self.core.tick()
                self.pushing.end_overrun()
                self.totals.export()
                if self.core.ticks() - swept >= SWEEP:
                    swept = self.core.ticks()
                    for part in list(self.core.parts.values()):
                        self.accounts.sweep(part)
                        part.recent.rotate()
                        part.copied.rotate()
                        part.wrapped.rotate()
                        part.heard.rotate()
                        part.told.rotate()
                        await trio.lowlevel.checkpoint()
            except Exception:
                _log.exception("router_tick_failed")

    def _on_lost(self, incarnation: str) -> None:
        self.takeover.lost(incarnation)
        self._lost.append(incarnation)
        self._lost_some.set()

    async def _bury(self) -> None:
        """End the sessions of dead edges, a few at a time."""
        while True:
            await self._lost_some.wait()
            self._lost_some = trio.Event()
            lost, self._lost = self._lost, []
            for edge in lost:
                await self._bury_edge(edge)
                if edge in self.core.node.edges():
                    self.takeover.found(edge, frozenset({Kind.EDGE}))

    async def _bury_edge(self, edge: str) -> None:
        ended = 0
        for part in list(self.core.parts.values()):
            for account in list(part.accounts.values()):
                if not part.live or not account.resources.by_resource:
                    continue
                try:
                    ended += self.bindings.lost_edge(part, account, edge)
                except Exception:
                    _log.exception("edge_burial_failed")
                if ended and ended % CHUNK == 0:
                    await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
        if ended:
            _log.info("edge_lost", edge=edge, accounts=ended)

    def _attached(self, part: Part, account: Account, session: Session) -> None:
        """A session that slept while its edge was given up goes on there with what it missed."""
        self.pushing.repeat(part, session)
        if session.behind:
            self.flushes.progressed(part, account, session)

    def _on_reset(self, peer: str) -> None:
        """The link to an edge began anew: repeat what it has not reported."""
        for part in self.core.parts.values():
            for account in part.accounts.values():
                for session in account.resources.by_resource.values():
                    if session.edge == peer:
                        self.pushing.repeat(part, session)
