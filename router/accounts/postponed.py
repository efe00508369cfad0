"""What waits for an inactive client (XEP-0352): a pure machine for each session.

Presence waits by sender, chat states by conversation: the newest replaces the one before. What is given is in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.xeps.client_state import Options, can_wait
from rookery.shared.xmpp.stanza import Stanza

#: What a stanza weighs besides its content.
OVERHEAD: Final = 256


class Waiting(NamedTuple):
    """A stanza that waits; `to` is "" or overrides its address."""

    stanza: Stanza
    to: str


class Postponed:
    """What waits for one inactive session, oldest first."""

    __slots__ = ("_count", "_size", "_told", "_waiting", "lost", "lost_gone")

    def __init__(self, lost: bool = False, gone: Sequence[str] = ()) -> None:
        #: A former router postponed something and is no more; who had gone as far as it knew.
        self.lost = lost
        self.lost_gone = tuple(gone)
        self._waiting: dict[tuple[str, str, int], Waiting] = {}
        self._size = 0
        self._count = 0
        self._told: tuple[bool, frozenset[str]] = (False, frozenset())

    def __len__(self) -> int:
        return len(self._waiting)

    def postpone(self, stanza: Stanza, to: str, like: Stanza | None = None) -> bool:
        """Keep a stanza back; `like` is the message that a copy of ours wraps. False when it is important."""
        if not can_wait(like or stanza):
            return False
        key = self._key(stanza, like)
        # The newest goes to the end: whoever reads in order sees how things are, not how they were.
        old = self._waiting.pop(key, None)
        if old is not None:
            self._size -= len(old.stanza.inner) + OVERHEAD
        self._waiting[key] = Waiting(stanza, to)
        self._size += len(stanza.inner) + OVERHEAD
        return True

    def _key(self, stanza: Stanza, like: Stanza | None) -> tuple[str, str, int]:
        if stanza.kind == "presence":
            return ("presence", stanza.from_, 0)
        if (like or stanza).type == "headline":
            self._count += 1
            return ("headline", "", self._count)
        if like is not None:
            return ("copy", f"{like.from_} {like.to}", 0)
        return ("state", stanza.from_, 0)

    def exceeds(self, most: Options) -> bool:
        """Whether it must be given now."""
        return len(self._waiting) >= most.postponed_stanzas or self._size >= most.postponed_bytes

    def drain(self) -> list[Waiting]:
        """Everything, in order; nothing waits any more."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        self._size = 0
        return waiting

    @property
    def gone(self) -> list[str]:
        """Who is unavailable without the client knowing: nobody would tell it again after a loss of this router."""
        return [
            one.stanza.from_
            for (kind, _, _), one in self._waiting.items()
            if kind == "presence" and one.stanza.type == "unavailable"
        ]

    def untold(self) -> bool:
        """Whether what a successor has to know is not what the last call found."""
        now = (bool(self._waiting), frozenset(self.gone))
        told, self._told = self._told, now
        return told != now
