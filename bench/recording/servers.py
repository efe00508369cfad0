"""Passes what other servers say to a server, and back, and writes down which messages passed. It ends TLS on both sides.

To either side it shows a certificate that names the other one, of an authority that both of them trust: so it stands only between servers of a test.
What goes before TLS passes as it is, the domains are those of the first header. Streams with TLS from the first byte are refused: they say no domain.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import trio

from rookery.bench.recording.between import Between, Plain
from rookery.bench.remotes.authority import Authority
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import prepare_domain

_CHUNK: Final = 65_536
#: Seconds until TLS is there on both sides.
_PATIENCE: Final = 30.0
_PROCEED: Final = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
_TLS: Final = b"\x16"


class Sides(NamedTuple):
    """The two connections: of the server that has connected, and to the one that it wants."""

    client: trio.abc.Stream
    server: trio.abc.Stream


class Servers:
    """Stands between servers. `heard` gets what one direction of one stream says; `refused` counts what could not be recorded."""

    def __init__(self, authority: Authority, folder: Path) -> None:
        self._authority = authority
        self._folder = folder
        self._made: dict[tuple[str, bool], ssl.SSLContext] = {}
        self.refused = 0

    async def pass_on(
        self,
        client: trio.SocketStream,
        server: trio.SocketStream,
        directions: tuple[Between, Between],
        heard: Callable[[Between, bytes], None],
    ) -> None:
        """Until one of the two ends."""
        sides = await self._secured(client, server)
        if sides is None:
            self.refused += 1
            return
        up, down = directions
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pump, sides.client, sides.server, lambda data: heard(up, data))
            nursery.start_soon(_pump, sides.server, sides.client, lambda data: heard(down, data))

    async def _secured(self, client: trio.SocketStream, server: trio.SocketStream) -> Sides | None:
        """Both connections with TLS; None where that cannot be."""
        plain = Plain()
        with trio.move_on_after(_PATIENCE):
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._before, client, server, plain, nursery.cancel_scope)
                    nursery.start_soon(self._answers, client, server, plain, nursery.cancel_scope)
                from_, to = prepare_domain(plain.from_), prepare_domain(plain.to)
                if not plain.ready:
                    return None
                there = trio.SSLStream(server, self._context(from_, server=False), server_hostname=_ascii(to))
                await there.do_handshake()
                await client.send_all(_PROCEED)
                here = trio.SSLStream(client, self._context(to, server=True), server_side=True)
                await here.do_handshake()
            except (trio.BrokenResourceError, trio.ClosedResourceError, JidError, OSError):
                return None
            return Sides(here, there)
        return None

    @staticmethod
    async def _before(
        client: trio.SocketStream, server: trio.SocketStream, plain: Plain, scope: trio.CancelScope
    ) -> None:
        while data := await client.receive_some(_CHUNK):
            plain.from_client(data)
            if plain.long or data.startswith(_TLS):
                break
            await server.send_all(data)
        scope.cancel()

    @staticmethod
    async def _answers(
        client: trio.SocketStream, server: trio.SocketStream, plain: Plain, scope: trio.CancelScope
    ) -> None:
        """Until TLS is agreed on: the server that has connected waits for that word, so nothing of it is lost."""
        while data := await server.receive_some(_CHUNK):
            passed = plain.from_server(data)
            if passed:
                await client.send_all(passed)
            if plain.ready or plain.long:
                break
        scope.cancel()

    def _context(self, domain: str, *, server: bool) -> ssl.SSLContext:
        """TLS as if we were the domain. Nobody is verified: the two trust the same authority, and it is a test."""
        found = self._made.get((domain, server))
        if found is None:
            identity = self._authority.issue(self._folder, _ascii(domain))
            found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
            found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
            found.load_cert_chain(identity.chain, identity.key)
            self._made[domain, server] = found
        return found


def _ascii(domain: str) -> str:
    return domain.encode("idna").decode() if not domain.isascii() else domain


async def _pump(source: trio.abc.Stream, sink: trio.abc.Stream, heard: Callable[[bytes], None]) -> None:
    try:
        while data := await source.receive_some(_CHUNK):
            heard(bytes(data))
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    await trio.aclose_forcefully(source)
    await trio.aclose_forcefully(sink)
