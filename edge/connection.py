"""One client: joins a transport (TCP or WebSocket) with parser, negotiation and session.

What a turn may do is bounded here; what the cluster has to answer is asked in short tasks; all deadlines of the connection
live in `on_timer`. There is no task for a connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from rookery.edge import iqs
from rookery.edge.context import Congested, Context, Owner
from rookery.edge.features import Security
from rookery.edge.framing import TCP, WEBSOCKET, Framing
from rookery.edge.limits import Shaper
from rookery.edge.login import Login
from rookery.edge.managing import on_element
from rookery.edge.session import Session
from rookery.edge.timers import NEVER
from rookery.edge.transport import ASKING, BACKLOG, CONGESTED, FULL, SHAPED, Transport
from rookery.shared.observe import metrics
from rookery.shared.xeps import client_state, stream_management
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event, FrameParser, StreamClosed, StreamParser
from rookery.shared.xmpp.xml import Element

#: Stanzas that one connection may send in one turn.
TURN_STANZAS: Final = 64
#: After so many quiet seconds the XML parser is freed until the next byte.
HIBERNATE_SECONDS: Final = 10.0
#: How long a closed stream may take to say its last words.
LINGER_SECONDS: Final = 2.0
#: What ends a turn early, and what keeps a backlog waiting.
_PAUSED: Final = ASKING | FULL
_BUSY: Final = _PAUSED | SHAPED
_CLIENT_STATES: Final = frozenset({"active", "inactive"})
#: A managed session may have so much more unwritten: all that its router keeps comes at once after a resumption.
_RESUMED_BYTES: Final = 8 * 1024 * 1024
#: `<r/>` over TCP and over WebSocket.
REQUEST: Final = tuple(framing.element(Element(stream_management.NS, "r")) for framing in (TCP, WEBSOCKET))
_LIMITED: Final = metrics.RATELIMIT.labels("session")


class Connection(Congested):
    """See the module's text."""

    __slots__ = (
        "_backlog", "_context", "_deadline", "_epoch", "_framing", "_handshake", "_heard", "_login", "_owner",
        "_parser", "_pinged", "_quiet", "_shaper", "host", "is_full", "reason", "session",
        "transport", "wake_slot", "xmlns",
    )  # fmt: skip
    transport: Transport

    def __init__(
        self,
        context: Context,
        framing: Framing,
        security: Security,
        host: str,
        owner: Owner,
    ) -> None:
        now = context.reactor.clock()
        self._context = context
        self._framing = framing
        #: The client's address.
        self.host = host
        self._owner = owner
        self._login: Login | None = Login(self, context, security, framing)
        self._parser = self._new_parser()
        self._backlog: deque[Event] | None = None
        self._shaper: Shaper | None = None
        #: Changes with every restart: what a loop over events then still has is not to be handled.
        self._epoch = 0
        self._heard = now
        self._pinged = 0.0
        self._quiet = False
        #: Absolute end of negotiation, later of lingering; NEVER for a session.
        self._deadline = now + context.limits.preauth_seconds
        self._handshake = NEVER
        #: Why the stream is over, "" while it is not; its transport may still linger.
        self.reason = ""
        self._sid = 0
        self.session: Session | None = None
        self.is_full = False
        self.wake_slot = 0
        self.xmlns = framing.xmlns

    @property
    def slow(self) -> bool:
        """Whether the socket does not take what is written."""
        return self.transport.since != 0.0

    def start(self, *, tls: bool = False) -> None:
        """The transport is attached; with `tls`, a handshake comes first."""
        if tls:
            self._handshake = self._context.reactor.clock() + self._context.limits.tls_seconds
        self._context.reactor.at(self, min(self._deadline, self._handshake))

    def _new_parser(self) -> StreamParser | FrameParser:
        authenticated = self._login is None or self._login.account
        limits = self._context.after if authenticated else self._context.before
        return FrameParser(limits) if self._framing.websocket else StreamParser(limits)

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
            context.reactor.at(self, now + min(HIBERNATE_SECONDS, context.limits.idle_seconds))
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
            self._shape(len(data), 1)
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
        budget = TURN_STANZAS
        epoch = self._epoch
        rest = iter(events)
        for event in rest:
            if session is not None and event.__class__ is Stanza:
                session.take(event)
            else:
                self._other(event)
                session = self.session
            budget -= 1
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
        self._shape(0, TURN_STANZAS - budget)
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
        left, self._backlog = self._backlog, None
        self._handle(left)
        if self._backlog is None and not self.reason:
            self.transport.release(BACKLOG)

    def _resume(self, reason: int) -> None:
        self.transport.release(reason)
        if self._backlog is not None:
            self.transport.again()

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
        left, self._backlog = self._backlog, None
        self._parser.close()
        self._parser = self._new_parser()
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
        context.reactor.at(self, now + min(HIBERNATE_SECONDS, context.limits.idle_seconds))
        context.sessions.replay_early(session)

    # --- out ---

    def send(self, data: bytes) -> int:
        """Queue a stanza; returns how many bytes have been queued in all. A client that does not read is closed."""
        transport = self.transport
        transport.write(data)
        self._context.sessions.counters.bytes_out += len(data)
        if transport.since and transport.waiting > self._context.limits.outbox_bytes:
            managed = self.session is not None and self.session.manager is not None
            if not managed or transport.waiting > self._context.limits.outbox_bytes + _RESUMED_BYTES:
                transport.abort("slow")
        return transport.queued

    def say(self, element: Element) -> None:
        """Write an element that is no stanza."""
        self.send(self._framing.element(element))

    def ask_client(self) -> None:
        """Ask what the client has (XEP-0198 section 4)."""
        self.send(REQUEST[self._framing.websocket])

    def wake(self, at: float) -> None:
        """Look at the deadlines at `at`."""
        self._context.reactor.at(self, at)

    def vacate(self) -> bool:
        """Give up the socket of a stream that its client can resume elsewhere; False when it cannot."""
        session = self.session
        if session is None or session.manager is None or not session.manager.resumable:
            return False
        self.transport.abort("shutdown")
        return True

    def on_progress(self, drained: bool) -> None:
        """The socket took bytes."""
        transport = self.transport
        if self.session is not None:
            self.session.progress(transport.queued - transport.waiting, drained)
        if not drained:
            self._context.reactor.at(self, transport.since + self._context.limits.outbox_seconds)

    # --- the end ---

    def fail(self, error: StreamError) -> None:
        """Close with a stream error."""
        if self.reason:
            return
        if self._login is not None:
            self._login.fail(error)
        else:
            self.transport.write(self._framing.error(error))
            self.end("error", error, closing=True)

    def end(self, reason: str, error: StreamError | None, *, closing: bool = False) -> None:
        """The stream is over: release what it holds, and let the transport finish."""
        if self.reason:
            return
        if error is not None:
            metrics.STREAM_ERRORS.labels(error.condition).inc()
            reason = error.condition
        if closing:
            self.transport.write(self._framing.close())
        self.reason = reason
        # The client may not know that the stream is over when it is because nothing came from it.
        self._release(reason, reason == "connection-timeout")
        self._deadline = self._context.reactor.clock() + LINGER_SECONDS
        self._context.reactor.at(self, self._deadline)
        self.transport.finish()

    def _release(self, reason: str, resumable: bool) -> None:
        self._parser.close()
        self._backlog = None
        self._login = None
        session, self.session = self.session, None
        if session is not None:
            self._context.sessions.close(session, reason, resumable)

    def on_lost(self, reason: str) -> None:
        """The transport is closed."""
        if not self.reason:
            self.reason = reason
            self._release(reason, resumable=True)
        self._owner.left(self)

    # --- time ---

    def on_timer(self, now: float) -> float:
        """All deadlines of the connection."""
        transport = self.transport
        if not transport.open:
            return NEVER
        if now >= min(self._deadline, self._handshake):
            self._late()
            return self._deadline if transport.open else NEVER
        limits = self._context.limits
        following = min(self._deadline, self._handshake)
        if transport.since:
            stalled = transport.since + limits.outbox_seconds
            if now >= stalled:
                transport.abort("slow")
                return NEVER
            following = min(following, stalled)
        if transport.held & SHAPED and self._shaper is not None:
            if now >= self._shaper.until:
                self._resume(SHAPED)
            else:
                following = min(following, self._shaper.until)
        if self.session is not None:
            following = min(following, self._idle(now))
            if self.session is not None and self.session.manager is not None:
                following = min(following, self.session.manager.look(self, self._heard, now))
        return following

    def _late(self) -> None:
        """Negotiation, the handshake or lingering took too long."""
        handshake = self._handshake != NEVER
        self._deadline = self._handshake = NEVER
        if self.reason or handshake:
            self.transport.abort("timeout")
        else:
            self.fail(StreamError("connection-timeout"))

    def _idle(self, now: float) -> float:
        """Free the parser of a quiet session; ask a silent one whether it lives; close a dead one."""
        limits = self._context.limits
        session = self.session
        assert session is not None
        if self._pinged:
            if now < self._pinged + limits.idle_answer_seconds:
                return self._pinged + limits.idle_answer_seconds
            session.ping = ""
            self.fail(StreamError("connection-timeout"))
            return self._deadline
        quiet = now - self._heard
        if quiet >= limits.idle_seconds:
            self._pinged = now
            if session.manager is not None:
                self.ask_client()  # a ping would be a stanza that its router has not numbered
                return now + limits.idle_answer_seconds
            session.ping = f"ping-{self._context.token()}"
            domain = session.bare.partition("@")[2]
            self.send(iqs.ping(session.ping, domain, session.full).encode(self.xmlns))
            return now + limits.idle_answer_seconds
        if quiet >= HIBERNATE_SECONDS:
            self._quiet = True
            self._parser.hibernate()
            return self._heard + limits.idle_seconds
        return self._heard + min(HIBERNATE_SECONDS, limits.idle_seconds)
