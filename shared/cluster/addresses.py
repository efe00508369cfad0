"""The address book: who serves an address. Nothing else in the server decides whether an address is hosted here.

A hosted domain has a kind (a row of the table `domain`); the table of kinds says which kind of process serves it and how its
addresses are spread over partitions. A domain that is not hosted belongs to another server: the kind S2S serves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from rookery.shared.bus.kinds import ACCOUNTS, KINDS, Kind, domain_kinds
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import prepare_domain

#: The partition of a domain of accounts itself: whoever asks is answered by the router of its own account.
OWN: Final = -1
#: Places of addresses that are remembered, and the longest address (characters) that is: a client can make up many of both.
_CACHED: Final = 65536
_CACHED_LENGTH: Final = 256


class Place(NamedTuple):
    """The kind of process that serves an address, and the partition that the address is in (OWN: that of whoever asks)."""

    kind: Kind
    partition: int


#: The place of a hosted domain whose kind this version has never heard of: an edge serves no address.
NOWHERE: Final = Place(Kind.EDGE, OWN)


class Addresses:
    """The address book of one process. It knows no domain until `learn` (see `shared.cluster.domains`).

    Without `federated` nobody serves the addresses of other servers (`shared.cluster.federation`).
    """

    def __init__(self, partition: Callable[[str], int], *, federated: bool = False) -> None:
        self._partition = partition
        self._federated = federated
        self._learned = False
        self._domains: dict[str, str] = {}
        #: Prepared names of the domains of accounts: what an edge asks for each stanza, where `place` would cost too much.
        self.accounts: set[str] = set()
        self._rows = domain_kinds()
        self._cached: Callable[[str], Place] = lru_cache(maxsize=_CACHED)(self._find)

    def learn(self, domains: Mapping[str, str]) -> None:
        """The hosted domains with their kinds, in whatever form the names are written. Takes the place of what was known."""
        self._learned = True
        learned: dict[str, str] = {}
        for name, kind in domains.items():
            try:
                learned[prepare_domain(name)] = kind
            except JidError:
                learned[name] = kind
        self._domains = learned
        self.accounts.clear()
        self.accounts.update(name for name, kind in learned.items() if kind == ACCOUNTS)
        self._rows = domain_kinds()
        self._cached = lru_cache(maxsize=_CACHED)(self._find)

    def place(self, jid: str) -> Place:
        """Who serves an address, a bare or full JID. One lookup for an address that was asked for before."""
        return self._cached(jid) if len(jid) <= _CACHED_LENGTH else self._find(jid)

    def account(self, jid: str) -> bool:
        """Whether the address is that of an account of a hosted domain."""
        place = self.place(jid)
        return place.kind is Kind.ROUTER and place.partition != OWN

    def local(self, jid: str) -> bool:
        """Whether this cluster serves the address, as whatever kind."""
        return self.place(jid).kind is not Kind.S2S

    def serves(self, jid: str) -> bool:
        """Whether there is anybody to give a stanza for this address to."""
        return self._served(self.place(jid))

    def destination(self, jid: str) -> Place:
        """Who serves an address, for a stanza that is to go there.

        Raises StanzaError when nobody does: remote-server-not-found for a domain that is not hosted, service-unavailable for one
        of a kind that this version does not have.
        """
        place = self.place(jid)
        if not self._served(place):
            if place.kind is Kind.S2S:
                raise StanzaError("remote-server-not-found")
            raise StanzaError("service-unavailable")
        return place

    def _served(self, place: Place) -> bool:
        if place.kind is Kind.S2S and not (self._federated and self._learned):
            # (who knows no hosted domain yet knows no others either)
            return False
        return place.kind is not Kind.EDGE and KINDS[place.kind].built

    def _find(self, jid: str) -> Place:
        bare = jid.partition("/")[0]
        local, at, domain = bare.rpartition("@")
        kind = self._domains.get(domain)
        if kind is None:
            # Whoever wrote it may have written another form of the name: A-labels, capitals.
            try:
                prepared = prepare_domain(domain)
            except JidError:
                prepared = domain
            kind = self._domains.get(prepared)
            if kind is None:
                return Place(Kind.S2S, self._partition(prepared))
            bare, domain = f"{local}{at}{prepared}", prepared
        if kind == ACCOUNTS:
            return Place(Kind.ROUTER, self._partition(bare) if at else OWN)
        row = self._rows.get(kind)
        if row is None:
            return NOWHERE
        return Place(row.kind, self._partition(domain if row.by_domain else bare))
