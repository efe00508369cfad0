"""What one component has of what it was sent. XEP-0114 has no acknowledgements: a ping goes behind the stanzas, and its answer, be it an error, says
that they were handled. A component that answers no pings is believed to have what its kernel has confirmed. A pure machine.
"""

from __future__ import annotations

from typing import Final

NEVER: Final = float("inf")
#: The least seconds between two pings, and between looks at the kernel of a component that answers none.
PING_SECONDS: Final = 0.05
LOOK_SECONDS: Final = 0.25
_PREFIX: Final = "component-mark."


class Acknowledging:
    """`mute`: it answers no pings. `patience` in seconds is how long one may go unanswered."""

    __slots__ = ("_asked", "_asked_at", "_look_at", "_marks", "_patience", "acked", "link", "mute", "written")

    def __init__(self, patience: float) -> None:
        self._patience = patience
        #: Whose stanzas are counted: the process of the holder, and its link.
        self.link: tuple[str, int] = ("", 0)
        self.written = self.acked = 0
        self.mute = False
        self._asked = 0
        self._asked_at = -NEVER
        self._look_at = NEVER
        #: Pings ever made: the answer names the one that is waited for.
        self._marks = 0

    def take(self, link: tuple[str, int], n: int, now: float) -> bool:
        """Stanza `n` of a link is about to be written. False when something is missing before it."""
        if link != self.link:
            if n != 1:
                return False
            self.link = link
            self.written = self.acked = self._asked = 0
        elif n != self.written + 1:
            return False
        self.written = n
        if self.mute and self._look_at == NEVER:
            self._look_at = now + LOOK_SECONDS
        return True

    def ping(self, now: float) -> str:
        """The id of the ping that is to be written now, "" for none."""
        if self.mute or self._asked or self.acked >= self.written or now < self._asked_at + PING_SECONDS:
            return ""
        self._asked, self._asked_at = self.written, now
        self._marks += 1
        return f"{_PREFIX}{self._marks}"

    def answered(self, id: str) -> bool | None:
        """An answer with this id: None when it is none to a ping of ours, True when `acked` has grown."""
        if not id.startswith(_PREFIX):
            return None
        self.mute = False
        self._look_at = NEVER
        if id != f"{_PREFIX}{self._marks}" or not self._asked:
            return False
        asked, self._asked = self._asked, 0
        return self._has(asked)

    def look(self, now: float, *, confirmed: bool) -> bool:
        """Time has passed; `confirmed`: the kernel of the other side has everything. Returns whether `acked` has grown."""
        if not self.mute and self._asked and now >= self._asked_at + self._patience and confirmed:
            self.mute, self._asked = True, 0
        if not self.mute or not confirmed or self.acked >= self.written:
            if self.mute and self.acked < self.written:
                self._look_at = now + LOOK_SECONDS
            return False
        self._look_at = NEVER
        return self._has(self.written)

    def due(self, now: float) -> float:
        """When to ping or look next."""
        if self.acked >= self.written:
            return NEVER
        if self.mute:
            return self._look_at if self._look_at != NEVER else now + LOOK_SECONDS
        if not self._asked:
            return self._asked_at + PING_SECONDS
        due = self._asked_at + self._patience
        return due if due > now else now + LOOK_SECONDS

    def _has(self, n: int) -> bool:
        grown = n > self.acked
        self.acked = max(self.acked, n)
        return grown
