"""A small HTTP/1.1 server on trio streams: health and metrics, for operators on their own port.

`Exchange` is the protocol; this file is its shell, with a limit on every wait. What clients reach is in `shared.net.http`.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import structlog
import trio

from rookery.shared.observe.exchange import (
    Exchange,
    HttpError,
    HttpLimits,
    Pause,
    Request,
    Response,
    route,
    unknown,
)

_READ = 16_384
_log = structlog.get_logger()


class ListenError(Exception):
    """A port cannot be listened to; the text is one line with the remedy."""


class Way(NamedTuple):
    """How a client has come: by TLS, and whose verified certificate it has shown."""

    stream: trio.abc.Stream
    secure: bool = False
    certificate: str = ""


#: Called with an accepted socket and the peer's address; None closes it.
Guard = Callable[[trio.SocketStream, str], Awaitable[Way | None]]
Handler = Callable[[Request], Awaitable[Response]]
#: (method, path) -> handler. HEAD is answered by GET's handler.
Routes = Mapping[tuple[str, str], Handler]


class _PeerGoneError(Exception):
    """The peer went away or was too slow; nothing more can be said to it."""


class _Connection:
    def __init__(
        self,
        way: Way,
        routes: Routes,
        limits: HttpLimits,
        peer: str,
        otherwise: Handler | None,
    ) -> None:
        self.stream = way.stream
        self.way = way
        self.routes = routes
        self.otherwise = otherwise
        self.limits = limits
        self.exchange = Exchange(limits, peer)

    async def serve(self) -> None:
        """Answer requests until the connection ends."""
        while True:
            try:
                request = await self._request()
            except HttpError as error:
                await self._write(self.exchange.refuse(error.status))
                return
            if request is None:
                return
            await self._write(self.exchange.answer(await self._answer(request)))
            if not self.exchange.again():
                return

    async def _request(self) -> Request | None:
        """The next whole request, or None when the peer closed in between or asked for another protocol's upgrade."""
        exchange = self.exchange
        seconds = self.limits.request_seconds if exchange.begun else self.limits.idle_seconds
        with trio.move_on_after(seconds) as clock:
            while True:
                found = exchange.next()
                if isinstance(found, Request):
                    way = self.way
                    return found._replace(secure=True, certificate=way.certificate) if way.secure else found
                if found is Pause.CLOSED:
                    return None
                if found is Pause.CONTINUE:
                    await self._write(exchange.proceed())
                begun = exchange.begun
                exchange.feed(await self._read())
                if not begun:
                    # The clock of the request runs from its first byte, so a trickle gains nothing.
                    clock.deadline = trio.current_time() + self.limits.request_seconds
        if exchange.begun:
            raise HttpError(408)
        return None

    async def _read(self) -> bytes:
        try:
            return bytes(await self.stream.receive_some(_READ))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _PeerGoneError from error

    async def _answer(self, request: Request) -> Response:
        handler = self.routes.get(route(request))
        if handler is None and self.otherwise is not None and unknown(request, self.routes).status == 404:
            handler = self.otherwise
        if handler is None:
            return unknown(request, self.routes)
        try:
            return await handler(request)
        except Exception:
            _log.exception("http_handler_failed", path=request.path)
            return Response(500, b"internal error\n")

    async def _write(self, data: bytes) -> None:
        with trio.move_on_after(self.limits.write_seconds) as scope:
            try:
                await self.stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise _PeerGoneError from error
        if scope.cancelled_caught:
            raise _PeerGoneError


async def serve_connection(
    stream: trio.abc.Stream | Way,
    routes: Routes,
    *,
    limits: HttpLimits | None = None,
    peer: str = "",
    otherwise: Handler | None = None,
) -> None:
    """Serve HTTP on one accepted stream (plain or TLS) until it ends; closes it. `peer` is handed on in `Request`.

    `otherwise` answers requests for paths that are not among the routes, in place of 404.

    Never raises for what the peer does.
    """
    way = stream if isinstance(stream, Way) else Way(stream)
    stream = way.stream
    try:
        await _Connection(way, routes, limits or HttpLimits(), peer, otherwise).serve()
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
    otherwise: Handler | None = None,
    guard: Guard | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen and serve until cancelled; reports the port that was bound. More than `connections` at once wait.

    `guard` looks at each connection first, and makes it one of TLS where it is.

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
            peer = _peer(stream)
            way = Way(stream) if guard is None else await guard(stream, peer)
            if way is None:
                await trio.aclose_forcefully(stream)
                return
            await serve_connection(way, routes, limits=limits, peer=peer, otherwise=otherwise)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        bound: int = listeners[0].socket.getsockname()[1]
        task_status.started(bound)


def _peer(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return ""  # it has gone already


__all__ = [
    "Guard",
    "Handler",
    "HttpLimits",
    "Request",
    "Response",
    "Routes",
    "Way",
    "serve_connection",
    "serve_http",
]
