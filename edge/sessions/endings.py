"""Ends of streams on their way to the routers, and those that no router has confirmed.

A pure machine for the whole edge. A router that dies takes with it what it was told, and its successor never knew a stream that closed
in between: it is told of both, or nobody says to those who saw the resource that it is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, Protocol

from rookery.edge.sessions.mirror import SessionMirror
from rookery.shared.bus.messages import MirrorSession, Unbind

#: An Unbind is repeated when its router changes within this time.
UNBIND_SECONDS: Final = 30.0


class Ended(Protocol):
    """A session at its end."""

    sid: int
    stream: bytes
    full: str
    partition: int
    mirror: SessionMirror


class Endings:
    """What was told of streams that have ended."""

    __slots__ = ("_closed", "_told", "_unbinds")

    def __init__(self) -> None:
        self._unbinds: deque[tuple[float, int, Unbind]] = deque()
        #: Bindings in `_unbinds`: what is still on the way to them is no news.
        self._told: set[tuple[str, int]] = set()
        #: Closed streams whose end their router has not confirmed: (since, partition, description).
        self._closed: dict[bytes, tuple[float, int, MirrorSession]] = {}

    @property
    def unconfirmed(self) -> int:
        """Closed streams whose end no router has confirmed yet."""
        return len(self._closed)

    def closed(self, session: Ended, now: float) -> None:
        """A stream has ended for good, and its router does not know it from itself."""
        described = session.mirror.describe(session.sid, session.stream, session.full)
        self._closed[session.stream] = (now, session.partition, described)

    def partition(self, stream: bytes) -> int:
        """The router partition of a stream whose end is not confirmed; -1 for any other."""
        known = self._closed.get(stream)
        return -1 if known is None else known[1]

    def confirmed(self, stream: bytes) -> None:
        """The router has dealt with the end of this stream."""
        self._closed.pop(stream, None)

    def described(self, partition: int) -> list[MirrorSession]:
        """The unconfirmed ones of a partition, for its new holder."""
        return [session for _, number, session in self._closed.values() if number == partition]

    def told(self, partition: int, item: Unbind, now: float) -> None:
        """This is being sent to the holder of the partition."""
        self._unbinds.append((now, partition, item))
        self._told.add((item.full, item.grant))

    def knows(self, full: str, grant: int) -> bool:
        """Whether the end of this binding was told lately."""
        return (full, grant) in self._told

    def again(self, partitions: frozenset[int]) -> Iterator[tuple[int, Unbind]]:
        """What another holder of these partitions has to be told, with the partition."""
        return ((partition, item) for _, partition, item in self._unbinds if partition in partitions)

    def tick(self, now: float) -> None:
        """Forget what is old."""
        before = now - UNBIND_SECONDS
        while self._unbinds and self._unbinds[0][0] < before:
            item = self._unbinds.popleft()[2]
            self._told.discard((item.full, item.grant))
        for stream in [stream for stream, (since, _, _) in self._closed.items() if since < before]:
            del self._closed[stream]
