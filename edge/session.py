"""A bound stream: checks and stamps what its client sends, and takes what its router delivers.

The two hot paths of an edge are `take` and `deliver`; neither does I/O. What may be said of a stanza without any table is
checked here (RFC 6120 sections 8.1 to 8.3); everything else is the routers' business.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rookery.edge.counters import SAMPLE
from rookery.edge.inflight import Entry, Inflight
from rookery.edge.iqs import Key
from rookery.edge.mirror import SessionMirror, Verdict
from rookery.shared.bus.messages import NOBODY, Kind, Origin, Route, Submit
from rookery.shared.observe import metrics
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import MAX_PART, Jid, bare_of
from rookery.shared.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from rookery.edge.connection import Connection
    from rookery.edge.sessions import Sessions

_REQUESTS: Final = frozenset({"get", "set"})
_ANSWERS: Final = frozenset({"result", "error"})
#: RFC 6121 section 4.7.1; "" is availability.
_PRESENCE: Final = frozenset(
    {"", "unavailable", "error", "probe", "subscribe", "subscribed", "unsubscribe", "unsubscribed"}
)
#: Message types that are delivered at most once.
_ONCE: Final = frozenset({"headline", "error"})
#: What a kept stanza weighs besides its inner XML.
_OVERHEAD: Final = 200
#: The constructors of NamedTuples are Python functions around this call.
_new: Final = tuple.__new__


class Session:
    """One bound stream. `connection` is None once its socket is gone and only un-accepted stanzas are left."""

    __slots__ = (
        "_full", "_inflight", "_marks", "_sessions", "bare", "connection", "full", "grant", "hole_since", "lang",
        "mirror", "n", "own_first", "partition", "ping", "sid", "stream",
    )  # fmt: skip

    def __init__(
        self,
        sessions: Sessions,
        connection: Connection,
        sid: int,
        stream: bytes,
        full: str,
        grant: int,
        lang: str,
    ) -> None:
        self._sessions = sessions
        self._inflight: Inflight | None = None
        #: While the socket is slow: (bytes queued so far, number delivered with them).
        self._marks: deque[tuple[int, int]] | None = None
        self.connection: Connection | None = connection
        self.sid = sid
        self.stream = stream
        self.full = full
        self.bare = bare_of(full)
        self.partition = sessions.partition(self.bare)
        self.grant = grant
        self.lang = lang
        #: Stanzas that came from the client.
        self.n = 0
        self.mirror = SessionMirror(grant)
        #: Since when a delivery is missing (0.0: none is).
        self.hole_since = 0.0
        #: Everything goes to the own router first: it refuses what goes to blocked contacts.
        self.own_first = False
        #: The id of our ping that the client has not answered, "" when none is.
        self.ping = ""

    # --- from the client ---

    def take(self, stanza: Stanza) -> None:
        """One stanza of the client: give it to the cluster, or answer it with an error."""
        sessions = self._sessions
        self.n = n = self.n + 1
        kind, type_, to, _, id_, lang, attrs, payloads, inner = stanza
        sessions.counters.stanzas_in[kind] += 1
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
        deadline = 0
        if kind == "iq":
            if not self._check_iq(stanza, target):
                return
            if type_ in _REQUESTS:
                deadline = sessions.iq_deadline
        elif kind == "presence" and type_ not in _PRESENCE:
            self._refuse(stanza, StanzaError("bad-request"))
            return
        stamped = _new(Stanza, (kind, type_, to, self.full, id_, lang or self.lang, attrs, payloads, inner))
        origin = _new(Origin, (self.stream, n, sessions.incarnation, deadline, 0))
        item: Submit | Route
        if (
            target is None
            or target.local is None
            or kind == "presence"
            or self.own_first
            or to == self.bare
            or target.domain not in sessions.domains
        ):
            item = _new(Submit, (origin, self.full, self.grant, stamped))
            partition = self.partition
        else:
            item = _new(Route, (origin, stamped))
            partition = sessions.partition(target.bare)
        sessions.post(Kind.ROUTER, partition, item)
        if kind == "message":
            once = type_ in _ONCE
        else:
            once = kind == "iq" and target is not None and target.resource is not None
        self._keep(n, _new(Entry, (partition, item, len(inner) + _OVERHEAD, once, sessions.now)))

    def _keep(self, n: int, entry: Entry) -> None:
        inflight = self._inflight
        if inflight is None:
            inflight = self._inflight = self._sessions.new_inflight()
        self._sessions.waiting_for = None
        if not len(inflight):
            self._sessions.unsettled.add(self)
        if inflight.add(n, entry) and self.connection is not None:
            self.connection.full()

    def _check_iq(self, iq: Stanza, target: Jid | None) -> bool:
        """RFC 6120 section 8.2.3. True when the iq is to be sent on."""
        if iq.type in _REQUESTS:
            if not iq.id or len(iq.payloads) != 1:
                self._refuse(iq, StanzaError("bad-request"))
                return False
            own = target is None or target.full == self.bare
            if iq.payloads[0][0] == ns.BIND and (own or (target is not None and target.local is None)):
                self._refuse(iq, StanzaError("not-allowed", "a resource is bound already"))
                return False
            key = Key(self.sid, iq.id, "" if own or target is None else target.full)
            if not self._sessions.iqs.open(key, self._sessions.now):
                self._refuse(iq, StanzaError("resource-constraint", "too many open requests"))
                return False
            self._sessions.watch_iqs()
            return True
        if iq.type not in _ANSWERS:
            self._refuse(iq, StanzaError("bad-request"))
            return False
        if self.ping and iq.id == self.ping:
            self.ping = ""
            return False
        # An answer to the server itself (to a roster push) or without an id interests nobody.
        return target is not None and target.full != self.bare and bool(iq.id) and len(iq.payloads) <= 2

    def _refuse(self, stanza: Stanza, error: StanzaError) -> None:
        """Answer with an error, unless that could loop (RFC 6120 section 8.3.1); the router numbers it like all else."""
        if stanza.type == "error" or (stanza.kind == "iq" and stanza.type == "result"):
            return
        sender = stanza.to if len(stanza.to) <= 3 * MAX_PART else self.bare
        self.tell(stanza.replace(from_=self.full, to=sender or self.bare).error(error))

    def tell(self, stanza: Stanza) -> None:
        """Let the router deliver a stanza of the edge's own making to this session."""
        self._sessions.post(Kind.ROUTER, self.partition, Route(NOBODY, stanza))

    # --- from the cluster ---

    def accepted(self, n: int) -> bool:
        """The cluster has taken stanza `n`. True when nothing is left un-accepted."""
        inflight = self._inflight
        if inflight is None:
            return True
        inflight.accepted(n)
        if self.connection is not None and self.connection.is_full and inflight.room:
            self.connection.roomy()
        if len(inflight):
            return False
        self._sessions.unsettled.discard(self)
        self._inflight = None
        return True

    @property
    def unaccepted(self) -> int:
        """How many stanzas are not accepted yet."""
        return 0 if self._inflight is None else len(self._inflight)

    def targets(self) -> set[int]:
        """The partitions whose routers have not accepted something."""
        return set() if self._inflight is None else self._inflight.partitions()

    def again(self, partitions: frozenset[int], before: float = float("inf")) -> list[Entry]:
        """What has to be sent again to these partitions (see `Inflight.again`)."""
        if self._inflight is None:
            return []
        entries = self._inflight.again(partitions, before)
        if self.connection is not None and self.connection.is_full and self._inflight.room:
            self.connection.roomy()
        if not len(self._inflight):
            self._sessions.unsettled.discard(self)
            self._inflight = None
        return entries

    def deliver(
        self, grant: int, n: int, origin_stream: bytes, origin_n: int, stanza: Stanza, to: str | None
    ) -> Verdict:
        """Take delivery `n` and queue it for the client."""
        verdict = self.mirror.take(grant, n, origin_stream, origin_n, stanza)
        if verdict is not Verdict.TAKE:
            if verdict is Verdict.HOLE and not self.hole_since:
                self.hole_since = self._sessions.clock()
                self._sessions.holes.add(self)
            return verdict
        if self.hole_since:
            self.hole_since = 0.0
        if origin_n and not origin_stream:
            self._sessions.flushed.add(self)
        connection = self.connection
        if connection is None:
            return verdict
        if stanza.kind == "iq" and stanza.type in _ANSWERS:
            sender = stanza.from_
            self._sessions.iqs.answered(Key(self.sid, stanza.id, "" if sender == self.bare else sender))
        self._sessions.counters.stanzas_out[stanza.kind] += 1
        queued = connection.send(stanza.encode(connection.xmlns, to))
        if connection.slow:
            if self._marks is None:
                self._marks = deque()
            self._marks.append((queued, n))
        return verdict

    def progress(self, sent: int, drained: bool) -> None:
        """Bytes have left the server: report what was delivered with them."""
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
            self._sessions.ack(self)
