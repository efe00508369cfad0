"""The port of the proxy: sockets, limits at the door, and the relay itself."""

from __future__ import annotations

import socket
from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bucket import Bucket
from rookery.shared.config import Config
from rookery.shared.net.addresses import Nets
from rookery.shared.net.limits import Doorkeeper
from rookery.shared.net.listener import bind_sockets
from rookery.shared.observe.metrics import PROXY_BYTES, PROXY_STREAMS, RATELIMIT
from rookery.shared.xeps.socks5_bytestreams import Options
from rookery.workers.proxy import socks
from rookery.workers.proxy.meeting import Meeting

_BACKLOG: Final = 256
_RETRY: Final = 5.0
#: How much is read at once; a stream has so much in memory for each direction, and no more.
CHUNK: Final = 65_536
_NEGOTIATE_SECONDS: Final = 10.0
_REFUSED: Final = RATELIMIT.labels("connections")
_log = structlog.get_logger()


class _Side:
    """One connection of a stream: `taken` is set when it is relayed, or is not wanted any more."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.taken = trio.Event()
        self.over = trio.Event()


class Port:
    """Listens, lets connections meet, and relays."""

    def __init__(self, config: Config) -> None:
        self._options = config.options(Options)
        limits = config.limits
        self._keeper = Doorkeeper(
            limits.connections_per_ip, limits.connections_per_ip_per_second, Nets(limits.exempt_nets)
        )
        self._open = 0
        self._nursery: trio.Nursery | None = None
        self._meeting: Meeting[_Side] = Meeting(self._options.connections_per_account)
        #: The port that is listened to, 0 while none is.
        self.number = 0

    async def run(self) -> None:
        """Serve until cancelled."""
        sockets = await self._bound()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for sock in sockets:
                sock.listen(_BACKLOG)
                listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
                nursery.start_soon(trio.serve_listeners, self._serve, [listener])
            self.number = sockets[0].getsockname()[1]
            _log.info("proxy_listening", proxy=self.number)
            try:
                await trio.sleep_forever()
            finally:
                self.number = 0

    async def _bound(self) -> list[socket.socket]:
        """A port that no other process has: both sides of a stream must come to this one."""
        options = self._options
        while True:
            for port in range(options.port, options.port + (options.ports if options.port else 1)):
                try:
                    return bind_sockets(options.host, port, shared=False)
                except OSError as error:
                    reason = error.strerror or str(error)
            _log.error("proxy_ports_taken", port=options.port, ports=options.ports, error=reason)
            await trio.sleep(_RETRY)

    # --- one connection -----------------------------------------------------------------------------------------------

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            host = str(stream.socket.getpeername()[0])
        except OSError:
            return
        if self._open >= self._options.connections or not self._keeper.enter(host, trio.current_time()):
            _REFUSED.inc()
            return
        self._open += 1
        try:
            await self._meet(stream)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._open -= 1
            self._keeper.leave(host)
            await trio.aclose_forcefully(stream)

    async def _meet(self, stream: trio.SocketStream) -> None:
        wanted = ""
        with trio.move_on_after(_NEGOTIATE_SECONDS):
            wanted = await _negotiated(stream)
        if not wanted:
            return
        side = _Side(stream)
        if self._meeting.full(wanted):
            await stream.send_all(socks.reply(socks.REFUSED, wanted))
            return
        # Before the other side can have the stream activated: then others write to this socket.
        await stream.send_all(socks.reply(0, wanted))
        if not self._meeting.join(wanted, side):
            return
        with trio.move_on_after(self._options.wait_seconds):
            await side.taken.wait()
        if not side.taken.is_set():
            self._meeting.leave(wanted, side)
            return
        await side.over.wait()

    # --- streams ------------------------------------------------------------------------------------------------------

    def activate(self, stream: str, account: str) -> None:
        """Relay between the two sides from now on. Raises StanzaError."""
        one, other = self._meeting.activate(stream, account)
        one.taken.set()
        other.taken.set()
        PROXY_STREAMS.inc()
        assert self._nursery is not None
        self._nursery.start_soon(self._relay, one, other, account)

    async def _relay(self, one: _Side, other: _Side, account: str) -> None:
        options = self._options
        try:
            with trio.CancelScope() as scope:
                scope.deadline = trio.current_time() + options.idle_seconds
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(partial(self._copy, one.stream, other.stream, scope))
                    nursery.start_soon(partial(self._copy, other.stream, one.stream, scope))
        finally:
            self._meeting.ended(account)
            one.over.set()
            other.over.set()

    async def _copy(
        self, source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        """Copy until the end of one side; the other direction may go on."""
        options = self._options
        rate = options.bytes_per_second
        bucket = Bucket(rate, max(rate, CHUNK), trio.current_time())
        try:
            while data := await source.receive_some(CHUNK):
                await target.send_all(data)
                PROXY_BYTES.inc(len(data))
                now = trio.current_time()
                scope.deadline = now + options.idle_seconds
                if wait := bucket.take(len(data), now):
                    scope.deadline += wait
                    await trio.sleep(wait)
            await target.send_eof()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            scope.cancel()


async def _negotiated(stream: trio.SocketStream) -> str:
    """The stream that a client names; "" when it says something else."""
    negotiation = socks.Negotiation()
    taken = 0
    while taken < socks.MAX_BYTES:
        data = await stream.receive_some(socks.MAX_BYTES - taken)
        if not data:
            return ""
        taken += len(data)
        step = negotiation.feed(bytes(data))
        if step.out:
            await stream.send_all(step.out)
        if step.stream or step.over:
            return step.stream
    return ""
