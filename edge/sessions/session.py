"""A bound stream: checks and stamps what its client sends, and takes what its router delivers.

The two hot paths of an edge are `take` and `deliver`; neither does I/O. What may be said of a stanza without any table is
checked here (RFC 6120 sections 8.1 to 8.3); everything else is the routers' business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

from rookery.edge.counters import SAMPLE
from rookery.edge.sessions.asked import Asked
from rookery.edge.sessions.line import Line
from rookery.edge.sessions.management.manager import Managed
from rookery.edge.sessions.mirror import SessionMirror, Verdict
from rookery.edge.sessions.open_iqs import IqKey
from rookery.edge.sessions.surroundings import PRESENCE_TYPES, Surroundings
from rookery.edge.sessions.watching import Watch
from rookery.shared.bus.messages import (
    NOBODY,
    ROUTER_ASKS,
    Bound,
    ClientState,
    Copy,
    Kind,
    MirrorSession,
    Origin,
    Route,
    Submit,
)
from rookery.shared.bus.oversize import LARGEST, fitting, too_large
from rookery.shared.custody.inflight import Entry, Inflight, Place
from rookery.shared.custody.successors import Successors
from rookery.shared.observe import metrics
from rookery.shared.xeps.stream_management import DIGEST_BITS, uid_number
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import MAX_PART, Jid, bare_of
from rookery.shared.xmpp.stanza import NO_LANG, Stanza

_REQUESTS: Final = frozenset({"get", "set"})
_ANSWERS: Final = frozenset({"result", "error"})
#: Message types that are delivered at most once.
_ONCE: Final = frozenset({"headline", "error"})
#: What a kept stanza weighs besides its inner XML.
_OVERHEAD: Final = 200
#: Where stanzas go, by partition; made once.
_ROUTERS: Final[tuple[Place, ...]] = tuple((Kind.ROUTER, partition) for partition in range(256))
#: The constructors of NamedTuples are Python functions around this call.
_new: Final = tuple.__new__


class Table(Surroundings):
    """The table that a session stands in, as the session sees it."""

    #: Sessions with un-accepted stanzas, and those by what they wait for.
    unsettled: set[Session]
    waiting: Successors[Session]
    #: Sessions that miss a delivery, and those that got stored messages lately.
    holes: set[Session]
    flushed: set[Session]

    def ack(self, session: Session) -> None:
        """Report that the session's deliveries have left: at once when they are many, else soon."""
        raise NotImplementedError


