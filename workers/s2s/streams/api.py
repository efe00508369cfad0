"""What the rest of the worker sees of streams: links out, sources in, and who is told."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.streams.numbers import Number


class Trouble(NamedTuple):
    """Why a stream ended or never opened.

    `condition` is the stanza error for senders, `text` a line for people; `permanent` says that trying again soon is of no use. `kind` names
    the failure for back-off and metrics (`outgoing/pauses.py`).
    """

    condition: str = "remote-server-timeout"
    text: str = ""
    permanent: bool = False
    kind: str = "stream"


class Link(Protocol):
    """A stream to a remote domain; it exists from the first attempt to connect."""

    @property
    def remote(self) -> str:
        """The remote domain."""

    @property
    def open(self) -> bool:
        """Whether stanzas may be sent."""

    @property
    def managed(self) -> bool:
        """Whether the other side acknowledges by XEP-0198."""

    @property
    def waiting(self) -> int:
        """Bytes that the socket has not taken."""

    @property
    def unconfirmed(self) -> int:
        """Bytes that the other side's kernel has not confirmed."""

    def authenticate(self, local: str) -> None:
        """Prove one more hosted domain on this stream; the owner hears `on_pair`."""

    def send(self, stanza: Stanza, n: int = 0) -> None:
        """Write a stanza whose pair of domains is proved; `n`: the number of its row, 0 without one."""

    def mark(self) -> None:
        """Ask the other side how far it is; the owner hears `on_acked`."""

    def close(self) -> None:
        """End the stream in order."""


class Owner(Protocol):
    """Who opened a link."""

    def on_open(self, link: Link) -> None:
        """The stream is usable, for the pair that it was opened for."""

    def on_pair(self, local: str, trouble: Trouble | None) -> None:
        """A further hosted domain is proved, or is not. Kind `multiplex`: it needs a stream of its own."""

    def on_acked(self, link: Link, count: int) -> None:
        """The other side has handled the first `count` stanzas that were sent on this stream."""

    def on_drained(self, link: Link) -> None:
        """The socket has taken everything."""

    def on_closed(self, link: Link, trouble: Trouble) -> None:
        """Nothing more may be sent: the stream has ended, or could not be opened. Comes once."""


class Taker(Protocol):
    """Who takes what other servers send."""

    def take(self, stanza: Stanza, number: Number | None = None) -> None:
        """The next stanza of an authenticated pair of domains; its addresses are prepared, and `to` is hosted. `number`: see `numbers`."""

    def closed(self) -> None:
        """Nothing more will come."""


class Source(Protocol):
    """A stream that stanzas come from."""

    @property
    def remotes(self) -> tuple[str, ...]:
        """The domains that have proved themselves."""

    def hold(self) -> None:
        """Do not read."""

    def release(self) -> None:
        """Read again."""

    def handled(self, n: int) -> None:
        """The first `n` stanzas are accepted: the other side may be told."""
