"""Where clients come in: accepted sockets are counted, limited, and given to a connection."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import Final

from rookery.edge.bosh.transport import BoshTransport
from rookery.edge.client.connection import Connection
from rookery.edge.context import Context
from rookery.edge.door.tls import ALPN, DIRECT, STARTTLS, ClientTls
from rookery.edge.login.framing import BOSH, TCP, WEBSOCKET, Framing
from rookery.edge.policy import Security
from rookery.shared.config import Config, Limits
from rookery.shared.net.addresses import Nets, family, is_loopback
from rookery.shared.net.channel import Channel
from rookery.shared.net.limits import Doorkeeper
from rookery.shared.net.reactor import close_quietly
from rookery.shared.net.stages import Alpn, ProxyHeader
from rookery.shared.net.transport import Transport
from rookery.shared.observe import metrics
from rookery.shared.xeps import channel_binding

#: To find a label's gauge takes longer than to count.
_connections: Final = lru_cache(maxsize=64)(metrics.C2S_CONNECTIONS.labels)
_REFUSED = metrics.RATELIMIT.labels("connections")


class Door:
    """Accepts clients of all ports; knows all connections."""

    def __init__(self, context: Context, config: Config) -> None:
        limits = config.limits
        self._context = context
        binds = config.options(channel_binding.Options).type != "none"
        self._starttls = ClientTls(context.pool, context.certificates, STARTTLS, binds=binds)
        self._tls = ClientTls(context.pool, context.certificates, DIRECT, binds=binds)
        self._keeper = Doorkeeper(
            limits.connections_per_ip, limits.connections_per_ip_per_second, context.exempt
        )
        self._plaintext = config.edge.allow_plaintext
        self.balancers = Nets(config.edge.proxy_protocol_nets)
        self.connections: set[Connection] = set()
        #: Connections that came with PROXY and are not counted until it is read, and those of the direct TLS port.
        self._direct: set[Connection] = set()
        self._gauges: dict[Connection, tuple[str, str]] = {}
        #: Whether the edge ends: requests still come on open HTTP connections.
        self.draining = False

    def configured(self, limits: Limits) -> None:
        """Let addresses have other numbers of connections from now on."""
        self._keeper.configure(limits.connections_per_ip, limits.connections_per_ip_per_second)

    # --- TCP ---

    def accept(self, sock: socket.socket, host: str) -> None:
        """A client of the STARTTLS port."""
        self._accept(sock, host, direct=False)

    def accept_direct(self, sock: socket.socket, host: str) -> None:
        """A client of the direct TLS port (XEP-0368)."""
        self._accept(sock, host, direct=True)

    def _accept(self, sock: socket.socket, host: str, *, direct: bool) -> None:
        balancer = host in self.balancers
        if not balancer and not self.enter(host):
            close_quietly(sock)
            return
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass
        security = Security(
            starttls=not direct and bool(self._context.certificates),
            plaintext=not balancer and not direct and self.may_be_plain(host),
        )
        connection = Connection(self._context, TCP, security, host, self)
        channel = Channel(self._context.reactor, sock, connection, self._tls if direct else self._starttls)
        connection.transport = channel
        self._add(connection, "tls" if direct else "tcp")
        if direct:
            self._direct.add(connection)
        if balancer:
            channel.begin(ProxyHeader(connection.on_source))
            connection.start(tls=True)
            connection.host = ""
        else:
            self._begin(connection, channel)

    def _begin(self, connection: Connection, channel: Channel) -> None:
        if connection not in self._direct:
            connection.start()
            return
        self._direct.discard(connection)
        connection.start(tls=True)
        context = self._tls.context("")
        if context is None:
            channel.abort("tls")
        else:
            channel.begin(Alpn(context, ALPN.encode()))

    def arrived(self, connection: Connection, host: str) -> bool:
        """A load balancer has named the client ("": its own health check)."""
        if not host:
            return False
        if not self.enter(host):
            return False
        connection.host = host
        channel = connection.transport
        assert isinstance(channel, Channel)
        self._begin(connection, channel)
        return True

    # --- all ---

    def enter(self, host: str) -> bool:
        """Count a connection from `host`; False when it has to be closed at once."""
        if self._keeper.enter(host, self._context.reactor.clock()):
            return True
        _REFUSED.inc()
        return False

    def leave(self, host: str) -> None:
        """Uncount a connection that was counted and never became a `Connection`."""
        self._keeper.leave(host)

    def adopt(self, host: str, transport: Transport, *, secure: bool) -> Connection:
        """A WebSocket that has been opened; it is counted by the HTTP connection that it came from."""
        return self._carried(host, transport, WEBSOCKET, "ws", secure=secure)

    def adopt_bosh(self, host: str, transport: BoshTransport, secure: bool) -> Connection | None:
        """A session of BOSH begins; it counts like a connection. None when its client has too many."""
        if self.draining or not self.enter(host):
            return None
        return self._carried(host, transport, BOSH, "bosh", secure=secure)

    def _carried(
        self, host: str, transport: Transport, framing: Framing, label: str, *, secure: bool
    ) -> Connection:
        security = Security(secure=secure, plaintext=not secure)
        connection = Connection(self._context, framing, security, host, self)
        connection.transport = transport
        self._add(connection, label)
        connection.start()
        return connection

    def may_be_plain(self, host: str) -> bool:
        """Whether a client at `host` may authenticate without TLS (load tests on this machine)."""
        return self._plaintext and is_loopback(host)

    def _add(self, connection: Connection, transport: str) -> None:
        self.connections.add(connection)
        labels = self._gauges[connection] = (transport, family(connection.host))
        _connections(*labels).inc()

    def left(self, connection: Connection) -> None:
        """A connection is closed."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self._direct.discard(connection)
        labels = self._gauges.pop(connection)
        _connections(*labels).dec()
        if connection.host and labels[0] != "ws":
            self._keeper.leave(connection.host)
