"""What carries the bytes of a stream, who speaks through it, and the reasons not to read it."""

from __future__ import annotations

from typing import Final, Protocol

#: Bits of `Transport.held`: an answer of the cluster is awaited; tokens are used up; too much is un-accepted; the bus
#: has no room; events of an earlier read are not handled yet.
ASKING: Final = 1
SHAPED: Final = 2
FULL: Final = 4
CONGESTED: Final = 8
BACKLOG: Final = 16
#: The last words are on their way.
FINISHING: Final = 32
#: A framing above the channel (HTTP, WebSocket) has bytes that it has not looked at yet.
UNPARSED: Final = 64


class Transport(Protocol):
    """A `Channel`, or a framing on one. `since` is when a write began to wait for the peer (0.0: none waits)."""

    @property
    def open(self) -> bool:
        """False once it is closed."""

    @property
    def held(self) -> int:
        """The reasons not to read."""

    @property
    def queued(self) -> int:
        """Bytes ever queued."""

    @property
    def since(self) -> float:
        """Since when a write waits for the peer, by the reactor's clock; 0.0 when none does."""

    @property
    def waiting(self) -> int:
        """Bytes queued and not sent."""

    def write(self, data: bytes) -> None:
        """Queue bytes (one message)."""

    def finish(self) -> None:
        """Send everything and close in order."""

    def abort(self, reason: str) -> None:
        """Close now."""

    def hold(self, reason: int) -> None:
        """Stop reading."""

    def release(self, reason: int) -> None:
        """Read again when no other reason is left."""

    def again(self) -> None:
        """Call `on_again` in the next turn."""

    def secure(self, domain: str) -> bool:
        """Begin the server's side of TLS on a plain stream; False when that is not possible."""


class Peer(Protocol):
    """Who speaks through a channel."""

    def on_data(self, data: bytes) -> None:
        """Bytes came (decrypted)."""

    def on_again(self) -> None:
        """The channel was asked for another turn with `again`."""

    def on_secure(self, binding: bytes | None) -> None:
        """The TLS handshake is done; `binding` is what the owner's `Security` says of it."""

    def on_progress(self, drained: bool) -> None:
        """Queued bytes left; `drained` when none wait any more."""

    def on_lost(self, reason: str) -> None:
        """The socket is closed; nothing comes after this."""
