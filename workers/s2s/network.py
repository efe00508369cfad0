"""The sockets of an s2s worker: listeners, certificates, the reactor, and the streams that stand on them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.cluster.sender_lists import SenderLists
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.db.secrets import shared_secrets
from rookery.shared.net.certificates import CertificateStore
from rookery.shared.net.handshakes import HandshakePool
from rookery.shared.net.listener import Accept, Listener, bind_sockets
from rookery.shared.net.reactor import Reactor, close_quietly
from rookery.workers.s2s.acquaintance import Acquaintance
from rookery.workers.s2s.incoming import Incoming
from rookery.workers.s2s.lists.strangers import Strangers
from rookery.workers.s2s.lists.subscriber import Subscriber
from rookery.workers.s2s.notices import tell_rooms
from rookery.workers.s2s.outgoing.remotes import Remotes
from rookery.workers.s2s.streams.numbers import name_of
from rookery.workers.s2s.streams.policies import Policies
from rookery.workers.s2s.streams.streams import Streams, Surroundings

_log = structlog.get_logger()
_SECRET_SECONDS: Final = 300.0
_RETRY_SECONDS: Final = 1.0
_BACKLOG: Final = 1024


class Network:
    """`ports` has the ports of s2s and s2s_tls once others are let in."""

    def __init__(
        self, node: Node, addresses: Addresses, incoming: Incoming, remotes: Remotes, policies: Policies
    ) -> None:
        self._node = node
        self._config = config = node.config
        self._addresses = addresses
        self.ports: dict[str, int] = {}
        self._listeners: list[Listener] = []
        self._secrets: Sequence[bytes] = ()
        self._queues = ""
        self._reactor = Reactor()
        self._reactor.on_turn_end = node.bus.flush
        node.on_frozen.append(lambda _: self._reactor.stood_still())
        self._pool = HandshakePool(config.tls.handshake_threads)
        self._certificates = CertificateStore(config.tls, {})
        self.streams = Streams(
            Surroundings(
                reactor=self._reactor,
                pool=self._pool,
                config=config,
                certificates=self._certificates,
                name=node.incarnation,
                hosted=addresses.local,
                allowed=policies.allows,
                secrets=lambda: self._secrets,
                queues=lambda: self._queues,
            )
        )
        self._acquaintance = Acquaintance(node, self.streams)
        self.streams.follow_new(self._acquaintance.new)
        self.streams.on_inbound = incoming.open
        #: Lists of senders that other servers publish.
        self.lists = SenderLists(node)
        self.subscriber = Subscriber(node, addresses, lambda partition: remotes.held(partition) is not None)
        self._strangers = Strangers(node, addresses, self.lists)
        if self.subscriber:
            incoming.took, incoming.judges = self.subscriber.took, self._strangers.judges
        remotes.opener = self.streams
        remotes.on_broken = partial(tell_rooms, node)

    def learn(self, rows: Sequence[DomainRow]) -> None:
        """The hosted domains: what their policies forbid ends now."""
        self.streams.enforce()
        self.subscriber.learn([row.name for row in rows if row.kind == ACCOUNTS])

    async def run(self, known: Callable[[], object]) -> None:
        """Serve until cancelled; others are let in once the hosted domains are `known`."""
        self._certificates.reload()
        self._pool.start()
        try:
            with ExitStack() as stack:
                bound = self._bound(stack)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._reactor.run)
                    nursery.start_soon(self._acquaintance.run)
                    nursery.start_soon(self._watch)
                    await self._read_secrets()
                    # (not before: a stream without numbers could double what the process before this one has sent)
                    nursery.start_soon(self.streams.run)
                    nursery.start_soon(self._follow_secrets)
                    for one in (self.lists, self.subscriber, self._strangers):
                        nursery.start_soon(one.run)
                    await known()  # type: ignore[misc]
                    self._listen(bound)
                    await trio.sleep_forever()
        finally:
            self._reactor.close()
            self._pool.stop()

    def _bound(self, stack: ExitStack) -> list[tuple[str, socket.socket, Accept]]:
        settings = self._config.s2s
        hosts = settings.host or self._config.edge.host
        door = self.streams.door
        bound: list[tuple[str, socket.socket, Accept]] = []
        for name, port, accept in (
            ("s2s", settings.port, door.accept),
            ("s2s_tls", settings.tls_port, door.accept_direct),
        ):
            for sock in bind_sockets(hosts, port):
                stack.callback(close_quietly, sock)
                bound.append((name, sock, accept))
        return bound

    def _listen(self, bound: list[tuple[str, socket.socket, Accept]]) -> None:
        self._listeners = [Listener(self._reactor, sock, _BACKLOG, accept) for _, sock, accept in bound]
        self.ports = {name: sock.getsockname()[1] for name, sock, _ in bound}
        _log.info("s2s_listening", **self.ports)

    async def _watch(self) -> None:
        while True:
            await trio.sleep(self._config.tls.reload_interval)
            await trio.to_thread.run_sync(self._certificates.reload)

    def reload(self) -> None:
        """Read changed certificates now."""
        self._certificates.reload()

    async def _read_secrets(self) -> None:
        while True:
            try:
                self._secrets = await shared_secrets(self._node.db, "dialback")
                # (the oldest: a new one would make all rows that wait new ones)
                self._queues = name_of((await shared_secrets(self._node.db, "s2s-numbers"))[-1])
            except DatabaseUnavailable:
                await trio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _follow_secrets(self) -> None:
        while True:
            await trio.sleep(_SECRET_SECONDS)
            await self._read_secrets()

    def refuse(self) -> None:
        """Let nobody in any more: this process is about to stop."""
        for listener in self._listeners:
            listener.close()

    def close(self) -> None:
        """End all streams in order."""
        self.streams.close()
