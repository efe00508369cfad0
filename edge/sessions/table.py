"""The table of all bound streams of an edge, as the cluster sees them: their lives, deliveries, acceptances, deadlines."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import structlog

from rookery.edge.counters import EdgeCounters
from rookery.edge.sessions.acks import Acks
from rookery.edge.sessions.attachments import Attachments
from rookery.edge.sessions.early import EarlyItems
from rookery.edge.sessions.endings import Endings
from rookery.edge.sessions.line import Line
from rookery.edge.sessions.management.manager import take_up
from rookery.edge.sessions.mirror import Verdict
from rookery.edge.sessions.open_iqs import OpenIqs, timeout_answer
from rookery.edge.sessions.recent_messages import RecentMessages
from rookery.edge.sessions.session import Session, Table
from rookery.edge.sessions.streams import Streams, Uid
from rookery.edge.sessions.successors import Successors
from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import (
    NOBODY,
    Accepted,
    Acked,
    Bound,
    Copied,
    Deliver,
    DeliverMany,
    End,
    Item,
    Kind,
    Mirror,
    MirrorRequest,
    Note,
    Noted,
    Origin,
    Resumed,
    Route,
    Unbind,
    answering,
)
from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.custody import successors as custody
from rookery.shared.custody.inflight import Inflight, Pool
from rookery.shared.net.reactor import NEVER, Reactor
from rookery.shared.observe import metrics
from rookery.shared.xeps import stream_management
from rookery.shared.xmpp.errors import STREAM_CONDITIONS, StreamError
from rookery.shared.xmpp.jid import bare_of

_log = structlog.get_logger()
#: Acknowledgements of written deliveries are collected this long: nobody waits for them.
ACK_SECONDS: Final = 0.05
#: A delivery that is missing for longer will not come: the session ends, so that its client notices.
HOLE_SECONDS: Final = 10.0


class Sessions(Table):
    """The bus side of an edge. `addresses` says who serves what its clients write to."""

    def __init__(self, node: Node, reactor: Reactor, addresses: Addresses) -> None:
        self._limits = limits = node.config.limits
        self.bus = node.bus
        self._reactor = reactor
        self.management = node.config.options(stream_management.Options)
        self._pool = Pool(limits.uncommitted_stanzas_per_edge, limits.uncommitted_bytes_per_edge)
        self.incarnation = node.incarnation
        self.counters = EdgeCounters()
        self.partition = lru_cache(maxsize=65536)(node.partition)
        self.account_domains = addresses.accounts
        self.post = node.bus.post
        self.iqs = OpenIqs(limits.iq_seconds)
        self.attachments = Attachments()
        self.late, self.endings = RecentMessages(), Endings()
        self.wake_slot = 0
        self.streams = Streams(self.endings.confirmed)
        self.unsettled = self.streams.unsettled
        self.holes, self.flushed = set(), set()
        #: Resumable streams without a socket, and until when they are kept: their router has no second copy yet.
        self._asleep: set[Session] = set()
        self.waiting = custody.Successors[Session](lambda: self.unsettled, self.post)
        self._by_sid: dict[int, Session] = {}
        #: Bound streams of each router partition, by their numbers here.
        self.by_partition: dict[int, dict[int, Session]] = {}
        self._early = EarlyItems()
        self._acks, self._ack_at = Acks(), NEVER
        self._ending: Session | None = None
        # Stream numbers do not start at 1, so that one of a former life of this address is not mistaken for ours.
        self._next_sid = secrets.randbits(31)
        self.successors = Successors(self, node)
        self.handlers = self._table()

    @property
    def now(self) -> float:
        """The reactor's clock."""
        return self._reactor.now

    def clock(self) -> float:
        """The same clock, read now: outside of turns `now` is that of the last one."""
        return self._reactor.clock()

    @property
    def iq_deadline(self) -> int:
        """When a request that comes now has to be answered, in Unix milliseconds."""
        return int((time.time() + self._limits.iq_seconds) * 1000)

    def new_inflight(self) -> Inflight:
        """Room for the un-accepted stanzas of one stream."""
        limits = self._limits
        return Inflight(limits.uncommitted_stanzas, limits.uncommitted_bytes, self._pool)

    def __len__(self) -> int:
        return len(self._by_sid) - len(self._asleep)

    @property
    def asleep(self) -> int:
        """Streams without a socket whose routers have not stored them yet."""
        return len(self._asleep)

    @property
    def unaccepted(self) -> int:
        """Stanzas that the cluster has not accepted yet."""
        return sum(session.unaccepted for session in self.unsettled)

    @property
    def unconfirmed(self) -> int:
        """Closed streams whose end no router has confirmed yet."""
        return self.endings.unconfirmed

    # --- the life of a session ---

    def reserve(self) -> int:
        """A stream number for a binding or a resumption; deliveries to it are kept until `begin` or `forget`."""
        self._next_sid += 1
        self._early.expect(self._next_sid)
        return self._next_sid

    def outdated(self, partition: int, grant: int) -> bool:
        """Whether a new router was told of our sessions after this was granted, and so without it."""
        return grant >> 32 < self.attachments.epoch(partition)

    def forget(self, sid: int) -> None:
        """The binding failed."""
        self._early.take(sid)

    def begin(self, connection: Line, sid: int, stream: bytes, bound: Bound) -> Session:
        """The router granted a resource: the session is in the tables before anything else happens."""
        session = Session(self, connection, sid, stream, bound)
        self._by_sid[sid] = session
        self.streams.add(session)
        self.by_partition.setdefault(session.partition, {})[sid] = session
        self.attachments.bound(session.partition, bound.grant)
        metrics.SESSIONS_OPENED.inc()
        return session

    def resume(self, connection: Line, sid: int, resumed: Resumed) -> Session:
        """The router lets a stream go on here (XEP-0198 section 5)."""
        bound = Bound(resumed.full, resumed.grant, resumed.own_first, resumed.copies)
        former = self.streams.get(resumed.stream)
        session = self.begin(connection, sid, resumed.stream, bound)
        take_up(self, session, resumed)
        if former is not None and former.connection is not None:
            self._ending = former
            former.connection.fail(StreamError("conflict", "resumed by a new connection"))
            self._ending = None
        elif former in self._asleep:
            self._drop(former)
        return session

    def ended_early(self, sid: int) -> bool:
        """Whether the router has ended a binding before its answer was looked at: another resumption was later."""
        return self._early.ended(sid)

    def replay_early(self, session: Session) -> None:
        """Hand over what the router sent before its answer reached us; call it once the bind result is written."""
        for source, item in self._early.take(session.sid):
            self.receive(source, item)

    def close(self, session: Session, reason: str, resumable: bool = False) -> None:
        """The stream's socket is gone; with `resumable` its client did not end it. What it sent is still seen through."""
        if session.sid not in self._by_sid:
            return
        if self._acks.drop(session.sid):
            # What was written must not be taken for lost by the router, which gives what a dead session missed another way.
            self._report(session)
        self.holes.discard(session)
        manager = session.manager
        asleep = resumable and manager is not None and manager.resumable
        if manager is not None and asleep:
            manager.requests = manager.open_requests()
            session.connection = None
            manager.machine.lost()
            manager.moved()
            manager.until = self.clock() + manager.machine.seconds
            self._asleep.add(session)
        elif session is not self._ending:
            # A successor of its router must know it too: nobody else can tell that it is gone to those who saw it.
            self.endings.closed(session, self.clock())
        session.connection = None
        self.iqs.close(session.sid)
        if not asleep:
            self._drop(session)
        self.unbind(session.full, session.grant, reason, asleep)
        if session.asked is not None and not asleep:
            for route in session.asked.refusals(session.full):
                self.post(Kind.ROUTER, self.partition(bare_of(route.stanza.to)), route)
        metrics.SESSIONS_CLOSED.labels(reason).inc()

    def _drop(self, session: Session) -> None:
        """The session is no longer ours, but for what is un-accepted."""
        if session.manager is not None:
            session.manager.until = 0.0
        self._asleep.discard(session)
        self.flushed.discard(session)
        del self._by_sid[session.sid]
        neighbours = self.by_partition[session.partition]
        del neighbours[session.sid]
        if not neighbours:
            del self.by_partition[session.partition]
        self.streams.closed(session, self.clock())

    def unbind(self, full: str, grant: int, reason: str, resumable: bool = False) -> None:
        """Tell the router, and again if its link or holder changes soon."""
        item = Unbind(full, grant, reason, resumable)
        partition = self.partition(full.partition("/")[0])
        self.endings.told(partition, item, self.clock())
        self.post(Kind.ROUTER, partition, item)

    # --- arrivals ---

    def receive(self, source: str, item: Item | Call) -> None:
        """Handle what came for this edge."""
        if isinstance(item, Deliver):
            # Most of what comes, and the hot path: the table and one call more would cost 100 ns of each stanza.
            session = self._by_sid.get(item.sid)
            if session is None:
                self._unknown(source, item.sid, item.grant, item.stanza.to, item)
            elif self._allowed(session, source):
                verdict = session.deliver(
                    item.grant, item.n, item.origin_stream, item.origin_n, item.stanza, None
                )
                if verdict is Verdict.STALE:
                    self._stale(item.stanza.to, item.grant)
            return
        handler = self.handlers.get(item.__class__)
        if handler is None:
            _log.warning("edge_unexpected_item", item=type(item).__name__, source=source)
        else:
            handler(source, item)

    def _table(self) -> dict[type, Callable[[str, Any], None]]:
        """Who handles what else, (source, item)."""
        return {
            DeliverMany: self._many,
            Accepted: self._on_accepted,
            Copied: self._on_copied,
            End: self._end,
            Note: self._on_note,
            Noted: self._on_noted,
            MirrorRequest: lambda _, item: self.successors.mirror(item),
            Mirror: lambda _, item: self.late.inherit(item, self.partition),
        }

    def _on_accepted(self, source: str, item: Accepted) -> None:
        self.accepted(self._heard(source, item.uids, False))

    def _on_copied(self, source: str, item: Copied) -> None:
        self.streams.accepted(self._heard(source, item.uids, True), True)

    def _heard(self, source: str, uids: Sequence[Uid], copied: bool) -> Sequence[Uid]:
        return self.streams.sifted(uids, copied, self.attachments.lost_by(source), self.endings.partition)

    def _on_note(self, source: str, item: Note) -> None:
        session = self._by_sid.get(item.sid)
        if session is None:
            self._early.keep(item.sid, source, item)
        elif session.grant == item.grant and self._allowed(session, source):
            session.mirror.note = item.note
            # Once set it stays: a direct way would overtake what is still on the longer one.
            session.own_first |= item.own_first
            session.copies = item.copies

    def _on_noted(self, source: str, item: Noted) -> None:
        session = self._by_sid.get(item.sid)
        if session is not None and session.grant == item.grant and self._allowed(session, source):
            if session.manager is not None:
                session.manager.noted(item.n)
            if item.stored and session in self._asleep:
                self._drop(session)

    def accepted(self, uids: Sequence[Uid]) -> None:
        """The next custodians have these stanzas of our streams."""
        self.streams.accepted(uids, False)

    def _allowed(self, session: Session, source: str) -> bool:
        return self.attachments.allows(session.partition, source)

    def _many(self, source: str, item: DeliverMany) -> None:
        stanza, _, stream, origin_n = item
        for sid, grant, n, to in item.targets:
            session = self._by_sid.get(sid)
            if session is None:
                self._unknown(
                    source, sid, grant, to, DeliverMany(stanza, ((sid, grant, n, to),), stream, origin_n)
                )
            elif (
                self._allowed(session, source)
                and session.deliver(grant, n, stream, origin_n, stanza, to) is Verdict.STALE
            ):
                self._stale(to, grant)

    def _unknown(self, source: str, sid: int, grant: int, to: str, item: Item) -> None:
        if not self._early.keep(sid, source, item):
            self._stale(to, grant)

    def _stale(self, to: str, grant: int) -> None:
        """The router has a session that we do not have (it missed an Unbind): tell it."""
        if "/" in to and not self.endings.knows(to, grant):
            self.unbind(to, grant, "gone")

    def _end(self, source: str, item: End) -> None:
        session = self._by_sid.get(item.sid) if item.sid else None
        if session is None and item.stream:
            session = self.streams.get(item.stream)
        if session is None:
            self._early.keep(item.sid, source, item)
            return
        if session.grant != item.grant and (item.sid or session.manager is not None):
            return
        if session.connection is None:
            if session in self._asleep:
                self._drop(session)
            return
        condition = item.condition if item.condition in STREAM_CONDITIONS else "undefined-condition"
        self._ending = session
        session.connection.fail(StreamError(condition, item.text or None))
        self._ending = None

    # --- time ---

    def ack(self, session: Session) -> None:
        """Report that the session's deliveries have left: at once when they are many, else soon."""
        if self._acks.add(session.sid, session.mirror.acked):
            self._report(session)
        elif self._ack_at == NEVER:
            self._ack_at = self._reactor.now + ACK_SECONDS
            self._reactor.at(self, self._ack_at)

    def watch_iqs(self, due: float = 0.0) -> None:
        """An iq is open: its deadline is a timer, at `due` when it began before."""
        if due or not self.wake_slot:
            self._reactor.at(self, due or self._reactor.now + self._limits.iq_seconds)

    def on_timer(self, now: float) -> float:
        """Send acknowledgements and answer requests that nobody else did."""
        if now >= self._ack_at:
            self.send_acks()
        for key, n in self.iqs.expire(now):
            session = self._by_sid.get(key.sid)
            if session is not None:
                # Under the uid of the answer: the real one, should it still come, is not given as well.
                uid = answering(Origin(session.stream, n, "")) if n else NOBODY
                self.post(Kind.ROUTER, session.partition, Route(uid, timeout_answer(key, session.full)))
        due = self.iqs.due()
        return min(self._ack_at, NEVER if due is None else due)

    def send_acks(self) -> None:
        """Report everything that has left by now."""
        self._ack_at = NEVER
        for sid in self._acks.take():
            self._report(self._by_sid[sid])

    def _report(self, session: Session) -> None:
        self.post(Kind.ROUTER, session.partition, Acked(session.full, session.grant, session.mirror.acked))

    def tick(self, now: float) -> None:
        """Once a second: metrics, and what has waited too long."""
        self.counters.pump()
        metrics.C2S_SESSIONS.set(len(self._by_sid))
        metrics.UNACCEPTED.set(self.unaccepted)
        self.endings.tick(now)
        self.streams.tick(now)
        self.late.tick(now, self.streams.slow(now))
        for session in [one for one in self._asleep if one.manager is None or one.manager.until < now]:
            self._drop(session)
        for session in [s for s in self.holes if s.hole_since == 0.0 or s.hole_since < now - HOLE_SECONDS]:
            self.holes.discard(session)
            if session.hole_since and session.connection is not None:
                _log.warning("delivery_missing", account=session.bare, n=session.mirror.n + 1)
                if session.manager is not None and session.manager.resumable:
                    session.connection.abort("lost")  # the router has it for whoever resumes
                else:
                    session.connection.fail(StreamError("internal-server-error", "a delivery was lost"))
