"""Where components come in: the port, who may, and all connections of this process."""

from __future__ import annotations

import itertools
import secrets
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import ComponentAcked, ComponentGone, ComponentHere, Kind, ToComponent
from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.net.addresses import Nets
from rookery.shared.net.certificates import CertificateStore
from rookery.shared.net.channel import Channel
from rookery.shared.net.handshakes import HandshakePool
from rookery.shared.net.limits import Doorkeeper
from rookery.shared.net.listener import Listener, bind_sockets
from rookery.shared.net.reactor import Reactor, close_quietly
from rookery.shared.net.stages import FirstByte
from rookery.shared.xeps import namespace_delegation, privileged_entity
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.events import StreamLimits
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.component import secret
from rookery.workers.component.connection import Connection, Ground, Phase
from rookery.workers.component.delegating import Delegating
from rookery.workers.component.privileges import Privileges
from rookery.workers.s2s.incoming import Incoming, Inlet
from rookery.workers.s2s.streams.trust import Tls

_log = structlog.get_logger()
_BACKLOG: Final = 128
_RETRY_SECONDS: Final = 5.0
#: How often the holders hear of the connections.
SAY_SECONDS: Final = 1.0


class Door:
    """`port` is what is listened to, 0 while nothing is."""

    def __init__(
        self,
        node: Node,
        addresses: Addresses,
        incoming: Incoming,
        privileges: Privileges,
        delegating: Delegating,
    ) -> None:
        self._node = node
        self._addresses = addresses
        self._incoming = incoming
        self._privileges = privileges
        self._delegating = delegating
        #: What each connection was told of its grants, by their elements.
        self._told: dict[Connection, dict[str, bytes]] = {}
        self._config = config = node.config
        self._settings = settings = config.component
        self.port = 0
        self._reactor = Reactor()
        self._reactor.on_turn_end = node.bus.flush
        node.on_frozen.append(lambda _: self._reactor.stood_still())
        self._pool = HandshakePool(config.tls.handshake_threads)
        self._certificates = CertificateStore(config.tls, {})
        self._tls = Tls(self._pool, self._certificates, config.s2s)
        self._keeper = Doorkeeper(
            config.limits.connections_per_ip,
            config.limits.connections_per_ip_per_second,
            Nets((*config.limits.exempt_nets, "127.0.0.0/8", "::1/128")),
        )
        self._listeners: list[Listener] = []
        self._numbers = itertools.count(1)
        self._all: set[Connection] = set()
        self._open: dict[int, Connection] = {}
        self._nursery: trio.Nursery | None = None
        limits = config.limits
        self._ground = Ground(
            reactor=self._reactor,
            settings=settings,
            limits=limits,
            before=StreamLimits(limits.preauth_bytes, limits.preauth_elements, limits.preauth_depth, limits.element_attributes),
            after=StreamLimits(settings.stanza_bytes, limits.stanza_elements * 2, limits.stanza_depth, limits.element_attributes),
            token=lambda: secrets.token_hex(16),
            hosted=self._hosted,
            speaker=self._speaker,
            check=self._check,
            entered=self._entered,
            left=self._left,
            acked=self._acked,
            mute=lambda one: _log.warning("component_cannot_acknowledge", component=one.domain),
        )  # fmt: skip

    @property
    def connections(self) -> int:
        """Components that have proved themselves."""
        return len(self._open)

    def _hosted(self, domain: str) -> bool:
        return self._addresses.place(domain).kind is Kind.COMPONENT

    def _speaker(self, domain: str) -> str:
        """The domain of accounts above a component, else any."""
        above = domain
        while above:
            if above in self._addresses.accounts:
                return above
            above = above.partition(".")[2]
        return min(self._addresses.accounts, default=domain)

    # --- listening ---

    async def run(self, known: Callable[[], object]) -> None:
        """Serve until cancelled; components are let in once the hosted domains are `known`."""
        self._certificates.reload()
        self._pool.start()
        try:
            with ExitStack() as stack:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._reactor.run)
                    nursery.start_soon(self._watch)
                    nursery.start_soon(self._say)
                    await known()  # type: ignore[misc]
                    sockets = await self._bound()
                    for sock in sockets:
                        stack.callback(close_quietly, sock)
                    self._listeners = [
                        Listener(self._reactor, sock, _BACKLOG, self._accept) for sock in sockets
                    ]
                    self.port = sockets[0].getsockname()[1]
                    _log.info("component_listening", component=self.port)
                    await trio.sleep_forever()
        finally:
            self._nursery = None
            self._reactor.close()
            self._pool.stop()

    async def _bound(self) -> list[socket.socket]:
        while True:
            try:
                return bind_sockets(self._settings.host, self._settings.port)
            except OSError as error:
                _log.error(
                    "component_port_taken", port=self._settings.port, error=error.strerror or str(error)
                )
            await trio.sleep(_RETRY_SECONDS)

    async def _watch(self) -> None:
        while True:
            await trio.sleep(self._config.tls.reload_interval)
            await trio.to_thread.run_sync(self._certificates.reload)

    def reload(self) -> None:
        """Read changed certificates now."""
        self._certificates.reload()

    def _accept(self, sock: socket.socket, host: str) -> None:
        if not self._keeper.enter(host, self._reactor.clock()):
            close_quietly(sock)
            return
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass
        one = Connection(self._ground, host)
        channel = Channel(self._reactor, sock, one, self._tls)
        self._all.add(one)
        one.begin(channel)
        channel.begin(FirstByte(lambda: self._tls.context(""), lambda: self._plain(one)))

    def _plain(self, one: Connection) -> None:
        if self._settings.require_tls:
            one.fail(StreamError("policy-violation", "components begin with TLS here"))

    # --- who they are ---

    def _check(self, one: Connection, domain: str, id: str, proof: str) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._checked, one, domain, id, proof)

    async def _checked(self, one: Connection, domain: str, id: str, proof: str) -> None:
        refusal: StreamError | None = None
        try:
            known = await secret.find(self._node.db, self._settings.secrets_directory, domain)
        except DatabaseUnavailable:
            refusal = StreamError("internal-server-error", "the database is away: try again")
        else:
            if known is None or not secret.proves(proof, id, known):
                refusal = StreamError("not-authorized")
                _log.warning("component_refused", component=domain, host=one.host)
            elif sum(other.domain == domain for other in self._open.values()) >= self._settings.connections:
                refusal = StreamError("policy-violation", "this component has too many connections here")
        one.checked(refusal)

    def _entered(self, one: Connection) -> Inlet:
        self._register(one)
        _log.info("component_connected", component=one.domain, host=one.host)
        inlet = self._incoming.open(one)
        self._tell(one)
        return inlet

    def _tell(self, one: Connection) -> None:
        """What was granted (XEP-0355, XEP-0356), where that is news; what a component brings for delegated namespaces is asked for."""
        before = self._told.setdefault(one, {})
        domain = one.domain
        for what, space, said in (
            ("privilege", privileged_entity.NS, self._privileges.advertised(domain)),
            ("delegation", namespace_delegation.NS, self._delegating.advertised(domain)),
        ):
            told = b"" if said is None else said.inner
            if told == before.get(what, b""):
                continue
            before[what] = told
            if said is None:
                nothing = Element(space, what)
                said = Stanza.build("message", nothing, from_=self._speaker(domain), to=domain)
            one.channel.write(said.encode())
            for question in self._delegating.questions(domain) if what == "delegation" else ():
                one.channel.write(question.encode())

    def _register(self, one: Connection) -> None:
        one.number = next(self._numbers)
        self._open[one.number] = one
        self._here(one)

    def _left(self, one: Connection, reason: str) -> None:
        self._told.pop(one, None)
        if one in self._all:
            self._all.discard(one)
            self._keeper.leave(one.host)
        if self._open.pop(one.number, None) is not None:
            _log.info("component_disconnected", component=one.domain, host=one.host, reason=reason)
            self._gone(one.domain, one.number)

    def domains_changed(self) -> None:
        """A component whose domain is hosted no longer has no business here (RFC 6120 section 4.9.3.5)."""
        for one in list(self._open.values()):
            if not self._hosted(one.domain):
                one.fail(StreamError("host-gone"))
            else:
                self._tell(one)

    # --- the holders ---

    def _post(self, item: ComponentHere | ComponentGone | ComponentAcked) -> None:
        self._node.bus.post(Kind.COMPONENT, self._node.partition(item.domain), item)

    def _here(self, one: Connection) -> None:
        self._post(ComponentHere(one.domain, self._node.incarnation, one.number))

    def _gone(self, domain: str, number: int) -> None:
        self._post(ComponentGone(domain, self._node.incarnation, number))

    def _acked(self, one: Connection, link: tuple[str, int], n: int) -> None:
        self._post(ComponentAcked(one.domain, self._node.incarnation, one.number, link[1], n))

    async def _say(self) -> None:
        while True:
            await trio.sleep(SAY_SECONDS)
            for one in self._open.values():
                self._here(one)

    def deliver(self, item: ToComponent) -> None:
        """Write a stanza to a connection. Where one before it is missing, the holder hears that what it sent there is lost."""
        one = self._open.get(item.connection)
        if one is None:
            self._gone(item.domain, item.connection)
        elif not one.deliver(item) and one.phase is Phase.OPEN:
            del self._open[one.number]
            self._gone(one.domain, one.number)
            self._register(one)

    # --- the end ---

    def refuse(self) -> None:
        """Let nobody in any more."""
        for listener in self._listeners:
            listener.close()

    def close(self) -> None:
        """End all connections: this process stops."""
        for one in list(self._all):
            one.fail(StreamError("system-shutdown"))