class Session(Managed):
    """One bound stream."""

    __slots__ = (
        "_inflight", "_marks", "active", "asked", "bare", "copies", "hole_since", "lang", "own_first", "ping", "sessions", "stream",
        "watch",
    )  # fmt: skip

    def __init__(self, sessions: Table, connection: Line, sid: int, stream: bytes, bound: Bound) -> None:
        bare = bare_of(bound.full)
        partition = sessions.partition(bare)
        mirror = SessionMirror(bound.grant, sessions.late, partition, stream)
        super().__init__(connection, sid, bound, partition, mirror)
        self.sessions = sessions
        self._inflight: Inflight | None = None
        #: While the socket is slow: (bytes queued so far, number delivered with them).
        self._marks: deque[tuple[int, int]] | None = None
        self.stream = stream
        self.bare = bare
        #: The language of its stanzas that name none.
        self.lang = ""
        #: Since when a delivery is missing (0.0: none is).
        self.hole_since = 0.0
        #: Everything goes to the own router first: it refuses what goes to blocked contacts.
        self.own_first = bound.own_first
        #: The own router also gets a copy of each message: for the archive, for carbons.
        self.copies = bound.copies
        #: What the client last said of itself (XEP-0352), None while it has said nothing.
        self.active: bool | None = None
        #: Requests that the client was given, None while there were none.
        self.asked: Asked | None = None
        #: What an operator sees of it, None while nobody looks.
        self.watch: Watch | None = None
        #: The id of our ping that the client has not answered, "" when none is.
        self.ping = ""

    @property
    def resource(self) -> str:
        """Its resourcepart."""
        return self.full[len(self.bare) + 1 :]

    # --- from the client ---

    def client_state(self, active: bool) -> None:
        """The client said whether somebody looks at it; its router acts on that."""
        if self.active is not active:
            self.active = active
            self.tell_client_state()

    def tell_client_state(self) -> None:
        """Tell the router, or its successor."""
        if self.active is not None:
            self.sessions.post(Kind.ROUTER, self.partition, ClientState(self.full, self.grant, self.active))

    def take(self, stanza: Stanza) -> None:
        """One stanza of the client: give it to the cluster, or answer it with an error."""
        sessions = self.sessions
        self.n = n = self.n + 1
        if len(stanza.inner) > LARGEST:
            self._take_large(stanza)
            return
        kind, type_, to, _, id_, lang, attrs, payloads, inner = stanza
        sessions.counters.stanzas_in[kind] += 1
        if self.watch is not None:
            self.watch.note(self.full, True, stanza)
        if n % SAMPLE == 1:
            metrics.STANZA_BYTES.observe(len(inner) + _OVERHEAD)
        target: Jid | None = None
        if to:
            try:
                target = Jid.parse(to)
            except JidError:
                self._refuse(stanza, StanzaError("jid-malformed"))
                return
            to = target.full
        if self.manager is not None:
            n = uid_number(n, to, id_, inner)
        deadline = 0
        if kind != "message":
            if not self._check(stanza, target, n):
                return
            if type_ in _REQUESTS:
                deadline = sessions.iq_deadline
        if not lang and NO_LANG not in attrs:
            lang = self.lang
        stamped = _new(Stanza, (kind, type_, to, self.full, id_, lang, attrs, payloads, inner))
        origin = _new(Origin, (self.stream, n, sessions.incarnation, deadline, 0))
        if (
            target is None
            or target.local is None
            or kind == "presence"
            or self.own_first
            or to == self.bare
            or target.domain not in sessions.account_domains
        ):
            item: Submit | Route = _new(Submit, (origin, self.full, self.grant, stamped))
            partition = self.partition
        else:
            item = _new(Route, (origin, stamped))
            partition = sessions.partition(target.bare)
        sessions.post(Kind.ROUTER, partition, item)
        copy: Entry | None = None
        if kind == "message":
            once = type_ in _ONCE
            # (a room archives what it is told; errors and headlines may have carbons)
            if self.copies and type_ != "groupchat" and target is not None and target.bare != self.bare:
                copy = self._copy(origin, item, stamped)
        else:
            once = kind == "iq" and target is not None and target.resource is not None
        self._keep(
            n, _new(Entry, (_ROUTERS[partition], item, len(inner) + _OVERHEAD, once, sessions.now)), copy
        )

    def _take_large(self, stanza: Stanza) -> None:
        """No bus message carries it: whoever waits for this answer gets an error, else the client does."""
        less = fitting(stanza)
        if less is None:
            self._refuse(stanza, too_large())
            return
        self.n -= 1  # (it counts once)
        self.take(less)

    def _copy(self, origin: Origin, item: Submit | Route, stanza: Stanza) -> Entry:
        """The second leg of a message: what goes to the own router first says both."""
        asked: Submit | Route | Copy = item
        if isinstance(item, Route):
            asked = _new(Copy, (origin, self.full, self.grant, stanza))
            self.sessions.post(Kind.ROUTER, self.partition, asked)
        place = _ROUTERS[self.partition]
        return _new(Entry, (place, asked, len(stanza.inner) + _OVERHEAD, False, self.sessions.now))

    def _keep(self, n: int, entry: Entry, copy: Entry | None) -> None:
        inflight = self._inflight
        if inflight is None:
            inflight = self._inflight = self.sessions.new_inflight()
        self.sessions.waiting.stale = True
        if not len(inflight):
            self.sessions.unsettled.add(self)
        if inflight.add(n, entry, copy) and self.connection is not None:
            self.connection.full()

    def _check(self, iq: Stanza, target: Jid | None, n: int) -> bool:
        """RFC 6120 section 8.2.3, RFC 6121 section 4.7.1. True when it is to be sent on; `n` is its number in its uid."""
        if iq.kind == "presence":
            if iq.type not in PRESENCE_TYPES:
                self._refuse(iq, StanzaError("bad-request"))
            return iq.type in PRESENCE_TYPES
        if iq.type in _REQUESTS:
            if not iq.id or len(iq.payloads) != 1:
                self._refuse(iq, StanzaError("bad-request"))
                return False
            own = target is None or target.full == self.bare
            if iq.payloads[0][0] == ns.BIND and (own or (target is not None and target.local is None)):
                self._refuse(iq, StanzaError("not-allowed", "a resource is bound already"))
                return False
            key = IqKey(self.sid, iq.id, "" if own or target is None else target.full)
            if self.manager is not None and self.manager.was_answered(key):
                return True  # the client has resumed, and cannot know how much of what it sent was taken
            if not self.sessions.iqs.open(key, self.sessions.now, n):
                self._refuse(iq, StanzaError("resource-constraint", "too many open requests"))
                return False
            self.sessions.watch_iqs()
            return True
        if iq.type not in _ANSWERS:
            self._refuse(iq, StanzaError("bad-request"))
            return False
        if self.ping and iq.id == self.ping:
            self.ping = ""
            return False
        if self.asked is not None and target is not None:
            self.asked.answered(target.full, iq.id)
        # An answer to the server itself (to a roster push) or without an id interests nobody, but for what its router asks (XEP-0115).
        if target is None or target.full == self.bare:
            return iq.id.startswith(ROUTER_ASKS)
        return bool(iq.id) and len(iq.payloads) <= 2

    def _refuse(self, stanza: Stanza, error: StanzaError) -> None:
        """Answer with an error, unless that could loop (RFC 6120 section 8.3.1); the router numbers it like all else."""
        if stanza.type == "error" or (stanza.kind == "iq" and stanza.type == "result"):
            return
        sender = stanza.to if len(stanza.to) <= 3 * MAX_PART else self.bare
        self.tell(stanza.replace(from_=self.full, to=sender or self.bare).error(error))

    def tell(self, stanza: Stanza) -> None:
        """Let the router deliver a stanza of the edge's own making to this session."""
        self.sessions.post(Kind.ROUTER, self.partition, Route(NOBODY, stanza))

    # --- from the cluster ---

    def place(self, n: int, copied: bool) -> Place | None:
        """Who has to say of stanza `n` that it is taken, or (`copied`) that the own router has done its part."""
        return None if self._inflight is None else self._inflight.place(n, copied)

    def accepted(self, n: int, copied: bool = False) -> bool:
        """The cluster has taken stanza `n`, or (`copied`) the own router has done its part. True when nothing is left open."""
        inflight = self._inflight
        if inflight is None:
            return True
        if copied:
            inflight.copied(n)
        else:
            inflight.accepted(n)
        if self.connection is not None and self.connection.is_full and inflight.room:
            self.connection.roomy()
        if len(inflight):
            return False
        self.sessions.unsettled.discard(self)
        self._inflight = None
        return True

    @property
    def asleep(self) -> bool:
        """Whether its socket is gone and its mirror is kept for its router."""
        return self.manager is not None and self.manager.until > 0.0

    def frontier(self) -> int:
        """The highest inbound number of a managed stream with nothing un-handled at or below it."""
        inflight = self._inflight
        if inflight is None:
            return self.n
        # Numbers in uids grow with n.
        return ((inflight.frontier(((self.n + 1) << DIGEST_BITS) - 1) + 1) >> DIGEST_BITS) - 1

    def describe(self) -> Iterable[MirrorSession]:
        """This session for a new holder of its partition."""
        mirror, manager = self.mirror, self.manager
        if manager is None or not manager.resumable:
            return (mirror.describe(self.sid, self.stream, self.full),)
        return mirror.parts(self.sid, self.stream, self.full, manager.describe())

    def acknowledge(self) -> None:
        """Report soon what the client has."""
        self.sessions.ack(self)

    def forget_marks(self) -> None:
        """The client itself will say what it has."""
        self._marks = None

    def waits(self, before: float) -> bool:
        """Whether a stanza of it has waited for its acceptance since before that time, in seconds of the loop's clock."""
        return self._inflight is not None and self._inflight.waits(before)

    @property
    def unaccepted(self) -> int:
        """How many stanzas are not accepted yet."""
        return 0 if self._inflight is None else len(self._inflight)

    def give_up(self) -> None:
        """Nobody will ever accept what is open."""
        if self._inflight is not None:
            self._inflight.clear()
            self._inflight = None

    def places(self) -> Collection[Place]:
        """Where something was sent that is not handled."""
        return () if self._inflight is None else self._inflight.places()

    def again(
        self, places: Collection[Place], before: float = float("inf"), same: bool = False
    ) -> list[Entry]:
        """What has to be sent again to these places (see `Inflight.again`)."""
        if self._inflight is None:
            return []
        entries = self._inflight.again(places, before, same)
        if self.connection is not None and self.connection.is_full and self._inflight.room:
            self.connection.roomy()
        if not len(self._inflight):
            self.sessions.unsettled.discard(self)
            self._inflight = None
        return entries

    def deliver(
        self, grant: int, n: int, origin_stream: bytes, origin_n: int, stanza: Stanza, to: str | None
    ) -> Verdict:
        """Take delivery `n` and queue it for the client."""
        manager = self.manager
        if manager is not None and manager.waiting is not None:
            manager.waiting.append((grant, n, origin_stream, origin_n, stanza, to))
            return Verdict.REPEATED
        verdict = self.mirror.take(grant, n, origin_stream, origin_n, stanza, to)
        if verdict is not Verdict.TAKE:
            if verdict is Verdict.HOLE and not self.hole_since:
                self.hole_since = self.sessions.clock()
                self.sessions.holes.add(self)
            return verdict
        if self.hole_since:
            self.hole_since = 0.0
        if origin_n and not origin_stream:
            self.sessions.flushed.add(self)
        connection = self.connection
        if connection is None:
            return verdict
        if stanza.kind == "iq":
            sender = stanza.from_
            if stanza.type in _ANSWERS:
                key = IqKey(self.sid, stanza.id, "" if sender == self.bare else sender)
                asked = self.sessions.iqs.answered(key)
                if manager is not None:
                    manager.answered(key, asked >> DIGEST_BITS)
            elif origin_stream:
                if self.asked is None:
                    self.asked = Asked()
                self.asked.add(sender, stanza.id, origin_stream, origin_n)
        self.sessions.counters.stanzas_out[stanza.kind] += 1
        if self.watch is not None:
            self.watch.note(self.full, False, stanza)
        queued = connection.send(stanza.encode(connection.xmlns, to))
        if manager is not None:
            manager.sent(connection, n)
        elif connection.slow:
            if self._marks is None:
                self._marks = deque()
            self._marks.append((queued, n))
        return verdict

    def progress(self, sent: int, drained: bool) -> None:
        """Bytes have left the server: report what was delivered with them (a managed client does that by itself)."""
        if self.manager is not None:
            return
        marks = self._marks
        if drained:
            self._marks = None
            n = self.mirror.n
        elif not marks:
            return
        else:
            n = 0
            while marks and marks[0][0] <= sent:
                n = marks.popleft()[1]
        if self.mirror.written(n):
            self.sessions.ack(self)
