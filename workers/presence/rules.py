"""Who may know what of whose presence (RFC 6121 section 4). Pure."""

from __future__ import annotations

from typing import NamedTuple

from rookery.shared.bus.kinds import Kind
from rookery.shared.cluster.addresses import Place
from rookery.shared.xeps.blocking import matches
from rookery.shared.xmpp.jid import bare_of


class Relation(NamedTuple):
    """How one account stands to one asker: as much of its Subscriptions as a probe needs."""

    exists: bool
    seen: bool
    blocked: frozenset[str]

    def may_see(self, account: str, asker: str) -> bool:
        """Whether `asker` may know of the account's presence (section 4.3.2)."""
        return self.exists and (bare_of(asker) == account or (self.seen and not self.blocks(asker)))

    def blocks(self, address: str) -> bool:
        """Whether the account blocks this address: then it gets no answer at all (XEP-0191 section 3.3)."""
        return bool(self.blocked) and matches(self.blocked, address)


class Subscriptions:
    """What the presence of one account depends on; `exists` is False for an account that is not there.

    `seen_by` and `sees` map bare JIDs of contacts to their places; `blocked` is the account's block list. A contact is an account here
    or an address of another server. `opened` are accounts that let it see them, as was read with the rest; believed until `opened_until`.
    """

    __slots__ = ("blocked", "exists", "opened", "opened_until", "seen_by", "sees")

    def __init__(
        self, exists: bool, seen_by: dict[str, Place], sees: dict[str, Place], blocked: frozenset[str]
    ) -> None:
        self.exists = exists
        self.seen_by = seen_by
        self.sees = sees
        self.blocked = blocked
        self.opened: frozenset[str] = frozenset()
        self.opened_until = 0.0

    def open(self, now: float) -> frozenset[str]:
        """Who was read a moment ago to let the account see them."""
        return self.opened if now < self.opened_until else frozenset()

    def update(self, contact: str, place: Place, subscription: str) -> None:
        """Apply a committed change of the roster."""
        for contacts, on in (
            (self.seen_by, subscription in ("from", "both")),
            (self.sees, subscription in ("to", "both")),
        ):
            if on:
                contacts[contact] = place
            else:
                contacts.pop(contact, None)

    def audience(self, kind: Kind) -> list[tuple[str, int]]:
        """Who of a kind is told of a change of presence (sections 4.2.2, 4.4.2, 4.5.2), with partitions; whom the account blocks is not."""
        return self._open(self.seen_by, kind)

    def probed(self, kind: Kind) -> list[tuple[str, int]]:
        """Whose presence a new available resource asks for (section 4.2.2)."""
        return self._open(self.sees, kind)

    def is_seen_from(self, domain: str) -> bool:
        """Whether accounts of a domain here are told of the account's presence."""
        end = f"@{domain}"
        return any(jid.endswith(end) and not self._blocked(jid) for jid in self.seen_by)

    def may_hear(self, sender: str) -> bool:
        """Whether presence of this address is what the account is subscribed to."""
        return self.exists and bare_of(sender) in self.sees and not self._blocked(sender)

    def _blocked(self, address: str) -> bool:
        return bool(self.blocked) and matches(self.blocked, address)

    @staticmethod
    def kinds(contacts: dict[str, Place]) -> set[Kind]:
        """The kinds that serve these contacts."""
        return {place.kind for place in contacts.values()}

    def _open(self, contacts: dict[str, Place], kind: Kind) -> list[tuple[str, int]]:
        found = [(jid, place.partition) for jid, place in contacts.items() if place.kind is kind]
        if self.blocked:
            return [one for one in found if not matches(self.blocked, one[0])]
        return found

    def relation(self, asker: str) -> Relation:
        """How the account stands to `asker`."""
        return Relation(self.exists, bare_of(asker) in self.seen_by, self.blocked)

    def may_see(self, account: str, asker: str) -> bool:
        """As `Relation.may_see`."""
        return self.relation(asker).may_see(account, asker)
