"""How a channel is secured is its owner's business: certificates, policies and counts differ from one kind of peer to the next."""

from __future__ import annotations

import ssl
from typing import Protocol

from rookery.shared.net.handshakes import HandshakePool


class Security(Protocol):
    """What the owner of a channel hands in. One object serves all channels of its kind."""

    @property
    def pool(self) -> HandshakePool:
        """Where the steps of a handshake are done."""

    def context(self, name: str) -> ssl.SSLContext | None:
        """The context for the server's side at `name`; None when there is no certificate."""

    def secured(self, sock: ssl.SSLSocket) -> bytes | None:
        """A handshake is done: count it; returns the channel binding (RFC 5929) if there is one."""

    def failed(self, cause: str) -> None:
        """A handshake failed: `handshake`, `alpn`, or `untrusted` when it was the other side's certificate."""
