"""Which errors answer a message that was copied to an account's other resources (XEP-0280)."""

from __future__ import annotations

from typing import Final

#: Copied messages of an account that an error may still answer.
MAX_ANSWERABLE: Final = 64


class Answerable:
    """Which errors answer a message that was copied: the newest few, by peer and id. A pure machine."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, None] = {}

    def add(self, peer: str, id: str) -> None:
        """A message from or to `peer` (a bare JID) was copied."""
        if id:
            key = hash((peer, id))
            self._known.pop(key, None)
            self._known[key] = None
            if len(self._known) > MAX_ANSWERABLE:
                del self._known[next(iter(self._known))]

    def has(self, peer: str, id: str) -> bool:
        """Whether an error from or to `peer` with this id answers one of them."""
        return bool(id) and hash((peer, id)) in self._known
