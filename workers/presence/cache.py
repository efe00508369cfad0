"""A bounded cache of subscriptions: least recently used accounts go first, and nothing is believed for ever."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from rookery.workers.presence.rules import Subscriptions

#: Contacts of all accounts together, and the seconds after which Postgres is asked again: the bound of what a change that was
#: made without the bus (the command line) or whose notice died with its sender can do.
MAX_CONTACTS: Final = 1_000_000
MAX_AGE: Final = 300.0


class Cache:
    """Subscriptions by account, each with the partition that it belongs to."""

    def __init__(self, max_contacts: int = MAX_CONTACTS, max_age: float = MAX_AGE) -> None:
        self._entries: OrderedDict[str, tuple[int, float, int, Subscriptions]] = OrderedDict()
        self._max_contacts = max_contacts
        self._max_age = max_age
        self.contacts = 0

    def get(self, account: str, now: float) -> Subscriptions | None:
        """The subscriptions of an account, when they are known and young enough."""
        entry = self._entries.get(account)
        if entry is None:
            return None
        if entry[1] < now:
            self.forget(account)
            return None
        self._entries.move_to_end(account)
        return entry[3]

    def put(self, account: str, partition: int, subscriptions: Subscriptions, now: float) -> None:
        """Remember the subscriptions of an account."""
        self.forget(account)
        weight = 1 + len(subscriptions.seen_by) + len(subscriptions.sees) + len(subscriptions.blocked)
        self._entries[account] = (partition, now + self._max_age, weight, subscriptions)
        self.contacts += weight
        while self.contacts > self._max_contacts and len(self._entries) > 1:
            self.forget(next(iter(self._entries)))

    def outlast(self, account: str, until: float) -> None:
        """The account is gone from Postgres: what is known of it is believed until then, to tell its subscribers."""
        entry = self._entries.get(account)
        if entry is not None:
            self._entries[account] = (entry[0], until, *entry[2:])

    def forget(self, account: str) -> None:
        """Ask Postgres the next time."""
        entry = self._entries.pop(account, None)
        if entry is not None:
            self.contacts -= entry[2]

    def forget_partition(self, partition: int) -> None:
        """Forget the accounts of a partition that another process holds now."""
        for account in [account for account, entry in self._entries.items() if entry[0] == partition]:
            self.forget(account)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.contacts = 0

    def __len__(self) -> int:
        return len(self._entries)
