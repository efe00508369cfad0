"""What the holder of a remote domain needs of a stream to it, and what it is told: the seam to whoever connects and authenticates."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from rookery.shared.xmpp.stanza import Stanza


class Trouble(NamedTuple):
    """Why a stream ended or never opened: what senders are told, a line for people, and whether trying again soon is of no use."""

    condition: str = "remote-server-timeout"
    text: str = ""
    permanent: bool = False


class Outbound(Protocol):
    """A stream to a remote domain; it exists from the first attempt to connect."""

    @property
    def waiting(self) -> int:
        """Bytes that the socket has not taken."""

    def authenticate(self, local: str) -> None:
        """Prove one more hosted domain on this stream; the owner hears `on_pair`."""

    def send(self, stanza: Stanza) -> None:
        """Write a stanza whose pair of domains is proved."""

    def mark(self) -> None:
        """Ask the other side how far it is; the owner hears `on_acked`."""

    def close(self) -> None:
        """End the stream in order."""


class Owner(Protocol):
    """Who is told."""

    def on_open(self, stream: Outbound) -> None:
        """The stream is usable, for the pair that it was opened for."""

    def on_pair(self, local: str, trouble: Trouble | None) -> None:
        """A further hosted domain is proved, or is not."""

    def on_acked(self, stream: Outbound, count: int) -> None:
        """The other side has handled the first `count` stanzas that were sent on this stream."""

    def on_drained(self, stream: Outbound) -> None:
        """The socket has taken everything."""

    def on_closed(self, stream: Outbound, trouble: Trouble) -> None:
        """The stream has ended, or could not be opened."""


class Opener(Protocol):
    """Makes streams."""

    def open(self, remote: str, local: str, owner: Owner) -> Outbound:
        """Begin to connect to `remote` and to prove `local`; never blocks, and tells the owner nothing before it returns."""
