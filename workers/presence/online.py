"""Which resources the subscribers were told are available, so that none stays so for ever. Pure.

The loss of an edge is told by the routers of its sessions, the loss of a router is made good from the edges. When both die at once nobody
else knows that a session was there: the presence worker asks the next router about those that it remembers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: Resources that one process remembers; beyond it the oldest of the partition at hand give way.
MAX_RESOURCES: Final = 250_000
#: Full JIDs in one question.
CHUNK: Final = 500


class Online:
    """Full JIDs of available resources, by partition."""

    def __init__(self, limit: int = MAX_RESOURCES) -> None:
        self._limit = limit
        self._partitions: dict[int, dict[str, None]] = {}
        self._count = 0

    def heard(self, partition: int, full: str, available: bool) -> None:
        """A resource became available, has changed its presence, or went away."""
        known = self._partitions.get(partition)
        if not available:
            if known is not None and full in known:
                del known[full]
                self._count -= 1
            return
        if known is None:
            known = self._partitions[partition] = {}
        if full not in known:
            if self._count >= self._limit:
                if not known:
                    return
                del known[next(iter(known))]
                self._count -= 1
            known[full] = None
            self._count += 1

    def forget(self, partition: int) -> None:
        """Another process holds the partition."""
        self._count -= len(self._partitions.pop(partition, ()))

    def all(self, partition: int) -> list[str]:
        """All of a partition."""
        return list(self._partitions.get(partition, ()))

    def questions(self, partition: int) -> Iterator[list[str]]:
        """All of a partition, in portions."""
        known = self.all(partition)
        for at in range(0, len(known), CHUNK):
            yield known[at : at + CHUNK]

    def __len__(self) -> int:
        return self._count
