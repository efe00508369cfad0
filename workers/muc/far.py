"""Other servers whose users are in rooms of this process: who is silent is asked, who cannot be reached is gone. A pure machine.

One occupant stands for its whole domain. A domain is gone when a question could not be brought to it and nothing has come from it for
long enough; silence alone proves nothing, since it may be our own bus or database that is away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

#: Seconds without a word of a domain after which one of its occupants is asked, and seconds between two questions once one has failed.
ASK: Final = 25.0
AGAIN: Final = 10.0
#: Seconds for which a question that could not be brought counts.
PROOF: Final = 45.0
#: Seconds within which the occupants of one domain are not all asked twice.
CALM: Final = 20.0


class Look(NamedTuple):
    """Domains of which one occupant is to be asked, and those that are gone."""

    asked: list[str]
    gone: list[str]


class _Domain:
    __slots__ = ("asked", "failed", "heard", "shaken")

    def __init__(self, now: float) -> None:
        #: When something came from it last, when it was asked, and when a question could not be brought.
        self.heard = now
        self.asked = self.failed = self.shaken = float("-inf")


class Far:
    """All such domains. Times are Unix seconds."""

    __slots__ = ("_domains",)

    def __init__(self) -> None:
        self._domains: dict[str, _Domain] = {}

    def came(self, domain: str, now: float) -> bool:
        """Something came from it; whether that ends a time in which it could not be reached."""
        found = self._domains.get(domain)
        if found is None:
            return False
        back = found.failed > found.heard
        found.heard = now
        return back

    def failed(self, domain: str, now: float) -> None:
        """A question could not be brought."""
        found = self._domains.get(domain)
        if found is not None:
            found.failed = now

    def shaken(self, domain: str, now: float) -> bool:
        """Its sessions may be gone; whether all of them are to be asked."""
        found = self._domains.setdefault(domain, _Domain(now))
        if now - found.shaken < CALM:
            return False
        found.shaken = now
        return True

    def look(self, present: Iterable[str], now: float, limit: float) -> Look:
        """Every few seconds: `present` are all domains with occupants; without a word for `limit` seconds (0: never) one is gone."""
        known = self._domains
        self._domains = domains = {name: known.get(name) or _Domain(now) for name in present}
        found = Look([], [])
        for name, domain in domains.items():
            failing = domain.failed > domain.heard
            if failing and limit and now - domain.heard >= limit and now - domain.failed <= PROOF:
                found.gone.append(name)
                domain.heard = now
            elif now - max(domain.heard, domain.asked) >= (AGAIN if failing else ASK):
                domain.asked = now
                found.asked.append(name)
        return found
