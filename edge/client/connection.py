"""One client: joins a transport (TCP, WebSocket or BOSH) with parser, negotiation and session.

What a turn may do is bounded here; what the cluster has to answer is asked in short tasks. There is no task for a connection.
It owns a `Login` until a resource is bound, and is the `Line` of its `Session` from then on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from rookery.edge.client.deadlines import Deadlines, Silence
from rookery.edge.client.inbox import Inbox
from rookery.edge.client.limits import Shaper, weight
from rookery.edge.context import Context
from rookery.edge.login.framing import TCP, WEBSOCKET, Framing
from rookery.edge.login.login import Login
from rookery.edge.policy import Security
from rookery.edge.sessions.line import Line
from rookery.edge.sessions.management.manager import on_element
from rookery.edge.sessions.open_iqs import ping
from rookery.edge.sessions.session import Session
from rookery.shared.bus.messages import Bound, Resumed
from rookery.shared.net.channel import Channel
from rookery.shared.net.timers import NEVER
from rookery.shared.net.transport import ASKING, FULL, Transport
from rookery.shared.observe import metrics
from rookery.shared.xeps import client_state, stream_management
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.sasl import external
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event, FrameParser, StreamClosed, StreamLimits
from rookery.shared.xmpp.xml import Element

#: A managed session may have so much more unwritten: all that its router keeps comes at once after a resumption.
_RESUMED_BYTES: Final = 8 * 1024 * 1024
_CLIENT_STATES: Final = frozenset({"active", "inactive"})
#: `<r/>` over TCP and over WebSocket.
REQUEST: Final = tuple([framing.element(Element(stream_management.NS, "r")) for framing in (TCP, WEBSOCKET)])


class Owner(Protocol):
    """Whoever accepted the connection."""

    def arrived(self, connection: Connection, host: str) -> bool:
        """A PROXY header named the client; False closes at once."""

    def left(self, connection: Connection) -> None:
        """The connection is closed."""


class Connection(Line):
    """See the module's text."""

    __slots__ = (
        "_bytes_in", "_context", "_counters", "_deadlines", "_framing", "_inbox", "_login", "_owner", "_since", "host", "session",
        "transport", "wake_slot",
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
        super().__init__(framing.xmlns)
        self._context = context
        self._framing = framing
        #: The client's address.
        self.host = host
        self._owner = owner
        self._counters = context.sessions.counters
        self._deadlines = Deadlines(context.limits, context.reactor.clock())
        self._inbox = Inbox(context, framing.websocket, self)
        self._login: Login | None = Login(self, context, security, framing)
        self.session: Session | None = None
        #: For the line that tells of its end: bytes that came, and when its session began.
        self._bytes_in = 0
        self._since = 0.0
        self.wake_slot = 0

    @property
    def slow(self) -> bool:
        """Whether the socket does not take what is written."""
        return self.transport.since != 0.0

    @property
    def limits(self) -> StreamLimits:
        """What an element of the client may cost by now."""
        return self._inbox.parser.limits

    def start(self, *, tls: bool = False) -> None:
        """The transport is attached; with `tls`, a handshake comes first."""
        self._inbox.transport = self.transport
        deadlines = self._deadlines
        if tls:
            deadlines.handshake = self._context.reactor.clock() + self._context.limits.tls_seconds
        self.wake(deadlines.first)

    # --- bytes in ---

    def on_source(self, host: str) -> bool:
        """A load balancer named the client ("": it speaks for itself)."""
        return self._owner.arrived(self, host)

    def on_data(self, data: bytes) -> None:
        """Bytes of a TCP stream, or one message of a WebSocket."""
        if self.reason:
            return
        parser = self._inbox.parser
        events = parser.feed_message(data) if isinstance(parser, FrameParser) else parser.feed(data)
        self.on_events(events, len(data))

    def on_events(self, events: list[Event], size: int) -> None:
        """What was read, parsed: BOSH calls it, whose parser reads more than the stream."""
        if self.reason:
            return
        context = self._context
        deadlines = self._deadlines
        now = deadlines.heard = context.reactor.now
        deadlines.asked = 0.0
        self._counters.bytes_in += size
        self._bytes_in += size
        if deadlines.hibernates:
            deadlines.hibernates = False
            self.wake(deadlines.quiet(now))
        inbox = self._inbox
        session = self.session
        if session is not None and len(events) == 1 and events[0].__class__ is Stanza and inbox.left is None:
            # The usual case, without the care that many events need.
            stanza = events[0]
            session.take(stanza)
            if inbox.shaper is not None:
                inbox.shape(size, weight(stanza))
            if context.is_congested:
                inbox.congest()
        else:
            inbox.shape(size, 0)
            if events:
                inbox.handle(events, session)

    def on_again(self) -> None:
        """Handle what an earlier turn left."""
        self._inbox.again(self.session)

    def full(self) -> None:
        """The session has as many un-accepted stanzas as it may have."""
        self.is_full = True
        self.transport.hold(FULL)

    def roomy(self) -> None:
        """The session may send again."""
        self.is_full = False
        self._inbox.release(FULL)

    # --- negotiation ---

    def other(self, event: Event) -> Session | None:
        """Handle what is no stanza of a session; returns the session that the stream has then."""
        login = self._login
        if isinstance(event, Element) and event.ns == ns.STREAM and event.name == "error":
            # The client has found a mistake of ours and is gone (RFC 6120 section 4.9.1.1): an error is not answered by another one.
            if login is not None:
                login.close()
            else:
                self.end("client-error", None, closing=True)
        elif login is not None:
            login.handle(event)
        elif isinstance(event, StreamClosed):
            self.end("closed", None, closing=True)
        elif isinstance(event, Element) and event.ns == stream_management.NS:
            assert self.session is not None
            on_element(self._context.sessions, self.session, self, event)
        elif isinstance(event, Element) and event.ns == client_state.NS and event.name in _CLIENT_STATES:
            assert self.session is not None
            self.session.client_state(event.name == "active")
        else:
            self.fail(event if isinstance(event, StreamError) else StreamError("unsupported-stanza-type"))
        return self.session

    def ask(self, question: Callable[[], Awaitable[None]]) -> None:
        """Run `question` in a task of its own; nothing more of this stream is handled until `answered`."""
        self.transport.hold(ASKING)
        self._context.spawn(question)

    def answered(self) -> None:
        """The answer has been applied."""
        if not self.reason:
            self._inbox.release(ASKING)

    def restart(self, *, in_clear: bool = False) -> None:
        """The stream begins anew; what came before, `in_clear` when it did, is not of the new one."""
        authenticated = self._login is None or bool(self._login.account)
        self._inbox.restart(authenticated=authenticated, in_clear=in_clear)

    def admit(self) -> None:
        """The client is authenticated on the very stream: its stanzas have the size of a session's."""
        self._inbox.admit()

    def start_tls(self, domain: str) -> None:
        """`<proceed/>` is queued: begin the handshake."""
        self.restart(in_clear=True)
        self.start(tls=True)
        if not self.transport.secure(domain):
            self.end("tls", None)

    def until(self, seconds: float) -> None:
        """Give negotiation so long from now."""
        self._deadlines.end = self._context.reactor.clock() + seconds
        self.wake(self._deadlines.end)

    def on_secure(self, binding: bytes | None = None) -> None:
        """The TLS handshake is done."""
        self._deadlines.handshake = NEVER
        if self._login is not None and not self.reason:
            channel = self.transport
            shown = None
            if self._context.policy.certificates and isinstance(channel, Channel):
                shown = channel.certificate()
            self._login.secured(binding, () if shown is None else external.addresses(shown))

    def bound(self, sid: int, stream: bytes, bound: Bound) -> Session:
        """The router granted a resource: put its session into the table."""
        return self._context.sessions.begin(self, sid, stream, bound)

    def resumed(self, sid: int, resumed: Resumed) -> Session:
        """The router lets a stream go on here: put its session into the table."""
        return self._context.sessions.resume(self, sid, resumed)

    def begin(self, session: Session) -> None:
        """The resource is bound: negotiation is forgotten, the session's limits begin."""
        context = self._context
        self.session = session
        if context.watches:
            session.watch = context.watches.of(session.bare)
        self._login = None
        self._deadlines.end = NEVER
        now = self._since = context.reactor.clock()
        if self.host not in context.exempt:
            self._inbox.shaper = Shaper(context.limits, now)
        self.wake(self._deadlines.quiet(now))
        context.sessions.replay_early(session)

    # --- out ---

    def send(self, data: bytes) -> int:
        """Queue a stanza; returns how many bytes have been queued in all. A client that does not read is closed."""
        transport = self.transport
        transport.write(data)
        self._counters.bytes_out += len(data)
        if transport.since and transport.waiting > self._context.limits.outbox_bytes:
            managed = self.session is not None and self.session.manager is not None
            if not managed or transport.waiting > self._context.limits.outbox_bytes + _RESUMED_BYTES:
                transport.abort("slow")
        return transport.queued

    def write(self, data: bytes) -> None:
        """Queue what belongs to no session."""
        self.transport.write(data)

    def say(self, element: Element) -> None:
        """Write an element that is no stanza."""
        self.send(self._framing.element(element))

    def ask_client(self) -> None:
        """Ask what the client has (XEP-0198 section 4)."""
        self.send(REQUEST[self._framing.websocket])

    def wake(self, at: float) -> None:
        """Look at the deadlines at `at`."""
        self._context.reactor.at(self, at)

    def abort(self, reason: str) -> None:
        """Give up the socket now, without a word."""
        self.transport.abort(reason)

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
            self.wake(transport.since + self._context.limits.outbox_seconds)

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
        self.wake(self._deadlines.linger(self._context.reactor.clock()))
        self.transport.finish()

    def _release(self, reason: str, resumable: bool) -> None:
        self._inbox.close()
        self._login = None
        session = self.session
        self.session = None
        if session is not None:
            self._context.sessions.close(session, reason, resumable)
            self._log_end(session, reason, resumable)

    def _log_end(self, session: Session, reason: str, resumable: bool) -> None:
        context = self._context
        context.log(
            "client_end",
            account=session.bare,
            resource=session.resource,
            address=self.host,
            reason=reason,
            resumable=resumable and session.manager is not None and session.manager.resumable,
            seconds=round(context.reactor.clock() - self._since, 3),
            bytes_in=self._bytes_in,
            bytes_out=self.transport.queued,
            stanzas_in=session.n,
            stanzas_out=session.mirror.n,
            session=session.stream.hex(),
        )

    def on_lost(self, reason: str) -> None:
        """The transport is closed."""
        if not self.reason:
            self.reason = reason
            self._release(reason, resumable=True)
        self._owner.left(self)

    # --- time ---

    def on_timer(self, now: float) -> float:
        """All deadlines of the connection."""
        transport, deadlines = self.transport, self._deadlines
        if not transport.open:
            return NEVER
        if now >= deadlines.first:
            if deadlines.missed() or self.reason:
                transport.abort("timeout")
            else:
                self.fail(StreamError("connection-timeout"))
            return deadlines.end if transport.open else NEVER
        following = deadlines.first
        if transport.since:
            stalled = transport.since + self._context.limits.outbox_seconds
            if now >= stalled:
                transport.abort("slow")
                return NEVER
            following = min(following, stalled)
        following = min(following, self._inbox.unshape(now))
        if self.session is not None:
            following = min(following, self._listen(self.session, now))
            if self.session is not None and self.session.manager is not None:
                following = min(following, self.session.manager.look(self, deadlines.heard, now))
        return following

    def _listen(self, session: Session, now: float) -> float:
        """Free the parser of a quiet session; ask a silent one whether it lives; close a dead one."""
        silence, following = self._deadlines.silence(now)
        if silence is Silence.DEAD:
            session.ping = ""
            self.fail(StreamError("connection-timeout"))
            return self._deadlines.end
        if silence is Silence.HIBERNATE:
            self._inbox.parser.hibernate()
        elif silence is Silence.ASK and session.manager is not None:
            self.ask_client()  # a ping would be a stanza that its router has not numbered
        elif silence is Silence.ASK:
            session.ping = f"ping-{self._context.token()}"
            domain = session.bare.partition("@")[2]
            self.send(ping(session.ping, domain, session.full).encode(self.xmlns))
        return following
