"""Byte and frame transports under the stories' client."""

from __future__ import annotations

import socket
import ssl
from collections import deque
from typing import Protocol

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)


class Transport(Protocol):
    """What the client needs; `receive` returns b"" at the end."""

    async def send(self, data: bytes) -> None:
        """Send all of it."""

    async def receive(self) -> bytes:
        """Some bytes, or one frame."""

    async def abort(self) -> None:
        """Close without a farewell."""


class TcpTransport:
    """A TCP connection that may start TLS."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.tcp = stream
        self._stream: trio.abc.Stream = stream

    @staticmethod
    async def open(host: str, port: int) -> TcpTransport:
        """Connect. Raises OSError."""
        return TcpTransport(await trio.open_tcp_stream(host, port))

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Handshake with the server name. Raises trio.BrokenResourceError."""
        tls = trio.SSLStream(self.tcp, context, server_hostname=name, https_compatible=True)
        await tls.do_handshake()
        self._stream = tls

    def certificate(self) -> bytes:
        """The server's certificate in DER."""
        assert isinstance(self._stream, trio.SSLStream)
        found: bytes = self._stream.getpeercert(binary_form=True)
        return found

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._stream.send_all(data)

    async def receive(self) -> bytes:
        """Some bytes; b"" at the end."""
        return bytes(await self._stream.receive_some(65536))

    async def abort(self) -> None:
        """Close the socket under TLS, without close_notify."""
        await self.tcp.aclose()

    def reset(self) -> None:
        """Make the coming close a TCP reset."""
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class WebSocketTransport:
    """A WebSocket with the sub-protocol xmpp (RFC 7395), one frame a stanza."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._frames: deque[bytes] = deque()
        self._part = ""
        self._accepted = False
        self._ended = False
        self._sending = trio.Lock()

    @staticmethod
    async def open(
        host: str, port: int, path: str, context: ssl.SSLContext | None, name: str
    ) -> WebSocketTransport:
        """Connect and upgrade. Raises OSError, LocalProtocolError or RemoteProtocolError of wsproto."""
        stream: trio.abc.Stream = await trio.open_tcp_stream(host, port)
        if context is not None:
            stream = trio.SSLStream(stream, context, server_hostname=name, https_compatible=True)
        self = WebSocketTransport(stream)
        await stream.send_all(
            self._ws.send(Request(host=f"{name}:{port}", target=path, subprotocols=["xmpp"]))
        )
        while not self._accepted:
            await self._turn()
            if self._ended:
                raise ConnectionRefusedError("the server does not accept a WebSocket here")
        return self

    async def _turn(self) -> None:
        data = await self._stream.receive_some(65536)
        self._ws.receive_data(bytes(data) or None)
        for event in self._ws.events():
            match event:
                case AcceptConnection():
                    self._accepted = event.subprotocol == "xmpp"
                    self._ended = not self._accepted
                case TextMessage():
                    self._part += event.data
                    if event.message_finished:
                        self._frames.append(self._part.encode())
                        self._part = ""
                case Ping():
                    await self._write(self._ws.send(event.response()))
                case CloseConnection():
                    self._ended = True
                    if self._ws.state is ConnectionState.REMOTE_CLOSING:
                        await self._write(self._ws.send(event.response()))
                case RejectConnection():
                    self._ended = True
                case _:
                    pass

    async def _write(self, data: bytes) -> None:
        async with self._sending:
            await self._stream.send_all(data)

    async def send(self, data: bytes) -> None:
        """Send one text frame."""
        if self._ended:
            raise trio.BrokenResourceError("closed by the server")
        await self._write(self._ws.send(TextMessage(data.decode())))

    async def receive(self) -> bytes:
        """One text frame; b"" at the end."""
        while not self._frames and not self._ended:
            await self._turn()
        return self._frames.popleft() if self._frames else b""

    async def abort(self) -> None:
        """Close the socket."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
            await trio.aclose_forcefully(self._stream)
