"""How many bytes of rows the queues of one process keep in memory: each pair its share, all together a limit. Pure."""

from __future__ import annotations

from typing import Final

#: Bytes of all pairs together, of one pair while there is room for all, and of one pair in any case.
ALL: Final = 128 * 1024 * 1024
EACH: Final = 4 * 1024 * 1024
LEAST: Final = 64 * 1024


class Room:
    """Of one process. Domains that are away do not take all: a pair has its least also when the rest is used up."""

    __slots__ = ("_limit", "used")

    def __init__(self, limit: int = ALL) -> None:
        self._limit = limit
        self.used = 0

    @property
    def share(self) -> int:
        """Bytes that one pair may keep now."""
        return EACH if self.used < self._limit else LEAST
