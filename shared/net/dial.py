"""Connecting out: a non-blocking connection to one address becomes a channel, as an accepted one does.

Which address comes next, and how long one may take, is the caller's policy (DNS, happy eyeballs, back-off): it sets a timer and
calls `Channel.abort` when it has waited enough. TLS is `Channel.offer_tls`, at once or after STARTTLS.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, NamedTuple

from rookery.shared.net.channel import Channel
from rookery.shared.net.reactor import WRITE, Reactor, close_quietly
from rookery.shared.net.security import Security
from rookery.shared.net.transport import Peer

#: `Peer.on_lost` reasons of a connection that was never made: the port is closed, there is no way, nobody answered.
_REASONS: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ETIMEDOUT: "timeout",
}


class Address(NamedTuple):
    """Where to connect to: an IP address (no name), a port, and the local address to come from ("": any)."""

    host: str
    port: int
    source: str = ""


class Connecting:
    """The stage between `connect` and the first byte."""

    __slots__ = ("_connected",)

    def __init__(self, connected: Callable[[], None]) -> None:
        self._connected = connected

    def on_ready(self, channel: Channel) -> None:
        """The kernel knows how it ended."""
        error = channel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            channel.abort(_REASONS.get(error, "unreachable"))
            return
        channel.opened()
        self._connected()


def dial(
    reactor: Reactor, address: Address, peer: Peer, security: Security, connected: Callable[[], None]
) -> Channel:
    """Begin to connect; `connected` is called in a later turn, or the peer's `on_lost`, also then and never both.

    What is written before that waits in the outbox. Raises OSError when the kernel refuses at once (no route, no descriptor), ValueError
    when `address` is no IP address.
    """
    family = socket.AF_INET6 if ip_address(address.host).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.source:
            sock.bind((address.source, 0))
        code = sock.connect_ex((address.host, address.port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        channel = Channel(reactor, sock, peer, security)
    except OSError:
        close_quietly(sock)
        raise
    channel.begin(Connecting(connected), WRITE)
    return channel
