"""Messages that have left a session lately: their router may have died before it committed them.

A pure machine for the whole edge. A client may acknowledge a message sooner than Postgres. When the router dies in between, the sender's
edge sends the message again, and the next holder must know that it was delivered: it stores it, and delivers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from rookery.shared.bus.messages import Mirror
from rookery.shared.xmpp.stanza import Stanza

#: What is remembered at least so long: a takeover and a slow commit fit in.
SECONDS: Final = 8.0
#: Beyond so many bytes it is remembered for a shorter time.
MAX_BYTES: Final = 16 * 1024 * 1024
#: What a stanza weighs besides its inner XML.
_OVERHEAD: Final = 500
_CHUNK_BYTES: Final = 262_144

#: (origin stream, origin n, stanza)
Left = tuple[bytes, int, Stanza]


class RecentMessages:
    """The newest deliveries that are acknowledged, in two generations."""

    __slots__ = ("_at", "_bytes", "_old", "_young")

    def __init__(self) -> None:
        self._young: list[Left] = []
        self._old: list[Left] = []
        self._bytes = 0
        self._at = 0.0

    def add(self, stream: bytes, n: int, stanza: Stanza) -> None:
        """A message with this uid was acknowledged."""
        self._young.append((stream, n, stanza))
        self._bytes += len(stanza.inner) + _OVERHEAD
        if self._bytes >= MAX_BYTES // 2:
            self.rotate()

    def tick(self, now: float) -> None:
        """Forget what is old at `now`, in seconds of any clock."""
        if now - self._at >= SECONDS:
            self._at = now
            self.rotate()

    def rotate(self) -> None:
        """Forget what is older than the last call."""
        self._old = self._young
        self._young = []
        self._bytes = 0

    def chunks(self, edge: str, partition: int, partition_of: Callable[[str], int]) -> Iterator[Mirror]:
        """What concerns a partition, for its new holder: bounded chunks, none of which is the last of the answer."""
        chunk: list[Left] = []
        size = 0
        for one in (*self._old, *self._young):
            stanza = one[2]
            if partition_of(stanza.to.partition("/")[0]) != partition:
                continue
            chunk.append(one)
            size += len(stanza.inner) + _OVERHEAD
            if size >= _CHUNK_BYTES:
                yield Mirror(edge, partition, (), False, chunk)
                chunk, size = [], 0
        if chunk:
            yield Mirror(edge, partition, (), False, chunk)

    def __len__(self) -> int:
        return len(self._old) + len(self._young)
