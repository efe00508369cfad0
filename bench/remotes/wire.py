"""A connection between servers, opened by either side: bytes in and out, TLS on top when it is asked for."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from rookery.bench.driver import loop as loops
from rookery.shared.net.openssl import Context, Socket

_CHUNK: Final = 65_536
_AGAIN: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_IN_PROGRESS: Final = 115


class Wire:
    """`on_data` gets each chunk, `on_gone` the condition of an end that nobody here made."""

    __slots__ = ("_fd", "_loop", "_out", "_secured", "_sock", "on_data", "on_gone", "open", "secure")

    def __init__(
        self, loop: loops.Loop, on_data: Callable[[bytes], None], on_gone: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._out = bytearray()
        self._fd = -1
        self._sock: socket.socket | Socket | None = None
        self._secured: Callable[[], None] = _nothing
        self.on_data = on_data
        self.on_gone = on_gone
        self.open = False
        #: TLS is there.
        self.secure = False

    def connect(self, family: int, address: Any, ready: Callable[[], None]) -> None:
        """Begin to connect; `ready` is called when the other side has accepted."""
        sock = socket.socket(family, socket.SOCK_STREAM)
        self._take(sock)
        code = sock.connect_ex(address)

        def connected(_events: int) -> None:
            failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failure:
                self._end("connection-refused" if failure == 111 else f"connect-{failure}")
                return
            self._listen()
            ready()

        self._loop.add(self._fd, loops.WRITE, connected)
        if code not in (0, _IN_PROGRESS):
            self._end(f"connect-{code}")

    def adopt(self, sock: socket.socket) -> None:
        """Go on with a connection that was accepted."""
        self._take(sock)
        self._loop.add(self._fd, loops.READ, self._on_ready)

    def _take(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock, self._fd, self.open = sock, sock.fileno(), True

    def _listen(self) -> None:
        self._loop.change(self._fd, loops.READ)
        self._loop.handlers[self._fd] = self._on_ready

    def start_tls(self, context: Context, secured: Callable[[], None], *, name: str = "") -> None:
        """The TLS handshake, as the client when there is the `name` of a server, else as the server."""
        assert isinstance(self._sock, socket.socket)
        self._loop.remove(self._fd)
        self._sock = context.wrap_socket(self._sock, server_side=not name, server_hostname=name or None)
        self._fd, self._secured = self._sock.fileno(), secured
        self._loop.add(self._fd, loops.READ, self._handshake)
        self._handshake(0)

    def _handshake(self, _events: int) -> None:
        assert isinstance(self._sock, Socket)
        try:
            self._sock.do_handshake()
        except _AGAIN:
            return
        except OSError:
            self._end("tls")
            return
        self.secure = True
        self._loop.handlers[self._fd] = self._on_ready
        self._secured()
        # What came with the last message of the handshake is in TLS already: epoll does not tell of it.
        if self.open:
            self._on_ready(loops.READ)

    def _on_ready(self, events: int) -> None:
        if events & loops.WRITE:
            self._flush()
        if events == loops.WRITE:
            return
        while self.open:
            sock = self._sock
            assert sock is not None
            try:
                data = sock.recv(_CHUNK)
            except _AGAIN:
                return
            except OSError:
                data = b""
            if not data:
                self._end("closed")
                return
            self.on_data(data)
            if not isinstance(sock, Socket) or sock is not self._sock or not self.open or not sock.pending():
                return

    def write(self, data: bytes) -> None:
        """Send, or keep what the socket does not take now."""
        if not self.open:
            return
        if self._out:
            self._out += data
            return
        assert self._sock is not None
        try:
            sent = self._sock.send(data)
        except _AGAIN:
            sent = 0
        except OSError:
            self._end("closed")
            return
        if sent != len(data):
            self._out += data[sent:]
            self._loop.change(self._fd, loops.READ | loops.WRITE)

    def _flush(self) -> None:
        out = self._out
        assert self._sock is not None
        try:
            while out:
                del out[: self._sock.send(bytes(out))]
        except _AGAIN:
            return
        except OSError:
            self._end("closed")
            return
        self._loop.change(self._fd, loops.READ)

    def deafen(self) -> None:
        """Read no more: what the other side sends fills its buffers."""
        self._loop.change(self._fd, 0)

    def hear(self) -> None:
        """Read again."""
        if self.open:
            self._loop.change(self._fd, loops.READ | loops.WRITE if self._out else loops.READ)
            # TLS may hold what epoll knows nothing of.
            self._on_ready(loops.READ)

    def _end(self, condition: str) -> None:
        if self.open:
            self.close()
            self.on_gone(condition)

    def close(self, *, reset: bool = False) -> None:
        """End the connection without a word; `reset` as if the process had died."""
        if self.open:
            self.open = False
            assert self._sock is not None
            if reset:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self._loop.remove(self._fd)
            self._sock.close()


def _nothing() -> None:
    return
