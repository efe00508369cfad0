"""How a channel is secured is its owner's business: certificates, policies and counts differ from one kind of peer to the next."""

from __future__ import annotations

import socket
from typing import Protocol

from rookery.shared.net.handshakes import HandshakePool, TlsSocket

__all__ = ["Security", "TlsContext", "TlsSocket"]


class TlsContext(Protocol):
    """What makes a socket one of TLS: `ssl.SSLContext`, or `openssl.Context` where the other side's certificate is ours to judge."""

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = ...,
        do_handshake_on_connect: bool = ...,
        suppress_ragged_eofs: bool = ...,
        server_hostname: str | None = ...,
    ) -> socket.socket:
        """Take over the descriptor of `sock`. Raises OSError or ValueError."""


class Security(Protocol):
    """What the owner of a channel hands in. One object serves all channels of its kind."""

    @property
    def pool(self) -> HandshakePool:
        """Where the steps of a handshake are done."""

    def context(self, name: str) -> TlsContext | None:
        """The context for the server's side at `name`; None when there is no certificate."""

    def secured(self, sock: TlsSocket) -> bytes | None:
        """A handshake is done: count it; returns the channel binding (RFC 5929) if there is one."""

    def failed(self, cause: str) -> None:
        """A handshake failed: `handshake`, `alpn`, or `untrusted` when it was the other side's certificate."""
