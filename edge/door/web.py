"""The HTTP port of an edge: XMPP over WebSocket (RFC 7395) and host-meta (XEP-0156), with TLS or without by the first byte.

It stands on the same channels as the other ports: handshakes, limits and PROXY headers are theirs.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import Final

import structlog

from rookery.edge.context import Context
from rookery.edge.door.door import Door
from rookery.edge.door.tls import WEB, ClientTls
from rookery.shared.config import Config
from rookery.shared.net import websocket
from rookery.shared.net.addresses import Nets
from rookery.shared.net.channel import Channel
from rookery.shared.net.http import Answer, Handler, HttpConnection, Switch
from rookery.shared.net.reactor import close_quietly
from rookery.shared.net.stages import FirstByte, ProxyHeader
from rookery.shared.net.websocket import WebSocket
from rookery.shared.observe.exchange import HttpLimits, Request, Response
from rookery.shared.xeps import channel_binding, host_meta
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import prepare_domain

PATH: Final = "/xmpp-websocket"
SUBPROTOCOL: Final = "xmpp"
#: Refused origins that are told of: whoever makes them up shall not fill the log.
_MAX_STRANGERS: Final = 100
_log = structlog.get_logger()


class WebDoor:
    """Accepts the clients of the HTTP port; implements `shared.net.http.Site`."""

    def __init__(self, context: Context, door: Door, config: Config) -> None:
        self._context = context
        self._door = door
        self._config = config.edge
        self._max_message = config.limits.stanza_bytes
        self._proxies = Nets(config.edge.http_proxy_nets)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in config.edge.websocket_origins)
        binds = config.options(channel_binding.Options).type != "none"
        self._security = ClientTls(context.pool, context.certificates, WEB, binds=binds)
        #: Origins that were refused and told of.
        self._strangers: set[str] = set()
        #: Clients that speak HTTP, and under which address each is counted ("": it is not).
        self._clients: dict[HttpConnection, str] = {}
        self.limits = HttpLimits()
        self.routes: dict[tuple[str, str], Handler] = {
            ("GET", PATH): self._upgrade,
            ("GET", "/.well-known/host-meta"): partial(self._host_meta, False),
            ("GET", "/.well-known/host-meta.json"): partial(self._host_meta, True),
        }

    # --- who comes in ---

    def accept(self, sock: socket.socket, host: str) -> None:
        """A client of the HTTP port."""
        balancer = host in self._door.balancers
        counted = not balancer and host not in self._proxies
        if counted and not self._door.enter(host):
            close_quietly(sock)
            return
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass
        client = HttpConnection(self._context.reactor, self, host, self._context.limits.tls_seconds)
        client.channel = Channel(self._context.reactor, sock, client, self._security)
        self._clients[client] = host if counted else ""
        if balancer:
            client.channel.begin(ProxyHeader(partial(self._named, client)))
        else:
            self._begin(client)

    def _named(self, client: HttpConnection, host: str) -> bool:
        """A load balancer has named the client ("": its own health check)."""
        if not host or not self._door.enter(host):
            return False
        client.host = self._clients[client] = host
        self._begin(client)
        return True

    def _begin(self, client: HttpConnection) -> None:
        client.channel.begin(FirstByte(partial(self._security.context, ""), client.start))

    def left(self, client: HttpConnection) -> None:
        """A client that spoke HTTP is gone."""
        self._uncount(self._clients.pop(client))

    def _uncount(self, *hosts: str) -> None:
        for host in hosts:
            if host:
                self._door.leave(host)

    def close(self) -> None:
        """The edge ends: close all that speak HTTP."""
        for client in list(self._clients):
            client.channel.abort("shutdown")

    # --- what is here ---

    def _host_meta(self, as_json: bool, request: Request, client: HttpConnection) -> Answer:
        url = self._config.websocket_url
        if not url:
            secure = client.secure or request.headers.get("x-forwarded-proto") == "https"
            authority = request.headers.get("host", "")
            if not authority or any(char in authority for char in " '\"<>/\\@"):
                return Response(400, b"bad host\n")
            if not self._hosted(authority):
                return Response(404, b"this domain is not hosted here\n")
            url = f"{'wss' if secure else 'ws'}://{authority}{PATH}"
        # XEP-0156 section 3: web clients of any origin read this.
        headers = (("Access-Control-Allow-Origin", "*"),)
        if as_json:
            return Response(200, host_meta.jrd(url), "application/json", headers)
        return Response(200, host_meta.xrd(url), "application/xrd+xml; charset=utf-8", headers)

    def _hosted(self, authority: str) -> bool:
        """Whether a Host header names a hosted domain or a name below one."""
        name = authority.rpartition(":")[0] or authority
        find = self._context.policy.find
        try:
            labels = prepare_domain(name).split(".")
        except JidError:
            return False
        return any(find(".".join(labels[at:])) is not None for at in range(len(labels)))

    def _refused(self, origin: str) -> None:
        """Tell the operator why a web client cannot connect, once for each origin."""
        if origin not in self._strangers and len(self._strangers) < _MAX_STRANGERS:
            self._strangers.add(origin)
            _log.warning("websocket_origin_refused", origin=origin[:200], setting="edge.websocket_origins")

    def _upgrade(self, request: Request, client: HttpConnection) -> Answer:
        accepted = websocket.accept(request, SUBPROTOCOL)
        if isinstance(accepted, Response) and accepted.status == 426:
            return accepted
        headers = request.headers
        secure = client.secure
        host = client.host
        proxied = host in self._proxies
        if proxied:
            # The last address is the one that our own proxy saw.
            host = headers.get("x-forwarded-for", host).rpartition(",")[2].strip() or host
            secure = secure or headers.get("x-forwarded-proto", "https").lower() == "https"
        if not secure and not self._door.may_be_plain(client.host):
            return Response(403, b"TLS is required\n")
        origin = headers.get("origin", "").rstrip("/").lower()
        if origin and "*" not in self._origins and origin not in self._origins:
            self._refused(origin)
            return Response(
                403, b"this origin is not allowed: the operator lists it in edge.websocket_origins\n"
            )
        if isinstance(accepted, Response):
            return accepted
        # A client behind a proxy is counted from here on; any other was when it connected.
        if proxied and not self._door.enter(host):
            return Response(429, b"too many connections\n")
        counted = self._clients.pop(client), host if proxied else ""
        return Switch(accepted, partial(self._speak, host, secure, counted))

    def _speak(
        self, host: str, secure: bool, counted: tuple[str, str], channel: Channel, rest: bytes
    ) -> None:
        socket = WebSocket(channel, self._max_message, partial(self._uncount, *counted))
        socket.begin(self._door.adopt(host, socket, secure=secure), rest)
