"""One accepted TCP socket in the reactor: PROXY header, TLS, reading, and the outbox.

A channel knows bytes, not XML. Its `Peer` (a connection) is told what came in; what it writes is sent once, at the end of
the turn. States: PROXY and HELLO (looking at the first bytes), HANDSHAKE (a thread has the socket), OPEN, LINGER (all
was said, waiting for the other side to close), CLOSED.
"""

from __future__ import annotations

import socket
import ssl
from enum import IntEnum
from typing import Final

from rookery.edge import hello
from rookery.edge.handshakes import Step
from rookery.edge.loop import GONE, READ, WRITE, Reactor
from rookery.edge.proxy import ProxyError, ProxyReader
from rookery.edge.tls import TlsSide, count
from rookery.edge.transport import FINISHING, Peer
from rookery.shared.observe import metrics

#: Bytes read from one socket in one turn.
READ_BYTES: Final = 32_768
#: Bytes given to OpenSSL at once: one record. A write that would block must be repeated with the same bytes.
RECORD_BYTES: Final = 16_384


class State(IntEnum):
    """Where a channel is in its life."""

    PROXY = 0
    HELLO = 1
    HANDSHAKE = 2
    OPEN = 3
    LINGER = 4
    CLOSED = 5


class Channel:
    """See the module's text. `held` is a set of reasons (bits) not to read; the channel reads while it is 0."""

    __slots__ = (
        "_out",
        "_peer",
        "_proxy",
        "_rest",
        "_side",
        "_watch",
        "fd",
        "held",
        "open",
        "queued",
        "reactor",
        "sent",
        "since",
        "sock",
        "state",
        "tls",
    )  # fmt: skip

    def __init__(self, reactor: Reactor, side: TlsSide, sock: socket.socket, peer: Peer) -> None:
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
        self._peer = peer
        self._side = side
        self._out: list[bytes] | None = None
        #: What a partial write left; OpenSSL wants it again byte for byte.
        self._rest = b""
        self._proxy: ProxyReader | None = None
        self._watch = READ
        reactor.register(self.fd, self)

    # --- start ---

    def expect_proxy(self) -> None:
        """The peer is a load balancer: its header comes first."""
        self._proxy = ProxyReader()
        self.state = State.PROXY

    def secure(self, domain: str, *, direct: bool = False) -> bool:
        """Begin the server's side of a handshake; with `direct`, check the client's ALPN first. False: no certificate."""
        certificate = self._side.certificates.find(domain)
        if certificate is None or self.state != State.OPEN:
            return False
        self.flush()
        if self.open:
            self._wrap(certificate.direct if direct else certificate.context, look=direct)
        return True

    def _wrap(self, context: ssl.SSLContext, *, look: bool) -> None:
        # Python closes a socket whose peer is already gone, and its number may come back at once: so the reactor
        # must not know it meanwhile.
        self.reactor.unregister(self.fd)
        try:
            self.sock = context.wrap_socket(
                self.sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
        except (OSError, ValueError):
            self.abort("tls")
            return
        self._watch = READ
        self.reactor.register(self.fd, self, READ)
        self.tls = True
        if look:
            self.state = State.HELLO
        else:
            self.state = State.HANDSHAKE

    def _look(self) -> None:
        try:
            data = socket.socket.recv(self.sock, hello.MAX_HELLO, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            self.abort("tls")
            return
        if not data:
            self.abort("tls")
            return
        missing = hello.missing(data)
        # Until all of it is there the socket shall not count as readable, or the loop would spin.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, missing or 1)
        if missing:
            return
        names = hello.offered(data)
        if names and b"xmpp-client" not in names:
            try:
                socket.socket.send(self.sock, hello.NO_APPLICATION_PROTOCOL)
            except OSError:
                pass
            metrics.TLS_FAILURES.labels("alpn").inc()
            self.abort("alpn")
            return
        self.state = State.HANDSHAKE
        self._step()

    def _step(self) -> None:
        self._want(0)
        assert isinstance(self.sock, ssl.SSLSocket)
        self._side.pool.submit(self.sock, self._stepped)

    def _stepped(self, result: Step) -> None:
        """A thread has given the socket back."""
        if self.state is State.CLOSED:
            self.reactor.bury(self.sock)
        elif result is Step.DONE:
            self.state = State.OPEN
            self._rearm()
            self._secured()
        elif result is Step.FAILED:
            # No thread has the socket any more: abort may close it.
            self.state = State.OPEN
            metrics.TLS_FAILURES.labels("handshake").inc()
            self.abort("tls")
        else:
            self._want(READ if result is Step.READ else WRITE)

    def _secured(self) -> None:
        sock = self.sock
        assert isinstance(sock, ssl.SSLSocket)
        count(sock)
        certificate = self._side.certificates.of(sock)
        self._peer.on_secure(certificate.binding if certificate is not None else None)
        if self.state == State.OPEN and not self.held:
            # The client's first bytes may have come with its last handshake message.
            self.reactor.again(self)

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
        """Stop reading for `reason` (a bit)."""
        self.held |= reason
        if self.state == State.OPEN:
            self._rearm()

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
        self._peer.on_again()
        if self.open and self.tls and not self.held and self.state == State.OPEN and self.pending():
            self._read()

    def pending(self) -> int:
        """Decrypted bytes that wait inside OpenSSL."""
        return self.sock.pending() if isinstance(self.sock, ssl.SSLSocket) else 0

    def _more(self) -> None:
        if self.tls and self.open and self.pending():
            self.reactor.again(self)

    def on_events(self, mask: int) -> None:
        """Serve one report of epoll."""
        state = self.state
        if state == State.OPEN:
            if mask & WRITE:
                self.flush()
            if mask & GONE and self.held:
                self.abort("reset")
            elif mask & (READ | GONE) and not self.held and self.open:
                self._read()
        elif state == State.HANDSHAKE:
            if self._watch:
                self._step()
        elif state == State.LINGER:
            self._linger(mask)
        elif state == State.HELLO:
            self._look()
        elif state == State.PROXY:
            self._read_proxy()

    def _read(self) -> None:
        try:
            data = self.sock.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self.abort("reset")
            return
        if not data:
            self.abort("eof")
            return
        self._peer.on_data(data)
        if self.state == State.OPEN and not self.held:
            self._more()

    def _read_proxy(self) -> None:
        reader = self._proxy
        assert reader is not None
        try:
            while not reader.done:
                data = self.sock.recv(reader.need)
                if not data:
                    self.abort("eof")
                    return
                reader.feed(data)
        except BlockingIOError:
            return
        except (OSError, ProxyError):
            self.abort("proxy")
            return
        self._proxy = None
        self.state = State.OPEN
        if not self._peer.on_source(reader.source[0] if reader.source else ""):
            self.abort("limit")

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
        self._rearm()
        self._peer.on_progress(not self._rest)
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

    def _shutdown(self) -> None:
        self.state = State.LINGER
        try:
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.unwrap()
        except (OSError, ValueError):
            pass
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
        if not data or mask & GONE:
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
        self._peer.on_lost(reason)
