"""What is said after a commit that changes shared roster groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rookery.shared.bus.kinds import Kind
from rookery.shared.bus.messages import SharedContacts
from rookery.shared.bus.notices import Post
from rookery.shared.bus.subjects import partition_of

#: Contacts in one notice.
_CONTACTS: Final = 500


def shared_contacts(accounts: Iterable[str], contacts: Sequence[str]) -> Iterator[Post]:
    """What follows a change of groups: accounts see these contacts otherwise. One item for each partition that has some of the accounts."""
    partitions: dict[int, list[str]] = {}
    for account in accounts:
        partitions.setdefault(partition_of(account), []).append(account)
    for some in partitions.values():
        for at in range(0, len(contacts), _CONTACTS):
            yield Kind.ROSTER, some[0], SharedContacts(tuple(some), tuple(contacts[at : at + _CONTACTS]))
