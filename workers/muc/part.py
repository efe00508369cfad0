"""What the shell keeps for one held partition besides its rooms: numbers, the uids that it has taken, what is heard everywhere."""

from __future__ import annotations

from rookery.shared.store.holding import Held
from rookery.workers.muc.uids import Uids


class Part:
    """One held partition. `noted` is the number up to which the rows say that all is heard."""

    __slots__ = ("found", "held", "last", "noted", "number", "uids", "unsaid")

    def __init__(self, number: int, epoch: int, noted: int) -> None:
        self.number = number
        self.held = Held(number, epoch)
        self.uids = Uids()
        #: The last number that was given out.
        self.last = 0
        self.noted = noted
        #: What former holders had said up to here was heard everywhere.
        self.found = noted
        #: Rooms that are not loaded and have to say again what came after that.
        self.unsaid: set[str] = set()

    def next(self) -> int:
        """The next number: of what a room says, and of a message in its archive."""
        self.last = n = self.held.ids.next()
        return n
