"""The byte streams beneath the NATS client: TCP written without waiting, and TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Final

import trio

#: Unsent bytes above which links wait; `drained` is called when a stream comes below.
BACKLOG_LIMIT: Final = 8 * 1024 * 1024
READ_BYTES: Final = 65_536


class Lost(Exception):  # noqa: N818  an event
    """The connection is over; the text says why."""


class PlainStream:
    """TCP, written at once from the flush itself; only what the kernel does not take waits for the writer task."""

    def __init__(self, sock: socket.socket, drained: Callable[[], None]) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._drained = drained
        self._left = bytearray()
        self._more = trio.Event()

    @property
    def backlog(self) -> int:
        """Bytes that wait to be written."""
        return len(self._left)

    async def read(self) -> bytes:
        """Some bytes. Raises Lost at the end."""
        while True:
            await trio.lowlevel.wait_readable(self.sock)
            try:
                data = self.sock.recv(READ_BYTES)
            except BlockingIOError:
                continue
            if not data:
                raise Lost("closed by the server")
            return data

    def write(self, data: bytes) -> None:
        """Write or keep. Raises OSError."""
        sent = 0
        if not self._left:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
        if sent < len(data):
            self._left += data[sent:]
            self._more.set()

    async def writer(self) -> None:
        """Write what is left over, as the kernel takes it."""
        while True:
            await self._more.wait()
            self._more = trio.Event()
            while self._left:
                await trio.lowlevel.wait_writable(self.sock)
                was = len(self._left)
                try:
                    del self._left[: self.sock.send(memoryview(self._left)[:READ_BYTES])]
                except BlockingIOError:
                    continue
                if was >= BACKLOG_LIMIT > len(self._left):
                    self._drained()

    def close(self) -> None:
        """Close at once."""
        if self.sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()


class TlsStream:
    """TLS over the same: a writer task, because trio's SSLStream writes only asynchronously."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream], drained: Callable[[], None]) -> None:
        self._stream = stream
        self._drained = drained
        self._left: list[bytes] = []
        self._more = trio.Event()
        self.backlog = 0

    @classmethod
    async def upgrade(
        cls, plain: PlainStream, context: ssl.SSLContext, host: str, drained: Callable[[], None]
    ) -> TlsStream:
        """Shake hands on a connection that spoke plainly so far. Raises ssl.SSLError, trio.BrokenResourceError."""
        tcp = trio.SocketStream(trio.socket.from_stdlib_socket(plain.sock))
        stream = trio.SSLStream(tcp, context, server_hostname=host)
        await stream.do_handshake()
        return cls(stream, drained)

    async def read(self) -> bytes:
        """Some bytes. Raises Lost at the end."""
        data = bytes(await self._stream.receive_some(READ_BYTES))
        if not data:
            raise Lost("closed by the server")
        return data

    def write(self, data: bytes) -> None:
        """Give it to the writer task."""
        self._left.append(data)
        self.backlog += len(data)
        self._more.set()

    async def writer(self) -> None:
        """Write what was given."""
        while True:
            await self._more.wait()
            self._more = trio.Event()
            while self._left:
                data = b"".join(self._left)
                self._left.clear()
                await self._stream.send_all(data)
                was, self.backlog = self.backlog, self.backlog - len(data)
                if was >= BACKLOG_LIMIT > self.backlog:
                    self._drained()

    def close(self) -> None:
        """Close at once."""
        sock = self._stream.transport_stream.socket
        sock.close()
