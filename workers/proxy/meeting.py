"""Who waits for whom: connections that name a stream, until its requester has it activated. Without I/O.

Both connections of a stream come to the same process: each process has a port of its own, and the holder of the proxy's domain names
its own in its answers.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Generic, TypeVar

from rookery.shared.xmpp.errors import StanzaError

T = TypeVar("T")


def stream_of(sid: str, requester: str, target: str) -> str:
    """The name of a stream (XEP-0065 section 5.3.2): prepared JIDs as they were used between the two."""
    return sha1(f"{sid}{requester}{target}".encode()).hexdigest()  # noqa: S324  the XEP wants SHA-1


class Meeting(Generic[T]):
    """Connections (of any type) by the names of their streams."""

    def __init__(self, per_account: int) -> None:
        self._per_account = per_account
        self._waiting: dict[str, list[T]] = {}
        self._active: dict[str, int] = {}

    def full(self, stream: str) -> bool:
        """Whether both sides of the stream are there."""
        return len(self._waiting.get(stream, ())) >= 2

    def join(self, stream: str, connection: T) -> bool:
        """A connection names its stream; False when two have already."""
        if self.full(stream):
            return False
        self._waiting.setdefault(stream, []).append(connection)
        return True

    def leave(self, stream: str, connection: T) -> None:
        """A connection is gone before its stream was activated."""
        there = self._waiting.get(stream, [])
        if connection in there:
            there.remove(connection)
            if not there:
                del self._waiting[stream]

    def activate(self, stream: str, account: str) -> tuple[T, T]:
        """The two connections, which belong together from now on. Raises StanzaError (XEP-0065 section 6.3.5)."""
        there = self._waiting.get(stream)
        if there is None:
            raise StanzaError("item-not-found", "nobody has connected for this stream")
        if len(there) < 2:
            raise StanzaError("not-allowed", "only one side is connected")
        if self._active.get(account, 0) >= self._per_account:
            raise StanzaError("resource-constraint", "you have too many streams at once", type="wait")
        del self._waiting[stream]
        self._active[account] = self._active.get(account, 0) + 1
        return there[0], there[1]

    def ended(self, account: str) -> None:
        """A stream that this account had activated is over."""
        left = self._active.get(account, 0) - 1
        if left > 0:
            self._active[account] = left
        else:
            self._active.pop(account, None)

    @property
    def waiting(self) -> int:
        """Connections whose stream is not activated."""
        return sum(map(len, self._waiting.values()))

    @property
    def active(self) -> int:
        """Streams that are relayed."""
        return sum(self._active.values())
