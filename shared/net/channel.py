"""One TCP socket in the reactor, accepted or connected: TLS on either side, reading, and the outbox.

A channel knows bytes, not XML. Its `Peer` is told what came in; what it writes is sent once, at the end of the turn. States: STARTING (a
`Stage` looks at the first bytes, or a connection is being made), HANDSHAKE (a thread may have the socket), OPEN, LINGER (all was said,
waiting for the other side to close), CLOSED.
"""

from __future__ import annotations

import socket
import ssl
from enum import IntEnum
from typing import Final, Protocol, cast

from rookery.shared.net.handshakes import Step
from rookery.shared.net.reactor import GONE, READ, WRITE, Reactor
from rookery.shared.net.security import Security, TlsContext, TlsSocket
from rookery.shared.net.transport import FINISHING, Peer

#: Bytes read from one socket in one turn.
READ_BYTES: Final = 32_768
#: TLS records read from one socket in one turn, when it had one in the turn before, too.
READ_RECORDS: Final = 64
#: Bytes given to OpenSSL at once: one record. A write that would block must be repeated with the same bytes.
RECORD_BYTES: Final = 16_384
#: Bytes that are thrown away after our last words, before one who goes on without an end is cut off.
LINGER_BYTES: Final = 4 * 1024 * 1024


class State(IntEnum):
    """Where a channel is in its life."""

    STARTING = 0
    HANDSHAKE = 1
    OPEN = 2
    LINGER = 3
    CLOSED = 4


class Stage(Protocol):
    """What looks at a channel before its peer does (`shared.net.stages`)."""

    def on_ready(self, channel: Channel) -> None:
        """The socket is ready. Ends with `channel.opened`, another stage, a handshake, or `channel.abort`."""


