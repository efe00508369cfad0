"""The part of a connection that lasts as long as it does: what it knows, what is written, all its deadlines, its end.

`edge.connection` has what comes in; this is its base.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from rookery.edge import iqs
from rookery.edge.context import Congested, Context
from rookery.edge.door.limits import Shaper
from rookery.edge.framing import TCP, WEBSOCKET, Framing
from rookery.edge.login import Login
from rookery.edge.session import Session
from rookery.shared.net.timers import NEVER
from rookery.shared.net.transport import SHAPED, Transport
from rookery.shared.observe import metrics
from rookery.shared.xeps import stream_management
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stream import Event, FrameParser, StreamParser
from rookery.shared.xmpp.xml import Element

#: After so many quiet seconds the XML parser is freed until the next byte.
HIBERNATE_SECONDS: Final = 10.0
#: How long a closed stream may take to say its last words.
LINGER_SECONDS: Final = 2.0
#: A managed session may have so much more unwritten: all that its router keeps comes at once after a resumption.
_RESUMED_BYTES: Final = 8 * 1024 * 1024
#: `<r/>` over TCP and over WebSocket.
REQUEST: Final = tuple(framing.element(Element(stream_management.NS, "r")) for framing in (TCP, WEBSOCKET))


class Lifetime(Congested):
    """A connection from its first byte to its last. `on_timer` looks at all deadlines."""

    __slots__ = (
        "_backlog", "_context", "_deadline", "_framing", "_handshake", "_heard", "_login", "_parser", "_pinged", "_quiet",
        "_shaper", "reason", "session", "transport", "wake_slot", "xmlns",
    )  # fmt: skip
    transport: Transport

    def __init__(self, context: Context, framing: Framing) -> None:
        now = context.reactor.clock()
        self._context = context
        self._framing = framing
        self._login: Login | None = None
        self._parser = self._new_parser(authenticated=False)
        self._backlog: deque[Event] | None = None
        self._shaper: Shaper | None = None
        self._heard = now
        self._pinged = 0.0
        self._quiet = False
        #: Absolute end of negotiation, later of lingering; NEVER for a session.
        self._deadline = now + context.limits.preauth_seconds
        self._handshake = NEVER
        #: Why the stream is over, "" while it is not; its transport may still linger.
        self.reason = ""
        self.session: Session | None = None
        self.wake_slot = 0
        self.xmlns = framing.xmlns

    def _new_parser(self, *, authenticated: bool) -> StreamParser | FrameParser:
        limits = self._context.after if authenticated else self._context.before
        return FrameParser(limits) if self._framing.websocket else StreamParser(limits)

    def _resume(self, reason: int) -> None:
        self.transport.release(reason)
        if self._backlog is not None:
            self.transport.again()

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
        session = self.session
        self.session = None
        if session is not None:
            self._context.sessions.close(session, reason, resumable)

    # --- time ---

    def _watch(self, now: float) -> None:
        """The client was heard: wait until it is quiet."""
        self._context.reactor.at(self, now + min(HIBERNATE_SECONDS, self._context.limits.idle_seconds))

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
