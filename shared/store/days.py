"""Which days of the archive a page is read from: few at a time, from the end where reading begins, until the page is full.

A statement that names its days as constants opens only their partitions; one that leaves them open merges all of them, however few rows
it brings. Ids grow with the days but for clocks that were set back and rows that a successor stored late: a page is full only
when the next day was asked, too, for rows that belong into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

#: Days that are read first; each further step reads twice as many.
_FIRST: Final = 2
#: Days are numbers since 1970, far from these.
BEGINNING: Final = 0
END: Final = 1 << 30


class Span(NamedTuple):
    """Days of [first, end)."""

    first: int
    end: int


class Entry(NamedTuple):
    """A message as it is read: `stamp` in Unix seconds, the stanza packed."""

    id: int
    stamp: float
    stanza: bytes


def spans(bounds: Sequence[Span], *, backwards: bool) -> Iterator[Span]:
    """The spans to read, in order, that have all of `bounds`, the partitions that there are, in order.

    The newest is open at its end: a partition may have been made a moment ago. Without partitions there is one span, of all days.
    """
    parts = list(bounds)
    if backwards:
        parts.reverse()
    size, at = _FIRST, 0
    while at < max(1, len(parts)):
        some = parts[at : at + size] or [Span(BEGINNING, END)]
        first, end = min(one.first for one in some), max(one.end for one in some)
        newest = at == 0 if backwards else at + size >= len(parts)
        yield Span(first, END if newest else end)
        at += size
        size *= 2


def within(bounds: Sequence[Span], first: int, end: int) -> list[Span]:
    """Those partitions that may have days of [first, end); the newest of all always, as a page has to begin somewhere."""
    found = [one for one in bounds if one.end > first and one.first < end]
    return found or list(bounds[-1:])


class Pile:
    """What several reads have brought of one page: the first rows in the direction of reading, and whether there may be more."""

    def __init__(self, rows: int, max_bytes: int, *, backwards: bool) -> None:
        self._rows = rows
        self._max_bytes = max_bytes
        self._backwards = backwards
        self._entries: list[Entry] = []
        #: The id behind which nothing is wanted any more, though there is something; None while there is room.
        self.last: int | None = None

    def add(self, entries: Sequence[Entry], cut: bool) -> None:
        """What one read brought; `cut` when it left something out that comes behind."""
        self._entries.extend(entries)
        self._entries.sort(reverse=self._backwards)
        if cut:
            last = entries[-1].id
            if self.last is None or self._ahead(last, self.last):
                self.last = last
        if self.last is not None:
            at = self.last
            self._entries = [one for one in self._entries if one.id == at or self._ahead(one.id, at)]
        size = 0
        for n, one in enumerate(self._entries):
            if n == self._rows or (n and size >= self._max_bytes):
                del self._entries[n:]
                self.last = self._entries[-1].id
                return
            size += len(one.stanza)

    def _ahead(self, one: int, other: int) -> bool:
        return one > other if self._backwards else one < other

    @property
    def entries(self) -> list[Entry]:
        """In the direction of reading."""
        return self._entries