class Channel:
    """See the module's text. `held` is a set of reasons (bits) not to read; the channel reads while it is 0."""

    __slots__ = (
        "_out", "_read_turn", "_rest", "_security", "_stage", "_watch", "fd", "held", "open", "peer", "queued", "reactor", "sent", "since", "sock",
        "state", "thrown", "tls",
    )  # fmt: skip

    def __init__(self, reactor: Reactor, sock: socket.socket, peer: Peer, security: Security) -> None:
        self.reactor = reactor
        self.sock = sock
        self.fd = sock.fileno()
        self.state = State.OPEN
        self.open = True
        self.tls = False
        self.held = 0
        #: Bytes ever queued and sent; since when the outbox makes no progress (0.0: nothing waits).
        self.queued = 0
        self.sent = 0
        self.since = 0.0
        self.thrown = 0
        #: Whoever speaks now: HTTP gives its place to a WebSocket.
        self.peer = peer
        self._security = security
        self._out: list[bytes] | None = None
        #: What a partial write left; OpenSSL wants it again byte for byte.
        self._rest = b""
        self._stage: Stage | None = None
        self._watch = READ
        #: The turn that read last.
        self._read_turn = -2
        reactor.register(self.fd, self)

    # --- start ---

    def begin(self, stage: Stage, mask: int = READ) -> None:
        """Let a stage have the socket until it says that the channel is open; it waits for `mask`."""
        self._stage = stage
        self.state = State.STARTING
        self._want(mask)

    def opened(self) -> None:
        """The last stage is done: the peer's own bytes begin."""
        self._stage = None
        self.state = State.OPEN
        self._rearm()
        if self._out is not None:
            self.reactor.dirty(self)

    def secure(self, domain: str) -> bool:
        """Begin the server's side of a handshake (STARTTLS). False: no certificate, or the channel is not open."""
        context = self._security.context(domain)
        if context is None or self.state != State.OPEN:
            return False
        self.flush()
        if self.open:
            self.accept_tls(context)
        return True

    def accept_tls(self, context: TlsContext) -> None:
        """Begin the server's side of a handshake with what comes next."""
        self._wrap(context, None)

    def offer_tls(self, context: TlsContext, name: str) -> None:
        """Begin the client's side at once; `name` (ASCII) goes into the SNI and, if the context says so, must be the server's.

        The peer hears `on_secure` when it is done, or `on_lost`: "tls", or "untrusted" when the server's certificate does not hold.
        """
        self.flush()
        if self.open:
            self._wrap(context, name)
        if self.open:
            self._step()

    def fail_tls(self, cause: str) -> None:
        """There will be no TLS: count why, and close."""
        self._security.failed(cause)
        self.abort(cause if cause != "handshake" else "tls")

    def _wrap(self, context: TlsContext, server_name: str | None) -> None:
        # Python closes a socket whose peer is already gone, and its number may come back at once: so the reactor
        # must not know it meanwhile.
        self.reactor.unregister(self.fd)
        try:
            self.sock = context.wrap_socket(
                self.sock,
                server_side=server_name is None,
                server_hostname=server_name,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=True,
            )
        except (OSError, ValueError):
            self.abort("tls")
            return
        self._watch = READ
        self.reactor.register(self.fd, self, READ)
        self.tls = True
        self._stage = None
        self.state = State.HANDSHAKE

    def _step(self) -> None:
        self._want(0)
        self._security.pool.submit(cast(TlsSocket, self.sock), self._stepped)

    def _stepped(self, result: Step) -> None:
        """A thread has given the socket back."""
        if self.state is State.CLOSED:
            self.reactor.bury(self.sock)
        elif result is Step.DONE:
            self.opened()
            self._secured()
        elif result is Step.READ or result is Step.WRITE:
            self._want(READ if result is Step.READ else WRITE)
        else:
            # No thread has the socket any more: abort may close it.
            self.state = State.OPEN
            self.fail_tls("untrusted" if result is Step.UNTRUSTED else "handshake")

    def _secured(self) -> None:
        self.peer.on_secure(self._security.secured(cast(TlsSocket, self.sock)))
        if self.state == State.OPEN and not self.held:
            # The other side's first bytes may have come with its last handshake message.
            self.reactor.again(self)

    @property
    def alpn(self) -> str:
        """The protocol that both sides chose (RFC 7301), "" when none."""
        return (cast(TlsSocket, self.sock).selected_alpn_protocol() or "") if self.tls else ""

    def certificate(self) -> bytes | None:
        """The other side's certificate (DER), None when it showed none. Verified only if the context asked for that."""
        return cast(TlsSocket, self.sock).getpeercert(True) if self.tls else None

    # --- reading ---

    def _want(self, mask: int) -> None:
        if mask != self._watch:
            self._watch = mask
            self.reactor.modify(self.fd, mask)

    def _rearm(self) -> None:
        mask = 0 if self.held else READ
        if self._rest:
            mask |= WRITE
        self._want(mask)

    def hold(self, reason: int) -> None:
        """Stop reading for `reason` (a bit). Epoll is told when something comes meanwhile: most reasons are gone sooner."""
        self.held |= reason

    def release(self, reason: int) -> None:
        """`reason` is gone; read again when no other is left."""
        if not self.held & reason:
            return
        self.held &= ~reason
        if not self.held and self.state == State.OPEN:
            self._rearm()
            self._more()

    def again(self) -> None:
        """Let the peer continue in the next turn with what it already has."""
        self.reactor.again(self)

    def on_again(self) -> None:
        """The next turn: first the peer's leftovers, then what OpenSSL holds (epoll never reports that)."""
        if self.state != State.OPEN:
            return
        self.peer.on_again()
        if self.open and self.tls and not self.held and self.state == State.OPEN and self.pending():
            self._read()

    def pending(self) -> int:
        """Decrypted bytes that wait inside OpenSSL."""
        return cast(TlsSocket, self.sock).pending() if self.tls else 0

    def _more(self) -> None:
        if self.tls and self.open and self.pending():
            self.reactor.again(self)

    def on_events(self, mask: int) -> None:
        """Serve one report of epoll."""
        state = self.state
        if state == State.OPEN:
            if mask & WRITE:
                self.flush()
            if mask & (READ | GONE) and self.open:
                if not self.held:
                    self._read()
                elif mask & GONE:
                    self.abort("reset")
                else:
                    self._rearm()
        elif state == State.HANDSHAKE:
            if self._watch:
                self._step()
        elif state == State.LINGER:
            self._linger(mask)
        elif state == State.STARTING:
            stage = self._stage
            if stage is not None:
                stage.on_ready(self)

    def _read(self) -> None:
        turn = self.reactor.turns
        # OpenSSL gives one record at a time, whatever waits in the kernel. To ask in vain costs as much as a short stanza, so only
        # a socket that was read in the turn before, too, is asked for more: its other side writes faster than turns come.
        records = READ_RECORDS if self.tls and turn <= self._read_turn + 1 else 1
        self._read_turn = turn
        size = 0
        while records > 0 and size < READ_BYTES:
            records -= 1
            try:
                data = self.sock.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                self.abort("reset")
                return
            if not data:
                self._say_goodbye()
                self.abort("eof")
                return
            size += len(data)
            self.peer.on_data(data)
            if self.state != State.OPEN or self.held:
                return
        self._more()

    # --- writing ---

    def write(self, data: bytes) -> None:
        """Queue bytes; they leave at the end of the turn with everything else for this connection."""
        self.queued += len(data)
        if self._out is None:
            self._out = [data]
            if not self._rest:
                self.reactor.dirty(self)
        else:
            self._out.append(data)

    @property
    def waiting(self) -> int:
        """Bytes that are queued and not sent."""
        return self.queued - self.sent

    def flush(self) -> None:
        """Send what is queued, as far as the kernel takes it."""
        if self.state != State.OPEN:
            return
        before = self.sent
        while self._out is not None or self._rest:
            data = self._rest
            if not data:
                assert self._out is not None
                data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
                self._out = None
            rest = self._send(data)
            if not self.open:
                return
            self._rest = rest
            if rest:
                break
        if self._rest:
            if self.sent != before or not self.since:
                self.since = self.reactor.clock() or 1e-9
        else:
            self.since = 0.0
        if bool(self._watch & WRITE) != bool(self._rest):
            self._rearm()
        self.peer.on_progress(not self._rest)
        if self.held & FINISHING and not self.waiting and self.state == State.OPEN:
            self._shutdown()

    def _send(self, data: bytes) -> bytes:
        size = len(data)
        at = 0
        try:
            if not self.tls:
                at = self.sock.send(data)
                self.sent += at
            elif size <= RECORD_BYTES:
                self.sock.send(data)
                self.sent += size
                at = size
            else:
                view = memoryview(data)
                while at < size:
                    count = self.sock.send(view[at : at + RECORD_BYTES])
                    at += count
                    self.sent += count
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.abort("reset")
            return b""
        return data[at:] if at < size else b""

    # --- end ---

    def finish(self) -> None:
        """Send what is queued, say goodbye in TLS, and wait a moment for the other side to close.

        Closing at once with bytes unread would reset the connection, and the peer would not see our last words.
        """
        if self.state != State.OPEN:
            self.abort("closed")
            return
        self.held |= FINISHING
        self.flush()

    def _say_goodbye(self) -> None:
        """TLS: say that nothing more comes (RFC 8446 section 6.1), as the other side has or will."""
        try:
            if self.tls:
                cast(TlsSocket, self.sock).unwrap()
        except (OSError, ValueError):
            pass

    def _shutdown(self) -> None:
        self.state = State.LINGER
        self._say_goodbye()
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort("closed")
            return
        self._want(READ)

    def _linger(self, mask: int) -> None:
        try:
            data = socket.socket.recv(self.sock, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.thrown += len(data)
        if not data or mask & GONE or self.thrown > LINGER_BYTES:
            self.abort("closed")

    def abort(self, reason: str) -> None:
        """Close now and tell the peer; harmless when closed."""
        if self.state is State.CLOSED:
            return
        busy = self.state is State.HANDSHAKE and not self._watch
        self.state = State.CLOSED
        self.open = False
        self._out, self._rest = None, b""
        self.reactor.unregister(self.fd)
        if not busy:
            self.reactor.bury(self.sock)
        self.peer.on_lost(reason)
