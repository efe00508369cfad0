"""What accounts see of one another because they share a group, in Postgres. Nothing is written here: a pair of members has no row.

A group makes its members contacts of state `both` under its label. What a user writes of such a contact (a name, groups of his own) is kept
beside it; the contact itself stays as long as the group does, and so do both subscriptions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.db import groups
from rookery.shared.db.api import Connection
from rookery.shared.xmpp.jid import Jid
from rookery.workers.roster.roster import Item
from rookery.workers.roster.subscription import State

#: SQL for a row of `account`: whether it is in any group.
GROUPED: Final = f"({groups.ANY} AND EXISTS (SELECT FROM group_member m WHERE m.account_id = account.id))"
#: The mark of a version that a push leads to: no roster has it, so the client is told everything the next time. More changes of the same
#: group may be under way, which a client that ends now would not hear of.
UNKNOWN: Final = "x"
_SEEN: Final = (
    "SELECT contact, array_agg(DISTINCT label ORDER BY label) AS labels FROM shared_contact "
    "WHERE account_id = $1 GROUP BY contact ORDER BY contact"
)
_LABELS: Final = f"SELECT {groups.labels('$1::bigint', '$2::text')}"
_ITEMS: Final = f"""
SELECT asked.k, a.id, a.roster_ver, {groups.labels("a.id", "asked.contact")} AS labels,
    i.name, i.groups, i.sub_to, i.sub_from, i.pending_out, i.pending_in IS NOT NULL AS pending_in, i.approved, i.listed
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) AS asked (k, domain, localpart, contact)
JOIN account a ON a.domain = asked.domain AND a.localpart = asked.localpart
LEFT JOIN roster_item i ON i.account_id = a.id AND i.contact = asked.contact"""  # noqa: S608


class Seen(NamedTuple):
    """The contacts that an account sees through groups, with the labels of each; `mark` tells one such set from another."""

    contacts: Mapping[str, Sequence[str]]
    mark: str

    def of(self, item: Item) -> Item:
        """What clients see of an item."""
        return item._replace(shared=self.contacts.get(item.contact, ()), mark=self.mark)

    def among(self, items: Sequence[Item]) -> Sequence[Item]:
        """A roster with these contacts in it."""
        if not self.contacts:
            return items
        own = {item.contact for item in items}
        added = [self.of(Item(contact, listed=False)) for contact in self.contacts if contact not in own]
        return [*(self.of(item) for item in items), *added]


class Through(NamedTuple):
    """The labels under which one contact is seen; `mark` as in `Item`."""

    shared: Sequence[str]
    mark: str

    def of(self, item: Item) -> Item:
        """What clients see of an item."""
        return item._replace(shared=self.shared, mark=self.mark) if self.mark else item


NOBODY: Final = Seen({}, "")
_ALONE: Final = Through((), "")


async def seen(conn: Connection, account_id: int) -> Seen:
    """Whom an account sees through groups."""
    records = await conn.fetch(_SEEN, account_id)
    contacts = {record["contact"]: tuple(record["labels"]) for record in records}
    digest = hashlib.sha256()
    for contact, labels in contacts.items():
        digest.update("\0".join((contact, *labels, "")).encode() + b"\n")
    return Seen(contacts, digest.hexdigest()[:16])


async def labels(conn: Connection, account: Any, contact: str) -> Through:
    """How an account sees a contact through groups; `account` is its row with `id` and `grouped`. Without groups nothing is asked."""
    if not account["grouped"]:
        return _ALONE
    return Through(tuple(await conn.fetchval(_LABELS, account["id"], contact)), UNKNOWN)


def settled(state: State, outbound: bool, type: str) -> bool:
    """Whether a subscription stanza between two who share a group changes nothing: they are subscribed, and cannot end it.

    A request that was open before is answered as any other.
    """
    asked = state.in_ if outbound else state.out
    return not (asked and type in ("subscribed", "unsubscribed"))


async def items(conn: Connection, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, Item] | None]:
    """The (account id, item) for each (account, contact), as committed; None where there is no such account. One statement."""
    accounts = [Jid.trusted(account) for account, _ in pairs]
    records = await conn.fetch(
        _ITEMS,
        list(range(len(pairs))),
        [jid.domain for jid in accounts],
        [jid.local or "" for jid in accounts],
        [contact for _, contact in pairs],
    )
    found: list[tuple[int, Item] | None] = [None] * len(pairs)
    for record in records:
        found[record["k"]] = record["id"], _item(record, pairs[record["k"]][1])
    return found


def _item(record: Any, contact: str) -> Item:
    shared = tuple(record["labels"])
    if record["listed"] is None:
        return Item(contact, listed=False, ver=record["roster_ver"], shared=shared, mark=UNKNOWN)
    state = State(
        record["sub_to"],
        record["sub_from"],
        record["pending_out"],
        record["pending_in"],
        record["approved"],
    )
    return Item(
        contact,
        record["name"],
        tuple(record["groups"]),
        state,
        record["listed"],
        record["roster_ver"],
        shared,
        UNKNOWN,
    )
