"""Stanzas that a source of the cluster has given to it and that it has not taken over yet.

A pure machine for each stream. A stanza is kept, in order, until it is *handled*: its path ended (`Accepted`) and, where the sender's
own router archives it or makes carbons of it, that is done too (`Copied`). Re-sending repeats only the legs that are missing; the bounds
say when the socket must not be read. It outlives its socket: what a client sent before it went away is still delivered.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from rookery.shared.bus.messages import Copy, Kind, Route, Submit

#: Where an item is sent to: whoever holds that partition of that kind.
Place = tuple[Kind, int]


class Entry(NamedTuple):
    """One kept item: where it went to, what it weighs, when it was sent (seconds of any clock).

    `once` items (iq to a full JID, headline and error messages) are delivered at most once: they are only sent again to the very
    process that they were sent to, which knows whether it had them.
    """

    place: Place
    item: Submit | Route | Copy
    size: int
    once: bool
    at: float


#: What a stream may always have open, however much the others of its edge have.
SHARE: Final = 4


class Pool:
    """What all streams of an edge may have un-handled together.

    While more is open, each stream may have SHARE only: all get on at the pace of the commits, and nothing grows.
    """

    __slots__ = ("bytes", "items", "max_bytes", "max_items")

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.items = 0
        self.bytes = 0

    @property
    def spent(self) -> bool:
        """Whether streams must wait for one another."""
        return self.items >= self.max_items or self.bytes >= self.max_bytes


class Inflight:
    """The un-handled stanzas of one stream, bounded by count and bytes, and by what its edge has in all."""

    __slots__ = ("_copies", "_entries", "_max_bytes", "_max_items", "_open", "_pool", "bytes")

    def __init__(self, max_items: int, max_bytes: int, pool: Pool) -> None:
        self._pool = pool
        #: Both legs by number; a number is open while it is in one of them.
        self._entries: dict[int, Entry] = {}
        self._copies: dict[int, Entry] = {}
        self._open = 0
        self._max_items = max_items
        self._max_bytes = max_bytes
        self.bytes = 0

    def add(self, n: int, entry: Entry, copy: Entry | None = None) -> bool:
        """Keep number `n`; numbers only grow. True when the stream is now full: stop reading.

        `copy` is the second leg, of the same size; its item is that of `entry` when one item asks for both.
        """
        self._entries[n] = entry
        if copy is not None:
            self._copies[n] = copy
        pool = self._pool
        pool.items += 1
        pool.bytes += entry.size
        self._open += 1
        self.bytes += entry.size
        if self._open >= self._max_items or self.bytes >= self._max_bytes:
            return True
        return self._open >= SHARE and pool.spent

    def accepted(self, n: int) -> bool:
        """The cluster has `n`. False when it was not kept (a repeated answer)."""
        return self._done(self._entries, self._copies, n)

    def copied(self, n: int) -> bool:
        """The sender's router has done its part for `n`. False when that was not waited for."""
        return self._done(self._copies, self._entries, n)

    def place(self, n: int, copied: bool = False) -> Place | None:
        """Where number `n` was sent to, or (`copied`) its second leg; None when that is not open."""
        entry = (self._copies if copied else self._entries).get(n)
        return None if entry is None else entry.place

    def _done(self, leg: dict[int, Entry], other: dict[int, Entry], n: int) -> bool:
        entry = leg.pop(n, None)
        if entry is None:
            return False
        if n not in other:
            self._open -= 1
            self.bytes -= entry.size
            self._pool.items -= 1
            self._pool.bytes -= entry.size
        return True

    def frontier(self, last: int) -> int:
        """The highest number with nothing un-handled at or below it; `last` is the stream's newest number."""
        oldest = last + 1
        for leg in (self._entries, self._copies):
            for n in leg:
                oldest = min(oldest, n)
                break
        return oldest - 1

    def waits(self, before: float) -> bool:
        """Whether its oldest stanza has waited to be handled since before that time."""
        return any(next(iter(leg.values())).at < before for leg in (self._entries, self._copies) if leg)

    @property
    def room(self) -> bool:
        """Whether a stream that was full may be read again: below half of its bounds, so that it does not flap."""
        if self._open * 2 > self._max_items or self.bytes * 2 > self._max_bytes:
            return False
        return self._open * 2 <= SHARE or not self._pool.spent

    def places(self) -> set[Place]:
        """Where the kept items went to."""
        return {entry.place for leg in (self._entries, self._copies) for entry in leg.values()}

    def again(
        self, places: Collection[Place], before: float = float("inf"), same: bool = False
    ) -> list[Entry]:
        """What to send again, in the order of sending, when the holder of these places lost or kept back something.

        `same`: it holds them still, so that it gets everything again.

        When the oldest of them is younger than `before`, that is nothing: all or none keeps the order. At-most-once items of these
        places that are older than `before` are forgotten: if they were lost, nobody will ever accept them.
        """
        entries = self._entries
        mine = [(n, entry) for n, entry in entries.items() if entry.place in places]
        # A stanza whose copy is asked for by the same item needs that item once.
        mine += [
            (n, copy)
            for n, copy in self._copies.items()
            if copy.place in places and not ((entry := entries.get(n)) and entry.item is copy.item)
        ]
        mine.sort(key=_number)
        if not mine or mine[0][1].at >= before:
            return []
        if same:
            return [entry for _, entry in mine]
        for n, entry in mine:
            if entry.once and entry.at < before:
                self.accepted(n)
        return [entry for _, entry in mine if not entry.once]

    def clear(self) -> None:
        """Give up what is open."""
        self._pool.items -= self._open
        self._pool.bytes -= self.bytes
        self._entries.clear()
        self._copies.clear()
        self._open = self.bytes = 0

    def __len__(self) -> int:
        return self._open


def _number(numbered: tuple[int, Entry]) -> int:
    return numbered[0]
