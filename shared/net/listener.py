"""Listening sockets: both families, several processes on one port, accept in bounded bursts."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

from rookery.shared.bucket import Bucket
from rookery.shared.net.reactor import READ, Reactor, close_quietly
from rookery.shared.net.timers import NEVER

#: Connections taken from one listener in one turn: in a storm those who are in come first, and the others wait in the kernel.
BURST: Final = 2
#: What is taken at once after a rest, in seconds of the rate.
_AT_ONCE: Final = 0.2
#: Those that have connected when a listener closes, at most.
LEFT: Final = 64
#: How long accept pauses when the process has no descriptor left.
PAUSE_SECONDS: Final = 1.0
_OUT_OF: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Called with each accepted non-blocking socket and the peer's address.
Accept = Callable[[socket.socket, str], None]


def bind_sockets(hosts: Sequence[str], port: int, *, shared: bool = True) -> list[socket.socket]:
    """Bind each address, all with the same port; SO_REUSEPORT for a fixed one that is `shared`, as edges do.

    Nobody is let in before `Listener` listens: until then the kernel gives clients to the other edges.

    An address family that this machine does not have is skipped as long as one address works. Raises OSError.
    """
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for host in hosts:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            failure = error
            continue
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port and shared and hasattr(socket, "SO_REUSEPORT"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # With port 0 the second family takes the port that the first one got.
            bound = port or (sockets[0].getsockname()[1] if sockets else 0)
            sock.bind((host, bound))
        except OSError as error:
            close_quietly(sock)
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                for other in sockets:
                    close_quietly(other)
                raise
            failure = error
            continue
        sockets.append(sock)
    if not sockets:
        raise failure or OSError(errno.EINVAL, "no address to listen on")
    return sockets


class Listener:
    """One listening socket in the reactor."""

    __slots__ = ("_accept", "_bucket", "_pause_until", "_reactor", "_sock", "_watched", "open", "wake_slot")

    def __init__(
        self, reactor: Reactor, sock: socket.socket, backlog: int, accept: Accept, rate: float = 0
    ) -> None:
        """`rate`: connections a second on average, 0 for as many as come."""
        self._reactor = reactor
        self._sock = sock
        self._accept = accept
        self._bucket = Bucket(rate, max(2.0, rate * _AT_ONCE), reactor.clock()) if rate else None
        self._pause_until = NEVER
        self._watched = True
        self.open = True
        self.wake_slot = 0
        sock.listen(backlog)
        reactor.register(sock.fileno(), self, READ)

    def on_events(self, mask: int) -> None:
        """Accept a burst; epoll tells again when more are waiting."""
        bucket = self._bucket
        if bucket is None or bucket.spend(self._reactor.now, BURST):
            self._take(BURST)
        else:
            self._pause(bucket.wait(BURST))

    def _take(self, most: int) -> None:
        for _ in range(most):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _OUT_OF:
                    self._pause(PAUSE_SECONDS)
                    return
                continue  # the peer gave up before we came (ECONNABORTED)
            sock.setblocking(False)
            self._accept(sock, str(address[0]))

    def on_again(self) -> None:
        """Listeners never ask."""

    def abort(self, reason: str) -> None:
        """A mistake with one client: the port stays open."""

    def _pause(self, seconds: float) -> None:
        # A level-triggered listener without descriptors, or ahead of its pace, would spin; existing connections go on.
        self._reactor.modify(self._sock.fileno(), 0)
        self._watched = False
        self._pause_until = self._reactor.now + seconds
        self._reactor.at(self, self._pause_until)

    def on_timer(self, now: float) -> float:
        """Resume after a pause."""
        if not self.open or self._watched:
            return NEVER
        if now < self._pause_until:
            return self._pause_until
        self._watched = True
        self._reactor.modify(self._sock.fileno(), READ)
        return NEVER

    def close(self) -> None:
        """Stop listening at once: with SO_REUSEPORT the kernel gives new connections to the other edges."""
        if self.open:
            # Whoever has connected already would be reset.
            self._take(LEFT)
            self.open = False
            self._reactor.unregister(self._sock.fileno())
            close_quietly(self._sock)
