"""Where a remote domain is, and who makes its streams."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from rookery.workers.s2s.streams.api import Link, Owner


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
