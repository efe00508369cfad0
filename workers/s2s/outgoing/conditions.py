"""Where a remote domain is, who makes its streams, and what else it uses."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from rookery.workers.s2s.outgoing.gate import Gate
from rookery.workers.s2s.queue.entries import Entry
from rookery.workers.s2s.queue.pair import Pair
from rookery.workers.s2s.queue.room import Room
from rookery.workers.s2s.streams.api import Link, Owner, Trouble


class Condition(Enum):
    """Where a remote domain is."""

    IDLE = "idle"
    WAITING = "waiting"
    OPENING = "opening"
    OPEN = "open"
    PAUSED = "paused"


class Opener(Protocol):
    """Makes streams (`streams.api`)."""

    def open(self, remote: str, local: str, owner: Owner) -> Link:
        """Begin to connect to `remote` and to prove `local`; never blocks, and tells the owner nothing before it returns."""


class Means(Protocol):
    """What a remote domain uses of its process, and what it says of its queues."""

    opener: Opener
    gate: Gate
    longest_pause: float
    room: Room

    def clock(self) -> float:
        """Monotonic seconds."""

    def chance(self) -> float:
        """A random number in [0, 1)."""

    def acked(self, pair: Pair, seq: int) -> None:
        """The other side has everything of the pair up to this number."""

    def read(self, pair: Pair) -> None:
        """The pair wants its next rows."""

    def spoiled(self, pair: Pair, entry: Entry, trouble: Trouble) -> None:
        """The other side ends each stream that brings this stanza: give it up."""

    def uncertain(self, pair: Pair, entry: Entry) -> None:
        """Give this stanza up: it was sent, and nobody can say whether it arrived."""

    def broken(self, name: str) -> None:
        """A stream to the remote domain that was open has ended, and not because nobody used it."""
