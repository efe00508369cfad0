"""The HTTP port of an edge: XMPP over WebSocket (RFC 7395), BOSH (XEP-0124), host-meta (XEP-0156), with TLS or without by the first byte.

It stands on the same channels as the other ports: handshakes, limits and PROXY headers are theirs.
"""

from __future__ import annotations

import socket
from functools import lru_cache, partial
from typing import Final, NamedTuple

import structlog

from rookery.edge.bosh.hub import WRAPPER_BYTES, Hub, Local, Place
from rookery.edge.context import Context
from rookery.edge.door import invitation_page
from rookery.edge.door.account_door import AccountDoor
from rookery.edge.door.door import Door
from rookery.edge.door.forms import Source
from rookery.edge.door.joining_door import JoiningDoor
from rookery.edge.door.tls import WEB, ClientTls
from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import AskInvitation, Invited, Kind
from rookery.shared.cluster.api import Node
from rookery.shared.config import Config
from rookery.shared.net import websocket
from rookery.shared.net.addresses import Nets
from rookery.shared.net.channel import Channel
from rookery.shared.net.http import Answer, Handler, HttpConnection, Switch
from rookery.shared.net.reactor import close_quietly
from rookery.shared.net.stages import FirstByte, ProxyHeader
from rookery.shared.net.websocket import WebSocket
from rookery.shared.observe.exchange import HttpLimits, Request, Response
from rookery.shared.xeps import bosh, channel_binding, host_meta, invitations, registration
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import prepare_domain

PATH: Final = "/xmpp-websocket"
BOSH_PATH: Final = "/http-bind"
SUBPROTOCOL: Final = "xmpp"
#: Refused origins that are told of: whoever makes them up shall not fill the log.
_MAX_STRANGERS: Final = 100
_log = structlog.get_logger()


class _Who(NamedTuple):
    """Who asks: the client's address, whether it came over TLS, whether one of our proxies speaks for it; the page's origin, "" for none."""

    host: str
    secure: bool
    proxied: bool
    origin: str


