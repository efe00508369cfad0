"""What a server under comparison is: its settings in words, and how it runs in a folder of its own."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Final

from rookery.bench.server import Root
from rookery.embedded.child import free_ports, tail
from rookery.shared.xmpp import ns

_READY_SECONDS: Final = 60.0


class PeerError(Exception):
    """A server cannot be compared: the text says what is missing and how to get it."""


@dataclass(frozen=True, slots=True)
class Federation:
    """How a server finds and believes the remote domains that the tool plays."""

    #: PEM file of the authority, which also vouches for the server.
    ca: Path
    #: HOST:PORT of the DNS server.
    dns: str
    #: Remote domains prove themselves by dialback, all or some of them.
    dialback: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """Where a server is set up: the same folder at each start of one comparison, so that users stay registered."""

    folder: Path
    domain: str
    #: PEM files of the one P-256 certificate that all servers use, in a folder that every account may read.
    certificate: Path
    key: Path
    #: How many users will be connected.
    users: int
    #: None: it speaks with no other server.
    federation: Federation | None = None
    #: Clients come back with session tickets: a server that can give them does.
    tickets: bool = False


@dataclass(frozen=True, slots=True)
class Ports:
    """Free ports on 127.0.0.1."""

    c2s: int
    tls: int
    http: int
    s2s: int = 0
    s2s_tls: int = 0

    @classmethod
    def free(cls) -> Ports:
        """Those that were free a moment ago."""
        return cls(*free_ports(5))


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts clients."""

    ports: Ports
    #: Path of the WebSocket on the HTTP port.
    path: str
    #: All processes that belong to it, databases and buses included; their children are found.
    roots: tuple[Root, ...]
    #: Adds the accounts of a CSV file (username, password); None: they are registered in-band (XEP-0077).
    add_users: Callable[[Path], None] | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """One server with one set of settings."""

    name: str
    #: One line for the report.
    settings: str
    #: Raises PeerError when it cannot run here.
    check: Callable[[], None]
    start: Callable[[Site], AbstractContextManager[Running]]
    #: What it accepts survives a crash, also while it is delivered: such servers and others do not do the same work. None: not known.
    durable: bool | None = None


def await_stream(process: Popen[bytes], port: int, domain: str, log: Path) -> None:
    """Return when a stream to `domain` is answered there with features: a listening port alone may still be starting.

    Raises PeerError when the process ends before, or after a minute.
    """
    header = (
        f"<stream:stream xmlns='{ns.CLIENT}' xmlns:stream='{ns.STREAM}' to='{domain}' version='1.0'>".encode()
    )
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PeerError(f"it ended with code {process.returncode}: {tail(log)}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(header)
                answer = b""
                while data := connection.recv(4096):
                    answer += data
                    if b"features" in answer:
                        return
        except OSError:
            pass
        time.sleep(0.05)
    raise PeerError(f"it answered no stream on port {port} within {_READY_SECONDS:.0f} s: {tail(log)}")


def choose(peers: Sequence[Peer], names: Sequence[str]) -> list[Peer]:
    """The peers of these names, in this order. Raises PeerError for unknown ones and for none."""
    known = {peer.name: peer for peer in peers}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise PeerError(f"no server {', '.join(unknown) or 'named'}: there are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]
