"""Channels on real sockets of this machine, with a reactor and a handshake pool; what a peer hears is recorded."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
import trustme

from rookery.shared.net.channel import Channel
from rookery.shared.net.handshakes import HandshakePool
from rookery.shared.net.reactor import STANDSTILL_SECONDS, Reactor

NAME = "xmpp.example.org"


class Recorder:
    """A peer that keeps what it hears."""

    def __init__(self) -> None:
        self.data = b""
        self.again = 0
        self.secure: list[bytes | None] = []
        self.lost: list[str] = []

    def on_data(self, data: bytes) -> None:
        self.data += data

    def on_again(self) -> None:
        self.again += 1

    def on_secure(self, binding: bytes | None) -> None:
        self.secure.append(binding)

    def on_progress(self, drained: bool) -> None:
        pass

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)


class Terms:
    """`Security` with one context for every name."""

    def __init__(self, pool: HandshakePool, context: ssl.SSLContext | None) -> None:
        self.pool = pool
        self.served = context
        self.failures: list[str] = []

    def context(self, name: str) -> ssl.SSLContext | None:
        return self.served

    def secured(self, sock: ssl.SSLSocket) -> bytes | None:
        return b"binding"

    def failed(self, cause: str) -> None:
        self.failures.append(cause)


class Rig:
    """See the module's text. `authority` has issued the certificate of NAME that `terms` serves."""

    def __init__(self, nursery: trio.Nursery, standstill: float) -> None:
        self.nursery = nursery
        self.reactor = Reactor(standstill)
        self.pool = HandshakePool(1)
        self.authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(NAME).configure_cert(self.server)
        self.terms = Terms(self.pool, self.server)

    def client_context(self, *alpn: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    async def pair(self) -> tuple[socket.socket, trio.SocketStream]:
        """Both ends of a TCP connection: ours for a channel, the other side's as a stream."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            other = await trio.open_tcp_stream(*listening.getsockname()[:2])
            ours, _ = listening.accept()
        ours.setblocking(False)
        return ours, other

    async def accepted(self, peer: Recorder) -> tuple[Channel, trio.SocketStream]:
        sock, other = await self.pair()
        return Channel(self.reactor, sock, peer, self.terms), other


@asynccontextmanager
async def rig(standstill: float = STANDSTILL_SECONDS) -> AsyncIterator[Rig]:
    made = None
    try:
        async with trio.open_nursery() as nursery:
            made = Rig(nursery, standstill)
            made.pool.start()
            nursery.start_soon(made.reactor.run)
            yield made
            nursery.cancel_scope.cancel()
    finally:
        if made is not None:
            made.pool.stop()
            made.reactor.close()


async def wait_for(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Until `condition` holds; trio.TooSlowError if it never does."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  a test may poll
            await trio.sleep(0.002)


async def rest(stream: trio.abc.Stream, seconds: float = 5.0) -> bytes:
    """Everything until the other side closes."""
    seen = b""
    with trio.fail_after(seconds):
        try:
            while data := bytes(await stream.receive_some(65_536)):
                seen += data
        except trio.BrokenResourceError:
            pass
    return seen


__all__ = ["NAME", "Recorder", "Rig", "Terms", "rest", "rig", "wait_for"]
