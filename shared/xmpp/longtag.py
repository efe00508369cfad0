"""A start tag that is too long for expat to scan it again with every piece that arrives."""

from __future__ import annotations

import re
from typing import Final

_STOP: Final = re.compile(rb"['\">]")


class LongTag:
    """Collects an unfinished start tag and knows when its closing `>` has come, looking at every byte once.

    `tail` is what expat already has of it.
    """

    __slots__ = ("_bytes", "_given", "_quote", "_scanned")

    def __init__(self, tail: bytes) -> None:
        self._bytes = bytearray()
        self._given = len(tail)
        self._quote = b""
        self._scanned = 0
        self.add(tail)

    def __len__(self) -> int:
        return len(self._bytes)

    def add(self, data: bytes) -> bool:
        """Add what came; say whether the tag is complete."""
        held = self._bytes
        held += data
        at = self._scanned
        while at < len(held):
            if self._quote:
                at = held.find(self._quote, at) + 1
                if not at:
                    break
                self._quote = b""
                continue
            stop = _STOP.search(held, at)
            if stop is None:
                break
            if stop[0] == b">":
                self._scanned = stop.start()
                return True
            self._quote = stop[0]
            at = stop.end()
        self._scanned = len(held)
        return False

    def rest(self) -> bytes:
        """What expat does not have yet."""
        return bytes(self._bytes[self._given :])
