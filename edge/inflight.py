"""Stanzas that a stream has given to the cluster and that nobody has accepted yet.

A pure machine for each stream. A stanza is kept, in order, until `Accepted(stream, n)`; the bounds say when the socket
must not be read. It outlives its socket: what a client sent before it went away is still delivered.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from rookery.shared.bus.messages import Route, Submit


class Entry(NamedTuple):
    """One kept item: the router partition it went to, what it weighs, when it was sent.

    `once` items (iq to a full JID, headline and error messages) are delivered at most once: they are never sent again.
    """

    partition: int
    item: Submit | Route
    size: int
    once: bool
    at: float


class Inflight:
    """The un-accepted stanzas of one stream, bounded by count and bytes."""

    __slots__ = ("_entries", "_max_bytes", "_max_items", "bytes")

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._entries: dict[int, Entry] = {}
        self._max_items = max_items
        self._max_bytes = max_bytes
        self.bytes = 0

    def add(self, n: int, entry: Entry) -> bool:
        """Keep number `n`; numbers only grow. True when the stream is now full: stop reading."""
        self._entries[n] = entry
        self.bytes += entry.size
        return len(self._entries) >= self._max_items or self.bytes >= self._max_bytes

    def accepted(self, n: int) -> bool:
        """The cluster has `n`. False when it was not kept (a repeated answer)."""
        entry = self._entries.pop(n, None)
        if entry is None:
            return False
        self.bytes -= entry.size
        return True

    @property
    def room(self) -> bool:
        """Whether a stream that was full may be read again: below half of both bounds, so that it does not flap."""
        return len(self._entries) * 2 <= self._max_items and self.bytes * 2 <= self._max_bytes

    def partitions(self) -> set[int]:
        """Where the kept items went to."""
        return {entry.partition for entry in self._entries.values()}

    def again(self, partitions: Collection[int], before: float = float("inf")) -> list[Entry]:
        """What to send again, in the order of sending, when the holder of these partitions lost or kept back something.

        When the oldest of them is younger than `before`, that is nothing: all or none keeps the order. At-most-once items of these
        partitions that are older than `before` are forgotten: if they were lost, nobody will ever accept them.
        """
        mine = [(n, entry) for n, entry in self._entries.items() if entry.partition in partitions]
        if not mine or mine[0][1].at >= before:
            return []
        for n, entry in mine:
            if entry.once and entry.at < before:
                self.accepted(n)
        return [entry for _, entry in mine if not entry.once]

    def __len__(self) -> int:
        return len(self._entries)
