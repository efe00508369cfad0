"""A WebSocket (RFC 7395) with the face of a non-blocking socket: `recv` and `send`.

The handshake is wsproto's. Frames are read and written here: a driver that spent more on them than the server would measure
itself. No extension is offered, so frames are plain (RFC 6455 section 5.2).
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from socket import socket
from typing import Final, Protocol

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, RejectConnection, Request

_TEXT: Final = 0x1
_CONTINUATION: Final = 0x0
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA


class Socket(Protocol):
    """What connections use of a socket."""

    def recv(self, size: int, /) -> bytes:
        """Bytes that are there, b"" at the end. Raises BlockingIOError, ssl.SSLWantReadError, OSError."""
        ...

    def send(self, data: bytes, /) -> int:
        """Send some of the bytes. Raises BlockingIOError, ssl.SSLWantWriteError, OSError."""
        ...


def frame(opcode: int, payload: bytes, key: bytes) -> bytes:
    """A final frame of a client, masked by the four bytes of `key` (RFC 6455 section 5.3)."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    return head + key + (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")


def frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole frames of a server as (opcode, payload), and the rest. Raises ValueError for a masked one (section 5.1)."""
    found = []
    position, end = 0, len(data)
    while end - position >= 2:
        size, start = data[position + 1], position + 2
        if size == 126:
            size, start = int.from_bytes(data[start : start + 2], "big"), start + 2
        elif size == 127:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        elif size > 127:
            raise ValueError("a frame of the server is masked")
        if start + size > end:
            break
        found.append((data[position] & 0x0F, data[start : start + size]))
        position = start + size
    return found, data[position:]


class WebSocket:
    """Wraps a connected (and encrypted) socket; `blocked` is called when bytes are left that only `flush` will send."""

    def __init__(
        self, inner: socket | ssl.SSLSocket, host: str, path: str, blocked: Callable[[], None]
    ) -> None:
        self._inner = inner
        self._blocked = blocked
        self._handshake = WSConnection(ConnectionType.CLIENT)
        self._out = bytearray(self._handshake.send(Request(host=host, target=path, subprotocols=["xmpp"])))
        self._rest = b""
        #: The server accepted.
        self.open = False

    def recv(self, size: int, /) -> bytes:
        """The text of whole messages; b"" at the end. Raises BlockingIOError when there is none yet, OSError."""
        try:
            data = self._inner.recv(size)
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        if not data:
            return b""
        if not self.open:
            self._shake(data)
            raise BlockingIOError
        try:
            found, self._rest = frames(self._rest + data if self._rest else data)
        except ValueError:
            return b""
        text = []
        for opcode, payload in found:
            if opcode in (_TEXT, _CONTINUATION):
                text.append(payload)
            elif opcode == _PING:
                self._queue(_PONG, payload)
            elif opcode == _CLOSE:
                return b"".join(text)
        if not text:
            raise BlockingIOError
        return b"".join(text)

    def _shake(self, data: bytes) -> None:
        self._handshake.receive_data(data)
        for event in self._handshake.events():
            if isinstance(event, AcceptConnection) and event.subprotocol == "xmpp":
                self.open = True
            elif isinstance(event, AcceptConnection | RejectConnection):
                raise ConnectionRefusedError("no XMPP over WebSocket there")

    def send(self, data: bytes, /) -> int:
        """Send one message; it is taken whole and kept until the socket takes it."""
        self._queue(_TEXT, data)
        return len(data)

    def _queue(self, opcode: int, payload: bytes) -> None:
        data = frame(opcode, payload, random.randbytes(4))
        if self._out:
            self._out += data
            return
        try:
            sent = self._inner.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        if sent != len(data):
            self._out += data[sent:]
            self._blocked()

    def flush(self) -> bool:
        """Send what is kept; whether nothing is left."""
        try:
            while self._out:
                del self._out[: self._inner.send(bytes(self._out))]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        return True
