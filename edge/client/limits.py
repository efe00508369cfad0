"""What a client's stream may cost (`Limits` in `shared.config`). No clock: `now` is an argument."""

from __future__ import annotations

from typing import Final

from rookery.shared.bucket import Bucket
from rookery.shared.config import Limits
from rookery.shared.xmpp.stanza import Stanza

#: What a broadcast of presence costs in stanzas: the server makes one for each contact of it.
BROADCAST: Final = 10


def weight(event: object) -> int:
    """What an event costs in stanzas."""
    if isinstance(event, Stanza) and event.kind == "presence" and not event.to:
        return BROADCAST
    return 1


class Shaper:
    """The two buckets of a session, and until when it is not to be read."""

    __slots__ = ("_bytes", "_stanzas", "until")

    def __init__(self, limits: Limits, now: float) -> None:
        self._bytes = Bucket(limits.bytes_per_second, limits.bytes_burst, now)
        self._stanzas = Bucket(limits.stanzas_per_second, limits.stanzas_burst, now)
        self.until = 0.0

    def take(self, size: int, stanzas: int, now: float) -> bool:
        """Take what was read. True when reading has to stop until `until`."""
        wait = max(self._bytes.take(size, now), self._stanzas.take(stanzas, now))
        if wait:
            self.until = max(self.until, now + wait)
        return wait > 0.0
