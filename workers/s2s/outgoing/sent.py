"""What was sent on a stream and is not acknowledged, in the order in which it was sent. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from rookery.workers.s2s.queue.entries import Entry
from rookery.workers.s2s.queue.pair import Pair


class Sent:
    """`count`: stanzas that were sent on this stream; `handled`: how many of them, from the first on, are with the other side."""

    __slots__ = ("_line", "count", "handled")

    def __init__(self) -> None:
        self.count = 0
        self.handled = 0
        self._line: deque[tuple[Pair, Entry]] = deque()

    def begin(self) -> None:
        """A new stream, on which nothing was sent."""
        self.count = self.handled = 0

    def add(self, pair: Pair, entry: Entry) -> None:
        """One more goes out."""
        self.count += 1
        self._line.append((pair, entry))

    def settle(self, count: int) -> list[Pair]:
        """The first `count` of the stream are with the other side. Returns the pairs whose `acked` has grown."""
        grown: dict[str, Pair] = {}
        while self._line and self.handled < count:
            self.handled += 1
            pair, entry = self._line.popleft()
            if entry.seq and not entry.gone:
                pair.settled(entry)
                pair.acked = max(pair.acked, entry.seq)
                grown[pair.local] = pair
        return list(grown.values())

    def take(self) -> list[tuple[Pair, Entry]]:
        """All of them, which are forgotten here."""
        taken = list(self._line)
        self._line.clear()
        return taken

    def holds(self, local: str, seq: int) -> bool:
        """Whether a row is among them."""
        return any(entry.seq == seq and pair.local == local for pair, entry in self._line)

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[tuple[Pair, Entry]]:
        return iter(self._line)
