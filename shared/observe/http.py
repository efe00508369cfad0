"""A small HTTP/1.1 server (RFC 9112) on trio streams: health, metrics, host-meta, and the door to WebSocket.

h11 is the protocol; this file is its shell, with a limit on every size and every wait. A handler gets one `Request` and
returns a `Response`, or a `TakeOver` to speak another protocol on the stream (WebSocket): it is then handed a stream that
gives back the bytes that were already read.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

import h11
import structlog
import trio

_READ = 16_384
_log = structlog.get_logger()


class ListenError(Exception):
    """A port cannot be listened to; the text is one line with the remedy."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one connection may cost: sizes in bytes, times in seconds."""

    head_bytes: int = 16_384
    body_bytes: int = 65_536
    #: From the first byte of a request (or the start of the connection) to its end.
    request_seconds: float = 10.0
    idle_seconds: float = 30.0
    write_seconds: float = 30.0
    requests: int = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` is decoded, without the query; header names are lower-case, repeated ones joined with commas."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer; `headers` are added to Date, Content-Type and Content-Length."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Sequence[tuple[str, str]] = field(default=())


@dataclass(frozen=True, slots=True)
class TakeOver:
    """The handler keeps the stream. Nothing was answered: `run` gets a stream that begins again with the raw request.

    That is what `trio_websocket.wrap_server_stream` expects. The stream is closed when `run` returns.
    """

    run: Callable[[ReplayStream], Awaitable[None]]


Handler = Callable[[Request], Awaitable[Response | TakeOver]]
#: (method, path) -> handler. HEAD is answered by GET's handler.
Routes = Mapping[tuple[str, str], Handler]


class ReplayStream(trio.abc.Stream):
    """A stream that first returns `data`, then what the inner stream has."""

    def __init__(self, inner: trio.abc.Stream, data: bytes) -> None:
        self.inner = inner
        self._data = data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send through."""
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait on the inner stream."""
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The bytes that were read before, then new ones."""
        if not self._data:
            return bytes(await self.inner.receive_some(max_bytes))
        await trio.lowlevel.checkpoint()
        count = len(self._data) if max_bytes is None else max_bytes
        data, self._data = self._data[:count], self._data[count:]
        return data

    async def aclose(self) -> None:
        """Close the inner stream."""
        await self.inner.aclose()


class _PeerGoneError(Exception):
    """The peer went away or was too slow; nothing more can be said to it."""


class _Connection:
    def __init__(self, stream: trio.abc.Stream, routes: Routes, limits: HttpLimits, peer: str) -> None:
        self.stream = stream
        self.routes = routes
        self.limits = limits
        self.peer = peer
        self.h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        #: Raw bytes since the start of the current request, for TakeOver; not kept beyond the head's limit.
        self.raw = bytearray()

    async def serve(self) -> TakeOver | None:
        """Answer requests until the connection ends, or until a handler takes over."""
        for served in range(1, self.limits.requests + 1):
            try:
                request = await self._request()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint)
                return None
            if request is None:
                return None
            answer = await self._answer(request)
            if isinstance(answer, TakeOver):
                return answer
            await self._send(request.method, answer, last=served == self.limits.requests)
            if self.h11.our_state is not h11.DONE or self.h11.their_state is not h11.DONE:
                return None
            trailing = bytes(self.h11.trailing_data[0])
            self.h11.start_next_cycle()
            self.raw = bytearray(trailing)
        return None

    async def _request(self) -> Request | None:
        """The next whole request, or None when the peer closed in between or asked for another protocol's upgrade."""
        head: h11.Request | None = None
        body = bytearray()
        with trio.move_on_after(
            self.limits.request_seconds if self.raw else self.limits.idle_seconds
        ) as clock:
            while True:
                event = self.h11.next_event()
                if event is h11.NEED_DATA:
                    if self.h11.they_are_waiting_for_100_continue:
                        await self._write(
                            self.h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
                        )
                    begun = bool(self.raw)
                    self.h11.receive_data(await self._read())
                    if not begun:
                        # The clock of the request runs from its first byte, so a trickle gains nothing.
                        clock.deadline = trio.current_time() + self.limits.request_seconds
                elif isinstance(event, h11.Request):
                    head = event
                    names = {name for name, _ in event.headers}
                    if names >= {b"transfer-encoding", b"content-length"}:
                        raise h11.RemoteProtocolError("two lengths (RFC 9112 section 6.1)")
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > self.limits.body_bytes:
                        raise h11.RemoteProtocolError("body too long", error_status_hint=413)
                elif isinstance(event, h11.EndOfMessage):
                    assert head is not None
                    return _parsed(head, bytes(body), self.peer)
                else:
                    return None
        if self.raw:
            raise h11.RemoteProtocolError("too slow", error_status_hint=408)
        return None

    async def _read(self) -> bytes:
        try:
            data = bytes(await self.stream.receive_some(_READ))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _PeerGoneError from error
        if len(self.raw) <= self.limits.head_bytes + _READ:
            self.raw += data
        return data

    async def _answer(self, request: Request) -> Response | TakeOver:
        method = "GET" if request.method == "HEAD" else request.method
        handler = self.routes.get((method, request.path))
        if handler is None:
            allowed = sorted({m for m, path in self.routes if path == request.path})
            if not allowed:
                return Response(404, b"not found\n")
            return Response(405, b"method not allowed\n", headers=(("Allow", ", ".join(allowed)),))
        try:
            return await handler(request)
        except Exception:
            _log.exception("http_handler_failed", path=request.path)
            return Response(500, b"internal error\n")

    async def _send(self, method: str, response: Response, *, last: bool) -> None:
        headers = [("Date", formatdate(usegmt=True)), *response.headers]
        if response.status != HTTPStatus.NO_CONTENT:
            headers.append(("Content-Type", response.content_type))
            headers.append(("Content-Length", str(len(response.body))))
        if last:
            headers.append(("Connection", "close"))
        reason = HTTPStatus(response.status).phrase
        out = self.h11.send(h11.Response(status_code=response.status, headers=headers, reason=reason))
        assert out is not None
        if method != "HEAD":
            out += self.h11.send(h11.Data(data=response.body)) or b""
        out += self.h11.send(h11.EndOfMessage()) or b""
        await self._write(out)

    async def _refuse(self, status: int) -> None:
        if self.h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            text = f"{HTTPStatus(status).phrase.lower()}\n".encode()
            await self._send("GET", Response(status, text), last=True)

    async def _write(self, data: bytes) -> None:
        with trio.move_on_after(self.limits.write_seconds) as scope:
            try:
                await self.stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise _PeerGoneError from error
        if scope.cancelled_caught:
            raise _PeerGoneError


def _parsed(head: h11.Request, body: bytes, peer: str) -> Request:
    path, _, query = head.target.decode("ascii").partition("?")
    headers: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(
        method=head.method.decode("ascii"),
        path=unquote(path),
        query=dict(parse_qsl(query, max_num_fields=32)) if query.count("&") < 32 else {},
        headers=headers,
        body=body,
        peer=peer,
    )


async def serve_connection(
    stream: trio.abc.Stream, routes: Routes, *, limits: HttpLimits | None = None, peer: str = ""
) -> None:
    """Serve HTTP on one accepted stream (plain or TLS) until it ends; closes it. `peer` is handed on in `Request`.

    Never raises for what the peer does.
    """
    connection = _Connection(stream, routes, limits or HttpLimits(), peer)
    try:
        taken = await connection.serve()
        if taken is not None:
            await taken.run(ReplayStream(stream, bytes(connection.raw)))
        else:
            with trio.move_on_after(1):
                await stream.aclose()
    except _PeerGoneError:
        pass
    finally:
        await trio.aclose_forcefully(stream)


async def serve_http(
    host: str,
    port: int,
    routes: Routes,
    *,
    connections: int = 64,
    limits: HttpLimits | None = None,
    name: str = "port",
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen and serve until cancelled; reports the port that was bound. More than `connections` at once wait.

    Raises ListenError, which calls the port by the `name` of its setting.
    """
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        reason = (
            "in use by another process" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        )
        raise ListenError(
            f"{name} {port} on {host}: {reason}: give this process another, or 0 for a free one"
        ) from error
    room = trio.CapacityLimiter(connections)

    async def serve(stream: trio.SocketStream) -> None:
        async with room:
            await serve_connection(stream, routes, limits=limits)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        bound: int = listeners[0].socket.getsockname()[1]
        task_status.started(bound)
