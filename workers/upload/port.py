"""The port of the files: sockets, TLS by the certificates of the domains, limits at the door."""

from __future__ import annotations

import socket
import ssl
from typing import Final

import structlog
import trio

from rookery.shared.config import Config
from rookery.shared.net.addresses import Nets
from rookery.shared.net.certificates import CertificateStore
from rookery.shared.net.limits import Doorkeeper
from rookery.shared.net.listener import bind_sockets
from rookery.shared.net.secured import Secured
from rookery.shared.observe.metrics import RATELIMIT
from rookery.shared.xeps.upload import Options
from rookery.workers.upload.files import Files
from rookery.workers.upload.http import Connection

WEB: Final = "web"
_BACKLOG: Final = 256
_TLS: Final = 0x16
_RETRY: Final = 5.0
_REFUSED: Final = RATELIMIT.labels("connections")
_log = structlog.get_logger()


class Port:
    """Listens, and serves each client in a task of its own."""

    def __init__(self, config: Config, files: Files) -> None:
        self._config = config
        self._options = config.options(Options)
        self._files = files
        self._certificates = CertificateStore(config.tls, {WEB: ("http/1.1",)})
        self._keeper = Doorkeeper(
            config.limits.connections_per_ip,
            config.limits.connections_per_ip_per_second,
            Nets(config.limits.exempt_nets),
        )
        self._open = 0
        #: The port that is listened to, 0 while none is.
        self.number = 0

    async def run(self) -> None:
        """Serve until cancelled. A port that is taken is tried again: the other workers of the process have nothing to do with it."""
        sockets = await self._bound()
        self.reload()
        async with trio.open_nursery() as nursery:
            for sock in sockets:
                sock.listen(_BACKLOG)
                listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
                nursery.start_soon(trio.serve_listeners, self._serve, [listener])
            self.number = sockets[0].getsockname()[1]
            _log.info("upload_listening", upload=self.number)
            try:
                while True:
                    await trio.sleep(self._config.tls.reload_interval)
                    await trio.to_thread.run_sync(self.reload)
            finally:
                self.number = 0

    async def _bound(self) -> list[socket.socket]:
        while True:
            try:
                return bind_sockets(self._options.host, self._options.port)
            except OSError as error:
                _log.error("upload_port_taken", port=self._options.port, error=error.strerror or str(error))
            await trio.sleep(_RETRY)

    def reload(self) -> None:
        """Read changed certificates."""
        self._certificates.reload()

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
            secured = await self._secured(stream)
            if secured is not None:
                await Connection(secured, self._files).serve()
        finally:
            self._open -= 1
            self._keeper.leave(host)

    async def _secured(self, stream: trio.SocketStream) -> trio.abc.Stream | None:
        """The stream after its handshake; None for a client that may not come in as it does."""
        with trio.move_on_after(self._config.limits.tls_seconds):
            try:
                first = await stream.socket.recv(1, socket.MSG_PEEK)
                if first and first[0] != _TLS:
                    return stream if self._options.plaintext else None
                context = self._certificates.context("", WEB) if first else None
                if context is None:
                    return None
                secured = Secured(stream, context)
                await secured.do_handshake()
                return secured
            except (OSError, ssl.SSLError, trio.BrokenResourceError):
                return None
        return None
