"""What a stream of a remote domain needs of the process that plays it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rookery.bench.driver.loop import Loop
from rookery.bench.remotes.domains import Domain
from rookery.bench.remotes.wire import Wire
from rookery.shared.net.openssl import Context


class Ground(Protocol):
    """Implemented by `house.House`."""

    loop: Loop
    #: Family and address of the server's port for servers.
    place: tuple[int, Any]
    #: Whether acknowledgements are offered (XEP-0198).
    managed: bool
    #: Of dialback keys.
    secret: bytes

    def find(self, name: str) -> Domain | None:
        """A domain that this process plays."""

    def came(self, domain: Domain) -> None:
        """The server has connected to a domain."""

    def context(self, domain: Domain) -> Context:
        """TLS with the certificate of a domain, for both sides of a connection."""

    def pause(self, wire: Wire, nanoseconds: int) -> None:
        """Read no more of a connection for that long."""

    def drip(self, wire: Wire, data: bytes) -> None:
        """Say a byte a second."""

    def ask(self, domain: Domain, there: str, id: str, key: str, word: Callable[[bool], None]) -> None:
        """Ask the server about a key of its own."""
