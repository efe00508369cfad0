"""XEP-0065: SOCKS5 Bytestreams."""

from __future__ import annotations

from typing import Annotated, Final

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep

NS: Final = "http://jabber.org/protocol/bytestreams"


class Options(Section, frozen=True):
    """A relay for files and calls of two clients that cannot reach one another: where it listens, what a stream may cost."""

    host: Annotated[tuple[str, ...], about("IP addresses to listen on")] = (
        "0.0.0.0",  # noqa: S104  a server listens; limits stand at the door
        "::",
    )
    port: Annotated[
        int,
        about(
            "First port to try: each process has one of its own, the next free one; 0 picks any",
            ge=0,
            le=65_000,
        ),
    ] = 7777
    ports: Annotated[int, about("Ports to try from `port` on", "ports", ge=1, le=500)] = 32
    address: Annotated[
        str,
        about("Name or address under which clients reach this very process; empty: the name of the service"),
    ] = ""
    connections: Annotated[int, about("Open connections of one process", "connections", ge=2)] = 1024
    connections_per_account: Annotated[
        int, about("Streams of one account at one process", "streams", ge=1)
    ] = 16
    bytes_per_second: Annotated[
        int, about("What one side of a stream may send on average", "bytes", ge=1024)
    ] = 4_194_304
    wait_seconds: Annotated[
        float, about("A connection whose stream is not activated is closed after this", "seconds", ge=1)
    ] = 120.0
    idle_seconds: Annotated[
        float, about("A stream on which nobody sends anything is closed after this", "seconds", ge=1)
    ] = 300.0


XEP = Xep(
    65,
    "1.8.2",
    "complete",
    implemented_in="workers.proxy",
    note="The proxy, `proxy.DOMAIN`, over TCP; whether clients use it is theirs. No UDP.",
    options=Options,
)
