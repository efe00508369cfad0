"""Which presence each component has been told: several users see the same, and it is told once (XEP-0356 section 8, rule 2). Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from rookery.shared.xmpp.stanza import Stanza

#: Addresses that are remembered; of others the same may be told again.
MOST: Final = 100_000


class Sightings:
    """By component and sender, what was told last."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._last: OrderedDict[tuple[str, str], int] = OrderedDict()

    def fresh(self, stanza: Stanza) -> bool:
        """Whether it says something else than what was told before of its sender."""
        key = stanza.to, stanza.from_
        said = hash((stanza.type, bytes(stanza.inner)))
        if self._last.get(key) == said:
            self._last.move_to_end(key)
            return False
        self._last[key] = said
        self._last.move_to_end(key)
        if len(self._last) > self._most:
            self._last.popitem(last=False)
        return True

    def forget(self, component: str) -> None:
        """It is new here: it knows nothing."""
        for key in [key for key in self._last if key[0] == component]:
            del self._last[key]
