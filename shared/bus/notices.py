"""What is said after a commit, to the kinds that the table names (`KindRow.told`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rookery.shared.bus.kinds import Kind, Notice, told
from rookery.shared.bus.messages import AccountChanged, ContactRemoved, Item, SharedContacts
from rookery.shared.bus.subjects import partition_of

#: A kind, the account whose holder of that kind is told, and the item.
Post = tuple[Kind, str, Item]
#: Contacts in one notice of groups.
_CONTACTS: Final = 500


def account_changed(account: str, what: str, contacts: Iterable[str] = (), full: str = "") -> Iterator[Post]:
    """What follows a change of `account` (see AccountChanged); `contacts` had it in their rosters when it was removed."""
    changed = AccountChanged(account, what, full)
    for kind in told(Notice.ACCOUNT_CHANGED):
        yield kind, account, changed
    for contact in contacts:
        for kind in told(Notice.CONTACT_REMOVED):
            yield kind, contact, ContactRemoved(contact, account)


def shared_contacts(accounts: Iterable[str], contacts: Sequence[str]) -> Iterator[Post]:
    """What follows a change of groups: accounts see these contacts otherwise. One item for each partition that has some of the accounts."""
    partitions: dict[int, list[str]] = {}
    for account in accounts:
        partitions.setdefault(partition_of(account), []).append(account)
    for some in partitions.values():
        for at in range(0, len(contacts), _CONTACTS):
            yield Kind.ROSTER, some[0], SharedContacts(tuple(some), tuple(contacts[at : at + _CONTACTS]))
