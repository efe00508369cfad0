"""A WebSocket (RFC 7395) with the face of a non-blocking socket: `recv`, `send`, `pending`.

The handshake and the frames are wsproto's; text frames come out as a run of bytes, what is sent is one stanza a frame.
"""

from __future__ import annotations

from typing import Protocol

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)


class Socket(Protocol):
    """What connections use of a socket."""

    def recv(self, size: int, /) -> bytes:
        """Bytes that are there, b"" at the end. Raises BlockingIOError, ssl.SSLWantReadError, OSError."""
        ...

    def send(self, data: bytes, /) -> int:
        """Send some of the bytes. Raises BlockingIOError, ssl.SSLWantWriteError, OSError."""
        ...


class WebSocket:
    """Wraps a connected (and encrypted) socket; `request` is what to send first."""

    def __init__(self, inner: Socket, host: str, path: str) -> None:
        self._inner = inner
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._out = bytearray(self._connection.send(Request(host=host, target=path, subprotocols=["xmpp"])))
        #: The server accepted.
        self.open = False

    def recv(self, size: int, /) -> bytes:
        """The text of whole messages; raises BlockingIOError when there is none yet."""
        data = self._inner.recv(size)
        self._connection.receive_data(data or None)
        if not data:
            return b""
        text: list[str] = []
        closed = False
        for event in self._connection.events():
            if isinstance(event, TextMessage):
                text.append(event.data)
            elif isinstance(event, AcceptConnection):
                if event.subprotocol != "xmpp":
                    raise ConnectionRefusedError("the server does not speak the subprotocol xmpp")
                self.open = True
            elif isinstance(event, RejectConnection):
                raise ConnectionRefusedError(f"HTTP status {event.status_code} instead of a WebSocket")
            elif isinstance(event, Ping):
                self._out += self._connection.send(event.response())
                self.flush()
            elif isinstance(event, CloseConnection | BytesMessage):
                closed = True
        if text:
            return "".join(text).encode()
        if closed:
            return b""
        raise BlockingIOError

    def send(self, data: bytes, /) -> int:
        """Send one message; it is taken whole and kept until the socket takes it."""
        self._out += self._connection.send(TextMessage(data.decode()))
        self.flush()
        return len(data)

    def flush(self) -> bool:
        """Send what is kept; whether nothing is left."""
        while self._out:
            try:
                del self._out[: self._inner.send(bytes(self._out))]
            except BlockingIOError:
                break
        return not self._out
