"""The edge kind: listeners, TLS, connections, and their end, in one service."""

from __future__ import annotations

import contextlib
import math
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog
import trio

from rookery.edge.admission import PATIENCE, Admission
from rookery.edge.context import Context
from rookery.edge.door.domains import HostedDomains
from rookery.edge.door.door import Door
from rookery.edge.door.tls import DIRECT, STARTTLS, USES, tickets
from rookery.edge.door.web import WebDoor
from rookery.edge.policy import Policy
from rookery.edge.sessions.session import Session
from rookery.edge.sessions.table import Sessions
from rookery.edge.shedding import Shedding
from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import Item, Kind
from rookery.shared.cluster.api import Node
from rookery.shared.config import Config
from rookery.shared.net.addresses import Nets
from rookery.shared.net.certificates import Asking, CertificateStore
from rookery.shared.net.handshakes import HandshakePool
from rookery.shared.net.limits import Failures
from rookery.shared.net.listener import Accept, Listener, bind_sockets
from rookery.shared.net.reactor import NEVER, Reactor, close_quietly
from rookery.shared.observe import metrics
from rookery.shared.observe.clients import ClientLog
from rookery.shared.xeps import (
    client_certificates,
    downgrade_protection,
    fast,
    invitations,
    registration,
    sasl_upgrade,
)
from rookery.shared.xmpp import expat
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stream import StreamLimits

_log = structlog.get_logger()
#: How often connections that wait for room on the bus are looked at, when nothing else wakes the loop.
CONGESTION_SECONDS: Final = 0.1
#: How often stanzas that nobody accepted are sent again.
REPEAT_SECONDS: Final = 15.0
#: Streams ended in one slice of a drain, and the share of its time that all slices may take.
DRAIN_SLICE: Final = 100
DRAIN_SHARE: Final = 0.5
#: How long a drain waits for routers to confirm that streams have ended: long enough for one of them to be replaced.
CONFIRM_SECONDS: Final = 6.0


def stream_limits(config: Config) -> tuple[StreamLimits, StreamLimits]:
    """The parser's limits before and after authentication."""
    limits = config.limits
    before = StreamLimits(
        limits.preauth_bytes, limits.preauth_elements, limits.preauth_depth, limits.element_attributes
    )
    after = StreamLimits(
        limits.stanza_bytes, limits.stanza_elements, limits.stanza_depth, limits.element_attributes
    )
    return before, after


