"""XMPP over WebSocket (RFC 7395) and the HTTP port it lives on: host-meta (XEP-0156), TLS by the first byte.

A WebSocket has a trio task to read and one to write; everything above is the same `Connection` as over TCP.
"""

from __future__ import annotations

import socket
from collections import deque
from functools import partial
from typing import Final

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_server_stream

from rookery.edge.client.connection import Connection
from rookery.edge.context import Context
from rookery.edge.door import Door, web_context
from rookery.edge.limits import Nets
from rookery.edge.loop import close_quietly
from rookery.edge.proxy import ProxyError, ProxyReader
from rookery.shared.config import Config
from rookery.shared.observe.http import ReplayStream, Request, Response, Routes, TakeOver, serve_connection
from rookery.shared.xeps import host_meta

PATH: Final = "/xmpp-websocket"
SUBPROTOCOL: Final = "xmpp"
#: A goodbye that the client does not answer is not waited for longer.
CLOSE_SECONDS: Final = 2.0
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed)


class WebSocketTransport:
    """Implements `Transport` for one WebSocket; `run` is its life."""

    def __init__(self, context: Context, socket: WebSocketConnection) -> None:
        self._context = context
        self._socket = socket
        self._out: deque[bytes] = deque()
        self._wake = trio.Event()
        self._readable = trio.Event()
        self._scope = trio.CancelScope()
        self._finishing = False
        self._reason = "eof"
        self._sent = 0
        self.connection: Connection
        self.open = True
        self.held = 0
        self.queued = 0
        self.since = 0.0

    # --- Transport ---

    @property
    def waiting(self) -> int:
        """Bytes queued and not sent."""
        return self.queued - self._sent

    def write(self, data: bytes) -> None:
        """Queue one message."""
        self.queued += len(data)
        self._out.append(data)
        self._wake.set()

    def finish(self) -> None:
        """Send everything, then the close frame."""
        self._finishing = True
        self._wake.set()

    def abort(self, reason: str) -> None:
        """Close now."""
        if self.open:
            self.open = False
            self._reason = reason
            self._scope.cancel()

    def hold(self, reason: int) -> None:
        """Stop reading."""
        if not self.held:
            self._readable = trio.Event()
        self.held |= reason

    def release(self, reason: int) -> None:
        """Read again when no other reason is left."""
        self.held &= ~reason
        if not self.held:
            self._readable.set()

    def again(self) -> None:
        """Continue in the next turn."""
        self._context.reactor.again(self)

    def secure(self, domain: str) -> bool:
        """There is no STARTTLS on a WebSocket (RFC 7395 section 3.9)."""
        return False

    # --- Source ---

    def on_events(self, mask: int) -> None:
        """The reactor does not watch this socket."""

    def on_again(self) -> None:
        """The next turn has come."""
        self.connection.on_again()

    # --- tasks ---

    async def run(self) -> None:
        """Read and write until the end."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
                    nursery.cancel_scope.cancel()
        finally:
            self.open = False
            self.connection.on_lost(self._reason)

    async def _read(self) -> None:
        reactor = self._context.reactor
        while True:
            try:
                message = await self._socket.get_message()
            except _GONE:
                return
            if isinstance(message, bytes):
                # RFC 7395 section 3.2: there are only text messages.
                await self._goodbye(1003)
                return
            if self._finishing:
                continue
            reactor.touch()
            self.connection.on_data(message.encode())
            if self.held:
                await self._readable.wait()

    async def _write(self) -> None:
        reactor = self._context.reactor
        try:
            while True:
                while self._out:
                    data = self._out.popleft()
                    self.since = self.since or reactor.clock()
                    await self._socket.send_message(data.decode())
                    self._sent += len(data)
                if self.since:
                    self.since = 0.0
                    self.connection.on_progress(drained=True)
                if self._finishing:
                    break
                self._wake = trio.Event()
                await self._wake.wait()
        except _GONE:
            self.abort("reset")
            return
        await self._goodbye(1000)
        self.abort("closed")

    async def _goodbye(self, code: int) -> None:
        with trio.move_on_after(CLOSE_SECONDS):
            await self._socket.aclose(code)


class WebDoor:
    """Accepts the clients of the HTTP port."""

    def __init__(self, context: Context, door: Door, config: Config) -> None:
        self._context = context
        self._door = door
        self._config = config.edge
        self._max_message = config.limits.stanza_bytes
        self._proxies = Nets(config.edge.http_proxy_nets)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in config.edge.websocket_origins)

    def accept(self, sock: socket.socket, host: str) -> None:
        """A client of the HTTP port: from here on it has a task."""
        balancer = host in self._door.balancers
        counted = not balancer and host not in self._proxies
        if counted and not self._door.enter(host):
            close_quietly(sock)
            return
        try:
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        except (OSError, ValueError):
            close_quietly(sock)
            if counted:
                self._door.leave(host)
            return
        self._context.spawn(partial(self._serve, stream, host, balancer, host if counted else ""))

    async def _serve(self, stream: trio.SocketStream, host: str, balancer: bool, counted: str) -> None:
        try:
            with trio.move_on_after(self._context.limits.tls_seconds) as handshake:
                if balancer:
                    host = await _read_proxy(stream)
                    if not host or not self._door.enter(host):
                        return
                    counted = host
                first = await stream.socket.recv(1, socket.MSG_PEEK)
                tls = first == b"\x16"
                wrapped: trio.abc.Stream = stream
                if tls:
                    context = web_context(self._context)
                    if context is None:
                        return
                    wrapped = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
                    await wrapped.do_handshake()
            if not handshake.cancelled_caught and first:
                await serve_connection(wrapped, self._routes(host, tls), peer=host)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, ProxyError):
            pass
        finally:
            await trio.aclose_forcefully(stream)
            if counted:
                self._door.leave(counted)

    def _routes(self, host: str, tls: bool) -> Routes:
        return {
            ("GET", PATH): partial(self._upgrade, host, tls),
            ("GET", "/.well-known/host-meta"): partial(self._host_meta, tls, False),
            ("GET", "/.well-known/host-meta.json"): partial(self._host_meta, tls, True),
        }

    async def _host_meta(self, tls: bool, as_json: bool, request: Request) -> Response:
        url = self._config.websocket_url
        if not url:
            secure = tls or request.headers.get("x-forwarded-proto") == "https"
            authority = request.headers.get("host", "")
            if not authority or any(char in authority for char in " '\"<>/\\@"):
                return Response(400, b"bad host\n")
            url = f"{'wss' if secure else 'ws'}://{authority}{PATH}"
        # XEP-0156 section 3: web clients of any origin read this.
        headers = (("Access-Control-Allow-Origin", "*"),)
        if as_json:
            return Response(200, host_meta.jrd(url), "application/json", headers)
        return Response(200, host_meta.xrd(url), "application/xrd+xml; charset=utf-8", headers)

    async def _upgrade(self, host: str, tls: bool, request: Request) -> Response | TakeOver:
        headers = request.headers
        if "websocket" not in headers.get("upgrade", "").lower():
            return Response(426, b"this is a WebSocket endpoint\n", headers=(("Upgrade", "websocket"),))
        secure = tls
        client = host
        if host in self._proxies:
            # The last address is the one that our own proxy saw.
            client = headers.get("x-forwarded-for", host).rpartition(",")[2].strip() or host
            secure = tls or headers.get("x-forwarded-proto", "https").lower() == "https"
        if not secure and not self._door.may_be_plain(host):
            return Response(403, b"TLS is required\n")
        origin = headers.get("origin", "").rstrip("/").lower()
        if origin and "*" not in self._origins and origin not in self._origins:
            return Response(403, b"this origin is not allowed\n")
        offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
        if SUBPROTOCOL not in offered:
            return Response(400, b"the subprotocol is xmpp\n")
        # A client behind a proxy is counted from here on; any other was when it connected.
        proxied = host in self._proxies
        if proxied and not self._door.enter(client):
            return Response(429, b"too many connections\n")
        return TakeOver(partial(self._speak, client, proxied, secure))

    async def _speak(self, client: str, proxied: bool, secure: bool, stream: ReplayStream) -> None:
        connection: Connection | None = None
        try:
            async with trio.open_nursery() as nursery:
                with trio.move_on_after(self._context.limits.tls_seconds):
                    request = await wrap_server_stream(
                        nursery, stream, max_message_size=self._max_message, message_queue_size=1
                    )
                    opened = await request.accept(subprotocol=SUBPROTOCOL)
                    transport = WebSocketTransport(self._context, opened)
                    connection = transport.connection = self._door.adopt(client, transport, secure=secure)
                if connection is not None:
                    await transport.run()
                nursery.cancel_scope.cancel()
        except* (HandshakeError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            if proxied:
                self._door.leave(client)


async def _read_proxy(stream: trio.SocketStream) -> str:
    """Read the balancer's header; returns the client's address. Raises ProxyError."""
    reader = ProxyReader()
    while not reader.done:
        data = await stream.receive_some(reader.need)
        if not data:
            raise ProxyError("closed")
        reader.feed(bytes(data))
    return reader.source[0] if reader.source else ""
