"""What is said after a commit, to the kinds that the table names (`KindRow.told`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rookery.shared.bus.kinds import Kind, Notice, told
from rookery.shared.bus.messages import AccountChanged, ContactRemoved, Item

#: A kind, the account whose holder of that kind is told, and the item.
Post = tuple[Kind, str, Item]


def account_changed(
    account: str,
    what: str,
    contacts: Iterable[str] = (),
    full: str = "",
    places: Iterable[tuple[Kind, str]] = (),
) -> Iterator[Post]:
    """What follows a change of `account` (see AccountChanged); `contacts` had it in their rosters when it was removed, `places` in their lists."""
    changed = AccountChanged(account, what, full)
    for kind in told(Notice.ACCOUNT_CHANGED):
        yield kind, account, changed
    for contact in contacts:
        for kind in told(Notice.CONTACT_REMOVED):
            yield kind, contact, ContactRemoved(contact, account)
    for kind, place in places:
        yield kind, place, ContactRemoved(place, account)