def _pace(connections: int, limit: float, rate: int) -> tuple[int, float]:
    """How many connections a drain ends at once, and the pause behind them in seconds. A `rate` goes before the limit."""
    if rate:
        size = max(1, min(DRAIN_SLICE, rate // 4))
        return size, size / rate
    slices = max(1, math.ceil(connections / DRAIN_SLICE))
    return DRAIN_SLICE, min(0.5, limit * DRAIN_SHARE / slices)


class EdgeService:
    """Terminates client streams. `ports` has the ports of c2s, c2s_tls and http once clients are let in."""

    kind = Kind.EDGE

    def __init__(self, node: Node) -> None:
        self._node = node
        self._config = config = node.config
        self._domains = HostedDomains(node)
        self._reactor = Reactor()
        self._nursery: trio.Nursery | None = None
        self._listeners: list[Listener] = []
        self._bound: list[tuple[str, socket.socket, Accept]] = []
        self._draining = False
        #: Connections that a drain ends in a second; 0 for what its limit asks for.
        self.drain_rate = 0
        self.wake_slot = 0
        self.ports: dict[str, int] = {}
        before, after = stream_limits(config)
        limits = config.limits
        self._sessions = Sessions(node, self._reactor, self._domains.addresses)
        self._context = Context(
            reactor=self._reactor,
            bus=node.bus,
            sessions=self._sessions,
            policy=_policy(config, self._domains),
            limits=limits,
            certificates=CertificateStore(config.tls, USES, _asking(config), tickets(config)),
            pool=HandshakePool(config.tls.handshake_threads),
            failures=Failures(limits.auth_failures_per_ip, limits.auth_failures_window),
            exempt=Nets(limits.exempt_nets),
            spawn=self._spawn,
            token=lambda: secrets.token_urlsafe(18),
            before=before,
            after=after,
            admission=Admission(
                lambda: self._reactor.clock(),
                self._spawn,
                limits.logins_per_second,
                min(limits.login_wait_seconds, PATIENCE * limits.preauth_seconds),
                lambda: len(node.edges()),
            ),
            congested=[],
            log=ClientLog(config.log.client_lines_per_second),
        )
        self._door = Door(self._context, config)
        self._web = WebDoor(self._context, self._door, config, node)
        self._sessions.handlers.update(self._web.bosh.items())
        self._domains.changed = self._domains_changed
        self._reactor.on_turn_end = self._turn_end
        self._reactor.on_standstill = self._on_standstill
        node.on_domains.append(self._domains.reader.refresh)
        node.orders.questions["watch"] = lambda detail: self._context.watches.answer(
            detail, self._sessions_of
        )
        self._shedding = Shedding(lambda: self._door.connections, node.bus.flush)
        node.orders.questions["shed"] = self._shedding.answer
        node.on_holder.append(self._sessions.successors.on_holder)
        node.on_claimed.append(self._sessions.successors.on_claimed)
        node.on_frozen.append(lambda _: self._reactor.stood_still())
        node.on_reset.append(self._sessions.successors.on_reset)
        node.on_reset.append(self._web.bosh.on_reset)
        node.on_lost.append(self._web.bosh.on_lost)
        node.on_accepted.append(self._sessions.accepted)

    # --- state that others ask for ---

    @property
    def ready(self) -> bool:
        """Whether clients are let in."""
        return bool(self._listeners) and not self._draining and not self._shedding.left

    def _on_standstill(self) -> None:
        """This process stood still: its clients may have resumed elsewhere, so nothing of what they wrote here is read any more."""
        for connection in list(self._door.connections):
            connection.abort("frozen")

    @property
    def connections(self) -> int:
        """Open connections: what this process reports as its load."""
        return len(self._door.connections)

    # --- Service ---

    async def run(self) -> None:
        """Serve until cancelled."""
        if problem := expat.outdated():
            _log.warning("expat_outdated", problem=problem, remedy=expat.REMEDY)
        self._load_certificates()
        self._context.pool.start()
        try:
            with self._bound_sockets() as bound:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._domains.reader.run)
                    nursery.start_soon(self._reactor.run)
                    nursery.start_soon(self._tick)
                    nursery.start_soon(self._shedding.run)
                    nursery.start_soon(self._watch_certificates)
                    await self._domains.reader.known()
                    if not self._draining:
                        self._listen(bound)
        finally:
            for connection in list(self._door.connections):
                connection.transport.abort("shutdown")
            self._web.close()
            self._reactor.close()
            self._context.pool.stop()

    async def acquire(self, partition: int, epoch: int) -> None:
        """An edge holds no partitions."""

    async def release(self, partition: int) -> None:
        """An edge holds no partitions."""

    def drop(self, partition: int) -> None:
        """An edge holds no partitions."""

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        """Deliveries, acceptances and requests of routers."""
        self._sessions.receive(source, item)

    def reload(self) -> None:
        """Read changed certificates now (SIGHUP)."""
        self._load_certificates()

    def configured(self, config: Config) -> None:
        """Go on with another configuration: limits hold for connections that come from now on."""
        limits = self._context.limits = config.limits
        self._door.configured(limits)
        wait = min(limits.login_wait_seconds, PATIENCE * limits.preauth_seconds)
        self._context.admission.configure(limits.logins_per_second, wait)

    def undrain(self) -> None:
        """A drain was called off: let clients in again, at the ports that there were."""
        self._draining = self._door.draining = False
        self._listen(self._bind(self.ports))

    async def drain(self, limit: float) -> None:
        """End every stream in order and wait until the cluster has accepted what their clients sent; at most `limit` seconds.

        Streams that can be resumed lose only their socket: a stream error would make their clients begin anew.
        """
        self._draining = self._door.draining = True
        deadline = trio.current_time() + limit
        for listener in self._listeners:
            listener.close()
        everyone = list(self._door.connections)
        size, pause = _pace(len(everyone), limit, self.drain_rate)
        for at in range(0, len(everyone), size):
            for connection in everyone[at : at + size]:
                if not connection.vacate():
                    connection.fail(StreamError("system-shutdown"))
            self._node.bus.flush()
            await trio.sleep(pause)
        confirmed_by = min(deadline, trio.current_time() + CONFIRM_SECONDS)
        sessions = self._sessions
        while (  # noqa: ASYNC110  all change in many places; this runs once in a life
            (
                trio.current_time() < deadline
                and (sessions.unaccepted or self._door.connections or sessions.asleep)
            )
            or (trio.current_time() < confirmed_by and sessions.unconfirmed)
        ):
            await trio.sleep(0.02)
        self._sessions.send_acks()
        if sessions.unaccepted or sessions.asleep or sessions.streams.slow(self._sessions.clock()):
            sessions.successors.bequeath()
        self._node.bus.flush()
        if self._sessions.unaccepted:
            _log.warning("drain_incomplete", unaccepted=self._sessions.unaccepted)

    # --- parts ---

    @contextlib.contextmanager
    def _bound_sockets(self) -> Iterator[list[tuple[str, socket.socket, Accept]]]:
        try:
            yield self._bind({})
        finally:
            for listener in self._listeners:
                listener.close()
            for _, sock, _ in self._bound:
                close_quietly(sock)

    def _bind(self, ports: Mapping[str, int]) -> list[tuple[str, socket.socket, Accept]]:
        """Bind what is listened on, with the `ports` that it had before. Raises OSError."""
        edge = self._config.edge
        wanted: list[tuple[str, int, Accept]] = [("c2s", edge.c2s_port, self._door.accept)]
        if self._config.tls.directory:
            wanted.append(("c2s_tls", edge.c2s_tls_port, self._door.accept_direct))
        wanted.append(("http", edge.http_port, self._web.accept))
        self._bound = []
        for name, port, accept in wanted:
            sockets = bind_sockets(edge.host, ports.get(name, port))
            self._bound += [(name, sock, accept) for sock in sockets]
        return self._bound

    def _listen(self, bound: list[tuple[str, socket.socket, Accept]]) -> None:
        edge = self._config.edge
        self._listeners = [
            Listener(self._reactor, sock, edge.backlog, accept, edge.accepts_per_second)
            for _, sock, accept in bound
        ]
        self.ports = {name: sock.getsockname()[1] for name, sock, _ in bound}
        _log.info("edge_listening", **self.ports)

    def _spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._guarded, task)

    async def _guarded(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except Exception:  # one connection's trouble is not everybody's
            _log.exception("edge_task_failed")

    def _turn_end(self) -> None:
        self._node.bus.flush()
        if self._look():
            self._reactor.at(self, self._reactor.clock() + CONGESTION_SECONDS)

    def _look(self) -> bool:
        """Note whether the bus has room; when it has again, read those that waited. True when some still wait."""
        context = self._context
        context.is_congested = self._node.bus.congested()
        if context.is_congested or not context.congested:
            return bool(context.congested)
        waiting, context.congested = context.congested, []
        for connection in waiting:
            connection.uncongested()
        return False

    def on_timer(self, now: float) -> float:
        """Look whether the bus has room again."""
        return now + CONGESTION_SECONDS if self._look() else NEVER

    async def _tick(self) -> None:
        repeat_at = trio.current_time() + REPEAT_SECONDS
        while True:
            await trio.sleep(1)
            now = trio.current_time()
            self._sessions.tick(now)
            self._context.watches.tick(self._sessions_of)
            self._context.log.tick()
            self._context.admission.tick()
            if now >= repeat_at:
                repeat_at = now + REPEAT_SECONDS
                self._sessions.successors.repeat(now)

    def _sessions_of(self, account: str) -> list[Session]:
        bound = self._sessions.by_partition.get(self._node.partition(account), {})
        return [session for session in bound.values() if session.bare == account]

    def _load_certificates(self) -> None:
        certificates = self._context.certificates
        if certificates.reload():
            certificates.prefer(self._domains.first())
            for certificate in certificates:
                metrics.TLS_CERT_EXPIRY.labels(certificate.domain).set(certificate.not_after.timestamp())

    async def _watch_certificates(self) -> None:
        while True:
            await trio.sleep(self._config.tls.reload_interval)
            await trio.to_thread.run_sync(self._load_certificates)

    def _domains_changed(self, gone: set[str]) -> None:
        self._context.certificates.prefer(self._domains.first())
        if not gone:
            return
        for connection in list(self._door.connections):
            session = connection.session
            if session is not None and session.bare.partition("@")[2] in gone:
                connection.fail(StreamError("host-gone"))


def _upgrades(config: Config) -> tuple[str, ...]:
    options = config.options(sasl_upgrade.Options)
    return sasl_upgrade.kept(config.account.mechanisms, options) if options.enabled else ()


def _asking(config: Config) -> Asking:
    """Browsers are not asked: they would ask their users."""
    file = config.options(client_certificates.Options).ca_file
    return Asking(Path(file), frozenset((STARTTLS, DIRECT))) if file else Asking()


def _policy(config: Config, domains: HostedDomains) -> Policy:
    limits = config.limits
    return Policy(
        find=domains.find,
        fallback=domains.first,
        mechanisms=tuple(config.account.mechanisms),
        stanza_bytes=limits.stanza_bytes,
        preauth_bytes=limits.preauth_bytes,
        idle_seconds=int(limits.idle_seconds + limits.idle_answer_seconds),
        failures=limits.auth_failures,
        instructions=config.options(registration.Options).instructions,
        invitations=config.options(invitations.Options).enabled,
        form_seconds=config.options(registration.Options).form_seconds,
        fast=config.options(fast.Options).enabled,
        downgrade_protection=config.options(downgrade_protection.Options).enabled,
        upgrades=_upgrades(config),
        iterations=config.account.iterations,
        certificates=bool(config.options(client_certificates.Options).ca_file),
    )
