"""The order of a room: what it does is numbered at once, and leaves when it is committed, in the order of the numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from rookery.shared.bus.messages import Origin
from rookery.workers.muc.outs import Out


class Entry:
    """One thing that a room does: what leaves, each with its numbers, once `waits` commits are there; and who is told then."""

    __slots__ = ("at", "gone", "origins", "outs", "then", "waits")

    def __init__(self, origin: Origin | None, outs: Sequence[tuple[Sequence[int], Out]], waits: int) -> None:
        #: Custodians of the stanza that it came of: more than one when it was sent again meanwhile.
        self.origins = [] if origin is None else [origin]
        self.outs = outs
        #: When the room decided on it (Unix seconds), which is what its archive says.
        self.at = 0.0
        #: Full JIDs that are in the room no more: they hear nothing that is said to all from here on.
        self.gone: tuple[str, ...] = ()
        self.waits = waits
        #: Called when it has left.
        self.then: Callable[[], None] | None = None


class Queue:
    """The entries of one room. `leave` is called with each, in order, as soon as it and all before it are committed."""

    __slots__ = ("_entries", "_leave")

    def __init__(self, leave: Callable[[Entry], None]) -> None:
        self._entries: deque[Entry] = deque()
        self._leave = leave

    def add(self, entry: Entry) -> None:
        """One more."""
        self._entries.append(entry)
        if not entry.waits:
            self._go_on()

    def committed(self, entry: Entry) -> None:
        """One of the commits that an entry waits for is there."""
        entry.waits -= 1
        if not entry.waits:
            self._go_on()

    def _go_on(self) -> None:
        entries = self._entries
        while entries and not entries[0].waits:
            self._leave(entries.popleft())

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def first(self) -> int:
        """The lowest number that has not left; 0 when there is none."""
        return next((n for entry in self._entries for numbers, _ in entry.outs for n in numbers), 0)
