"""One client: joins a transport (TCP or WebSocket) with parser, negotiation and session.

What a turn may do is bounded here; what the cluster has to answer is asked in short tasks. There is no task for a connection.
What is written, the deadlines and the end are in `edge.lifetime`, the base.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from rookery.edge.context import Context, Owner
from rookery.edge.door.limits import Shaper, weight
from rookery.edge.features import Security
from rookery.edge.framing import Framing
from rookery.edge.lifetime import Lifetime
from rookery.edge.login import Login
from rookery.edge.managing import on_element
from rookery.edge.session import Session
from rookery.shared.net.timers import NEVER
from rookery.shared.net.transport import ASKING, BACKLOG, CONGESTED, FULL, SHAPED
from rookery.shared.observe import metrics
from rookery.shared.xeps import client_state, stream_management
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event, FrameParser, StreamClosed
from rookery.shared.xmpp.xml import Element

#: Stanzas that one connection may send in one turn.
TURN_STANZAS: Final = 64
#: What ends a turn early, and what keeps a backlog waiting.
_PAUSED: Final = ASKING | FULL
_BUSY: Final = _PAUSED | SHAPED
_CLIENT_STATES: Final = frozenset({"active", "inactive"})
_LIMITED: Final = metrics.RATELIMIT.labels("session")


class Connection(Lifetime):
    """See the module's text."""

    __slots__ = ("_epoch", "_owner", "host", "is_full")

    def __init__(
        self,
        context: Context,
        framing: Framing,
        security: Security,
        host: str,
        owner: Owner,
    ) -> None:
        super().__init__(context, framing)
        #: The client's address.
        self.host = host
        self._owner = owner
        self._login = Login(self, context, security, framing)
        #: Changes with every restart: what a loop over events then still has is not to be handled.
        self._epoch = 0
        self.is_full = False

    @property
    def slow(self) -> bool:
        """Whether the socket does not take what is written."""
        return self.transport.since != 0.0

    def start(self, *, tls: bool = False) -> None:
        """The transport is attached; with `tls`, a handshake comes first."""
        if tls:
            self._handshake = self._context.reactor.clock() + self._context.limits.tls_seconds
        self._context.reactor.at(self, min(self._deadline, self._handshake))

    # --- bytes in ---

    def on_source(self, host: str) -> bool:
        """A load balancer named the client ("": it speaks for itself)."""
        return self._owner.arrived(self, host)

    def on_data(self, data: bytes) -> None:
        """Bytes of a TCP stream, or one message of a WebSocket."""
        if self.reason:
            return
        context = self._context
        now = self._heard = context.reactor.now
        self._pinged = 0.0
        context.sessions.counters.bytes_in += len(data)
        if self._quiet:
            self._quiet = False
            self._watch(now)
        parser = self._parser
        events = parser.feed_message(data) if isinstance(parser, FrameParser) else parser.feed(data)
        if not events:
            self._shape(len(data), 0)
            return
        session = self.session
        if (
            session is not None
            and len(events) == 1
            and events[0].__class__ is Stanza
            and self._backlog is None
        ):
            # The usual case, without the care that many events need.
            session.take(events[0])
            self._shape(len(data), 1 if self._shaper is None else weight(events[0]))
            if context.is_congested:
                self._congested()
        else:
            self._shape(len(data), 0)
            self._handle(events)

    def _shape(self, size: int, stanzas: int) -> None:
        shaper = self._shaper
        if shaper is not None and shaper.take(size, stanzas, self._heard):
            if not self.transport.held & SHAPED:
                _LIMITED.inc()
            self.transport.hold(SHAPED)
            self._context.reactor.at(self, shaper.until)

    def _handle(self, events: Iterable[Event]) -> None:
        """Handle events in order, as many as a turn allows; keep the rest."""
        if self._backlog is not None:
            self._backlog.extend(events)
            return
        session = self.session
        shaper = self._shaper
        budget = TURN_STANZAS
        spent = 0
        epoch = self._epoch
        rest = iter(events)
        for event in rest:
            if session is not None and event.__class__ is Stanza:
                session.take(event)
            else:
                self._other(event)
                session = self.session
            budget -= 1
            spent += 1 if shaper is None else weight(event)
            if self.reason:
                return
            if epoch != self._epoch:
                # What came in clear behind <starttls/> is forgotten; behind anything else a client has to wait.
                in_clear = self._login is not None and self._login.in_handshake
                if not in_clear and next(rest, None) is not None:
                    self.fail(StreamError("policy-violation", "wait for the restart of the stream"))
                return
            if budget <= 0 or self.transport.held & _PAUSED:
                break
        self._shape(0, spent)
        left = deque(rest)
        if left:
            self._backlog = left
            self.transport.hold(BACKLOG)
            if not self.transport.held & _BUSY:
                self.transport.again()
        elif session is not None and self._context.is_congested:
            self._congested()

    def _congested(self) -> None:
        if not self.transport.held & CONGESTED:
            self.transport.hold(CONGESTED)
            self._context.congested.append(self)

    def on_again(self) -> None:
        """Handle what an earlier turn left."""
        if self._backlog is None or self.reason or self.transport.held & _BUSY:
            return
        left = self._backlog
        self._backlog = None
        self._handle(left)
        if not self._behind and not self.reason:
            self.transport.release(BACKLOG)

    @property
    def _behind(self) -> bool:
        """Whether events of an earlier read are not handled yet."""
        return self._backlog is not None

    def full(self) -> None:
        """The session has as many un-accepted stanzas as it may have."""
        self.is_full = True
        self.transport.hold(FULL)

    def roomy(self) -> None:
        """The session may send again."""
        self.is_full = False
        self._resume(FULL)

    def uncongested(self) -> None:
        """The bus has room again."""
        if not self.reason:
            self._resume(CONGESTED)

    # --- negotiation ---

    def _other(self, event: Event) -> None:
        """What is no stanza of a session."""
        login = self._login
        if login is not None:
            login.handle(event)
        elif isinstance(event, StreamClosed):
            self.end("closed", None, closing=True)
        elif isinstance(event, Element) and event.ns == stream_management.NS:
            assert self.session is not None
            on_element(self.session, self, event)
        elif isinstance(event, Element) and event.ns == client_state.NS and event.name in _CLIENT_STATES:
            assert self.session is not None
            self.session.client_state(event.name == "active")
        else:
            self.fail(event if isinstance(event, StreamError) else StreamError("unsupported-stanza-type"))

    def ask(self, question: Callable[[], Awaitable[None]]) -> None:
        """Run `question` in a task of its own; nothing more of this stream is handled until `answered`."""
        self.transport.hold(ASKING)
        self._context.spawn(question)

    def answered(self) -> None:
        """The answer has been applied."""
        if not self.reason:
            self._resume(ASKING)

    def restart(self, *, tls: bool = False) -> None:
        """The stream begins anew: what came before is not of the new one.

        Before TLS it came in clear and is forgotten (RFC 6120 section 5.4.3.3); after SASL a client has to wait for our answer.
        """
        self._epoch += 1
        left = self._backlog
        self._backlog = None
        self._parser.close()
        self._parser = self._new_parser(authenticated=self._login is None or bool(self._login.account))
        self.transport.release(BACKLOG)
        if left and not tls:
            self.fail(StreamError("policy-violation", "wait for the restart of the stream"))

    def start_tls(self, domain: str) -> None:
        """`<proceed/>` is queued: begin the handshake."""
        self.restart(tls=True)
        self.start(tls=True)
        if not self.transport.secure(domain):
            self.end("tls", None)

    def until(self, seconds: float) -> None:
        """Give negotiation so long from now."""
        self._deadline = self._context.reactor.clock() + seconds
        self._context.reactor.at(self, self._deadline)

    def on_secure(self, binding: bytes | None = None) -> None:
        """The TLS handshake is done."""
        self._handshake = NEVER
        if self._login is not None and not self.reason:
            self._login.secured(binding)

    def begin(self, session: Session) -> None:
        """The resource is bound: negotiation is forgotten, the session's limits begin."""
        context = self._context
        self.session = session
        self._login = None
        self._deadline = NEVER
        now = context.reactor.clock()
        if self.host not in context.exempt:
            self._shaper = Shaper(context.limits, now)
        self._watch(now)
        context.sessions.replay_early(session)

    def on_lost(self, reason: str) -> None:
        """The transport is closed."""
        if not self.reason:
            self.reason = reason
            self._release(reason, resumable=True)
        self._owner.left(self)
