"""One stanza on its way to another server, and which stanzas must not be lost on it. Pure."""

from __future__ import annotations

from typing import Final

from rookery.shared.bus.messages import Origin
from rookery.shared.store.rows import HINTS, message_type, offline_eligible, says_something
from rookery.shared.xmpp.stanza import Stanza

#: Presence that asks for or settles a subscription (RFC 6121 section 3).
SUBSCRIPTIONS: Final = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})
_AVAILABILITY: Final = frozenset({"", "unavailable"})
#: What an entry weighs besides its inner XML.
OVERHEAD: Final = 600


def durable(stanza: Stanza) -> bool:
    """Whether the stanza has a row: a message that would be kept for a user who is away, or a message of a room, or a subscription."""
    if stanza.kind == "message":
        if offline_eligible(stanza):
            return True
        said = message_type(stanza) == "groupchat" and says_something(stanza)
        return said and not stanza.has(HINTS, "no-store")
    return stanza.kind == "presence" and stanza.type in SUBSCRIPTIONS


def supersedes(stanza: Stanza) -> tuple[str, str] | None:
    """Availability counts as it is now: a later one takes the place of one that still waits for the same (from, to)."""
    if stanza.kind == "presence" and stanza.type in _AVAILABILITY:
        return stanza.from_, stanza.to
    return None


class Entry:
    """`seq` is the number of its row, 0 without one. `ready`: it may be sent (it is committed, or has no row).

    `until` is when it is given up, in Unix seconds (0.0: its row knows). `gone`: it was given up or turned out to be a repetition;
    whoever finds it in a queue drops it. `late`: it was sent before, on a stream that broke, or has waited for one.
    """

    __slots__ = ("at", "gone", "late", "origin", "ready", "seq", "size", "stanza", "until")

    def __init__(self, stanza: Stanza, origin: Origin, seq: int, at: float, until: float) -> None:
        self.stanza = stanza
        self.origin = origin
        self.seq = seq
        #: When it came, in Unix seconds.
        self.at = at
        self.until = until
        self.ready = not seq
        self.gone = False
        self.late = False
        self.size = len(stanza.inner) + OVERHEAD
