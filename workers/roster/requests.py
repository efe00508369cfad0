"""The requests that the roster worker answers: roster gets and sets (RFC 6121 section 2)."""

from __future__ import annotations

from functools import partial
from typing import Final

import trio

from rookery.shared.bus.messages import Handle, Kind, Origin
from rookery.shared.xeps.registry import answered_by
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.hosted import HostedWorker, uid
from rookery.workers.roster import notices, roster, store
from rookery.workers.roster.pushing import Pushing
from rookery.workers.roster.reading import MOST_CONTACTS
from rookery.workers.roster.subscription import State, removal


def _query(item: Handle) -> Element:
    if not item.outbound:
        raise StanzaError("forbidden")  # sections 2.1.5, 2.3.3
    query = item.stanza.find(ns.ROSTER, "query")
    if query is None:
        raise StanzaError("bad-request")
    return query


async def get(worker: HostedWorker, partition: int, item: Handle) -> Stanza | None:
    """The roster, or what has changed since the version that the client knows (section 2.6)."""
    query = _query(item)
    if next(query.elements(), None) is not None:
        raise StanzaError("bad-request", "a roster get has no items")
    ver = query.get("ver")
    assert isinstance(worker, Pushing)
    since = worker.quiet.changes(partition)
    read = worker.reading.due(partition, item.account, trio.current_time())
    found = await worker.database(
        partition, lambda conn: store.get(conn, item.account, ver, read), item.origin.deadline
    )
    if found is None:
        raise StanzaError("item-not-found")
    if found.read is not None and len(found.read.sees) + len(found.read.seen_by) <= MOST_CONTACTS:
        worker.node.bus.post(Kind.PRESENCE, partition, found.read)
    if found.quiet:
        # A login reads the roster, then becomes available: it need not ask again.
        worker.quiet.add(partition, item.account, since)
    if found.full:
        return roster.result(item.stanza, found.items, found.ver)
    worker.reply(item.stanza.result(), item.origin)
    for changed in found.items:
        worker.route(roster.push(changed, found.account_id, item.full))
    return None


async def edit(worker: HostedWorker, partition: int, item: Handle) -> Stanza | None:
    """A roster set: one item is added, changed or removed (sections 2.3 to 2.5)."""
    node, account = worker.node, item.account
    change = roster.parse_set(_query(item), account)
    limit = node.config.limits.roster_items
    edited = await worker.database(
        partition,
        lambda conn: store.edit(conn, node.incarnation, account, change, uid(item.origin), limit),
        item.origin.deadline,
    )
    worker.reply(item.stanza.result(), item.origin)
    assert isinstance(worker, Pushing)
    worker.push(account, edited.account_id, edited.item)
    if change.remove and not edited.stays:
        _removed(worker, partition, item.origin, change.contact, edited.before, account)
    return None


def _removed(
    worker: HostedWorker, partition: int, origin: Origin, contact: str, before: State, account: str
) -> None:
    """Removing an item cancels the subscriptions both ways (section 2.5.2)."""
    hidden = partial(notices.send_presence, worker.node, account, contact, False)
    for type in removal(before):
        # The contact hears that it is not subscribed any more before it sees the account go (section 3.2.2).
        worker.pass_on(
            partition,
            Stanza.build("presence", type=type, to=contact, from_=account),
            worker.derived(origin, type),
            hidden if type == "unsubscribed" else None,
        )
    notices.subscription(worker.node, account, contact, "remove")


REQUESTS: Final = answered_by(
    "roster",
    {
        ("get", ns.ROSTER, "query"): get,
        ("set", ns.ROSTER, "query"): edit,
    },
)
