"""What comes before a stream's own bytes: a PROXY header, the first byte that tells TLS from clear text, the ALPN names of a ClientHello.

Each is a `Stage` of a channel: it looks at the socket, takes at most what is its own, and calls back.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from rookery.shared.net import hello
from rookery.shared.net.channel import Channel
from rookery.shared.net.proxy import ProxyError, ProxyReader
from rookery.shared.net.security import TlsContext

_HANDSHAKE: Final = b"\x16"


class ProxyHeader:
    """The peer is a load balancer: its header comes first. `named` gets the client's address ("": the balancer speaks for itself).

    `named` goes on with the channel, which is open by then, or returns False to close it.
    """

    __slots__ = ("_named", "_reader")

    def __init__(self, named: Callable[[str], bool]) -> None:
        self._named = named
        self._reader = ProxyReader()

    def on_ready(self, channel: Channel) -> None:
        """Read as much of the header as is there, and nothing behind it."""
        reader = self._reader
        try:
            while not reader.done:
                data = channel.sock.recv(reader.need)
                if not data:
                    channel.abort("eof")
                    return
                reader.feed(data)
        except BlockingIOError:
            return
        except (OSError, ProxyError):
            channel.abort("proxy")
            return
        channel.opened()
        if not self._named(reader.source[0] if reader.source else ""):
            channel.abort("limit")


class FirstByte:
    """TLS and clear text on one port: a TLS record of type handshake begins with 22, no HTTP request does."""

    __slots__ = ("_context", "_plain")

    def __init__(self, context: Callable[[], TlsContext | None], plain: Callable[[], None]) -> None:
        self._context = context
        self._plain = plain

    def on_ready(self, channel: Channel) -> None:
        """Look at the first byte and leave it where it is."""
        data = _peek(channel, 1)
        if data is None:
            return
        if data != _HANDSHAKE:
            channel.opened()
            self._plain()
            return
        context = self._context()
        if context is None:
            channel.fail_tls("handshake")
        else:
            channel.accept_tls(context)


class Alpn:
    """TLS comes at once, and a client that offers protocols must offer ours (XEP-0368, RFC 7301 section 3.2)."""

    __slots__ = ("_context", "_part", "_protocol")

    def __init__(self, context: TlsContext, protocol: bytes) -> None:
        self._context = context
        self._protocol = protocol
        #: Whether a part of the ClientHello has come.
        self._part = False

    def on_ready(self, channel: Channel) -> None:
        """Wait for the whole ClientHello, then let OpenSSL have it, or refuse."""
        data = _peek(channel, hello.MAX_HELLO)
        if data is None:
            return
        missing = hello.missing(data)
        if missing or self._part:
            # Until all of it is there the socket shall not count as readable, or the loop would spin.
            channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, missing or 1)
        self._part = missing > 0
        if missing:
            return
        names = hello.offered(data)
        if names and self._protocol not in names:
            try:
                channel.sock.send(hello.NO_APPLICATION_PROTOCOL)
            except OSError:
                pass
            channel.fail_tls("alpn")
            return
        channel.accept_tls(self._context)


def _peek(channel: Channel, size: int) -> bytes | None:
    """What waits in the socket; None when nothing does, or when the channel was closed because the peer is gone."""
    try:
        data = channel.sock.recv(size, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    except OSError:
        data = b""
    if not data:
        channel.abort("eof")
        return None
    return data
