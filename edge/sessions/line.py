"""A connection as its session sees it: the lower half of `edge.client.connection`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.xml import Element


class Line:
    """What carries a bound stream. A class and no Protocol: compiled code then needs no look-up to call it."""

    __slots__ = ("is_full", "reason", "xmlns")

    def __init__(self, xmlns: str) -> None:
        #: For `Stanza.encode`: the namespace that every message has to declare, "" over TCP.
        self.xmlns = xmlns
        #: Whether the session has as many un-accepted stanzas as it may have.
        self.is_full = False
        #: Why the stream is over, "" while it is not.
        self.reason = ""

    @property
    def slow(self) -> bool:
        """Whether the socket does not take what is written."""
        raise NotImplementedError

    def send(self, data: bytes) -> int:
        """Queue a stanza; returns how many bytes have been queued in all."""
        raise NotImplementedError

    def say(self, element: Element) -> None:
        """Write an element that is no stanza."""
        raise NotImplementedError

    def ask_client(self) -> None:
        """Ask what the client has (XEP-0198 section 4)."""
        raise NotImplementedError

    def ask(self, question: Callable[[], Awaitable[None]]) -> None:
        """Run `question` in a task of its own; nothing more of this stream is handled until `answered`."""
        raise NotImplementedError

    def answered(self) -> None:
        """The answer has been applied."""
        raise NotImplementedError

    def full(self) -> None:
        """Stop reading: the session has as many un-accepted stanzas as it may have."""
        raise NotImplementedError

    def roomy(self) -> None:
        """Read again."""
        raise NotImplementedError

    def wake(self, at: float) -> None:
        """Look at the deadlines at `at`."""
        raise NotImplementedError

    def fail(self, error: StreamError) -> None:
        """Close with a stream error."""
        raise NotImplementedError

    def abort(self, reason: str) -> None:
        """Give up the socket now, without a word."""
        raise NotImplementedError