class WebDoor:
    """Accepts the clients of the HTTP port; implements `shared.net.http.Site`."""

    def __init__(self, context: Context, door: Door, config: Config, node: Node) -> None:
        self._context = context
        self._door = door
        self._config = config.edge
        self._bosh_options = config.options(bosh.Options)
        self._max_message = config.limits.stanza_bytes
        self._proxies = Nets(config.edge.http_proxy_nets)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in config.edge.websocket_origins)
        binds = config.options(channel_binding.Options).type != "none"
        self._security = ClientTls(context.pool, context.certificates, WEB, binds=binds)
        #: Origins that were refused and told of.
        self._strangers: set[str] = set()
        self._told_of_tls = 0
        #: Clients that speak HTTP, and under which address each is counted ("": it is not).
        self._clients: dict[HttpConnection, str] = {}
        #: Sessions of BOSH.
        self.bosh = Hub(context, self._bosh_options, Place(node.incarnation, node.edges, door.adopt_bosh))
        self.limits = HttpLimits(body_bytes=self._max_message + WRAPPER_BYTES)
        self.routes: dict[tuple[str, str], Handler] = {
            ("GET", PATH): self._upgrade,
            ("GET", "/.well-known/host-meta"): partial(self._host_meta, False),
            ("GET", "/.well-known/host-meta.json"): partial(self._host_meta, True),
        }
        if config.options(invitations.Options).enabled:
            self.routes["GET", invitations.PATH] = self._invitation
        if config.options(registration.Options).page:
            account = AccountDoor(context, self._hosted, self._from)
            self.routes["GET", registration.PATH] = account.get
            self.routes["POST", registration.PATH] = account.post
        self._join_path = ""
        if config.options(registration.Options).join_page:
            joining = JoiningDoor(context, self._hosted, self._from)
            self._join_path = registration.JOIN_PATH
            self.routes["GET", self._join_path] = joining.get
            self.routes["POST", self._join_path] = joining.post
        if self._bosh_options.enabled:
            self.routes["POST", BOSH_PATH] = self._bind
            self.routes["OPTIONS", BOSH_PATH] = self._preflight

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
        links = {
            host_meta.REL_WEBSOCKET: self._config.websocket_url,
            host_meta.REL_BOSH: self._bosh_options.url,
        }
        if not self._bosh_options.enabled:
            del links[host_meta.REL_BOSH]
        if not all(links.values()):
            # (who asks without TLS is told where he will be let in)
            secure = client.secure or request.headers.get("x-forwarded-proto") == "https"
            secure = secure or not self._door.may_be_plain(client.host)
            authority = request.headers.get("host", "")
            if not authority or any(char in authority for char in " '\"<>/\\@"):
                return Response(400, b"bad host\n")
            if not self._hosted(authority):
                return Response(404, b"this domain is not hosted here\n")
            here = {
                host_meta.REL_WEBSOCKET: f"{'wss' if secure else 'ws'}://{authority}{PATH}",
                host_meta.REL_BOSH: f"{'https' if secure else 'http'}://{authority}{BOSH_PATH}",
            }
            links = {rel: url or here[rel] for rel, url in links.items()}
        # XEP-0156 section 3: web clients of any origin read this.
        headers = (("Access-Control-Allow-Origin", "*"),)
        if as_json:
            return Response(200, host_meta.jrd(links), "application/json", headers)
        return Response(200, host_meta.xrd(links), "application/xrd+xml; charset=utf-8", headers)

    def _hosted(self, authority: str) -> str:
        """The hosted domain that a Host header names, or names something below of; "" for none."""
        name = authority.rpartition(":")[0] or authority
        find = self._context.policy.find
        try:
            labels = prepare_domain(name).split(".")
        except JidError:
            return ""
        above = (".".join(labels[at:]) for at in range(len(labels)))
        return next((name for name in above if find(name) is not None), "")

    def _refused(self, origin: str) -> None:
        """Tell the operator why a web client cannot connect, once for each origin."""
        if origin not in self._strangers and len(self._strangers) < _MAX_STRANGERS:
            self._strangers.add(origin)
            _log.warning("websocket_origin_refused", origin=origin[:200], setting="edge.websocket_origins")

    def _from(self, request: Request, client: HttpConnection) -> Source | Response:
        """From where a request comes, or the refusal of one that came in the clear."""
        headers = request.headers
        secure = client.secure
        host = client.host
        proxied = host in self._proxies
        if proxied:
            # The last address is the one that our own proxy saw.
            host = headers.get("x-forwarded-for", host).rpartition(",")[2].strip() or host
            secure = secure or headers.get("x-forwarded-proto", "https").lower() == "https"
        if not secure and not self._door.may_be_plain(client.host):
            if self._told_of_tls < _MAX_STRANGERS:
                self._told_of_tls += 1
                _log.warning("web_client_without_tls", address=client.host, setting="edge.http_proxy_nets")
            return Response(403, b"TLS is required\n")
        return Source(host, secure, proxied)

    def _who(self, request: Request, client: HttpConnection) -> _Who | Response:
        """Who asks, or the refusal of one who may not speak XMPP here."""
        source = self._from(request, client)
        if isinstance(source, Response):
            return source
        origin = request.headers.get("origin", "").rstrip("/").lower()
        if origin and "*" not in self._origins and origin not in self._origins:
            self._refused(origin)
            return Response(
                403, b"this origin is not allowed: the operator lists it in edge.websocket_origins\n"
            )
        return _Who(*source, origin)

    def _upgrade(self, request: Request, client: HttpConnection) -> Answer:
        accepted = websocket.accept(request, SUBPROTOCOL)
        if isinstance(accepted, Response) and accepted.status == 426:
            return accepted
        who = self._who(request, client)
        if isinstance(who, Response):
            return who
        if isinstance(accepted, Response):
            return accepted
        # A client behind a proxy is counted from here on; any other was when it connected.
        if who.proxied and not self._door.enter(who.host):
            return Response(429, b"too many connections\n")
        counted = self._clients.pop(client), who.host if who.proxied else ""
        return Switch(accepted, partial(self._speak, who.host, who.secure, counted))

    # --- invitations ---

    def _invitation(self, request: Request, client: HttpConnection) -> Answer | None:
        """The page of an invitation; the domain is that of the Host header, or the one above it that is hosted."""
        language = request.headers.get("accept-language", "")
        domain = self._hosted(request.headers.get("host", ""))
        token = request.query.get("t", "")
        if not domain or invitations.digest(token) is None:
            return invitation_page.refusal(True, language)
        context = self._context
        if context.failures.blocked(client.host, context.reactor.clock()):
            return Response(429, b"too many wrong addresses: try again later\n")
        context.spawn(partial(self._look_up, domain, token, language, client))
        return None

    async def _look_up(self, domain: str, token: str, language: str, client: HttpConnection) -> None:
        context = self._context
        partition = context.sessions.partition(domain)
        try:
            found = await context.bus.call(Kind.ACCOUNT, partition, AskInvitation(domain, token))
        except BusTimeout:
            client.reply(invitation_page.refusal(False, language))
            return
        except StanzaError as error:
            known = error.condition == "item-not-found"
            if known and client.host not in context.exempt and client.host not in self._proxies:
                context.failures.add(client.host, context.reactor.clock())
            client.reply(invitation_page.refusal(known, language))
            return
        assert isinstance(found, Invited)
        client.reply(invitation_page.page(domain, token, found, language, self._join_path))

    # --- BOSH ---

    def _bind(self, request: Request, client: HttpConnection) -> Answer | None:
        who = self._who(request, client)
        if isinstance(who, Response):
            return who
        local = Local(client, _headers(who.origin))
        self.bosh.post(request.body, who.host, who.secure, local)
        return None

    def _preflight(self, request: Request, client: HttpConnection) -> Answer:
        """A page of another origin asks whether it may (CORS)."""
        who = self._who(request, client)
        if isinstance(who, Response):
            return who
        asked = (
            ("Access-Control-Allow-Methods", "POST"),
            ("Access-Control-Allow-Headers", "Content-Type"),
            ("Access-Control-Max-Age", "7200"),
        )
        return Response(204, headers=(*_headers(who.origin), *asked))

    def _speak(
        self, host: str, secure: bool, counted: tuple[str, str], channel: Channel, rest: bytes
    ) -> None:
        socket = WebSocket(channel, self._max_message, partial(self._uncount, *counted))
        socket.begin(self._door.adopt(host, socket, secure=secure), rest)


@lru_cache(maxsize=64)
def _headers(origin: str) -> tuple[tuple[str, str], ...]:
    """What every answer of BOSH has: the page that may read it, and that it is never shown as a page itself."""
    safe = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
    return (*safe, ("Access-Control-Allow-Origin", origin), ("Vary", "Origin")) if origin else safe
