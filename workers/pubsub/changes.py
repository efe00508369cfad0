"""What a request changes at a node, and what subscribers are told of it. A node evolves by changes alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, assert_never

from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub.config import Config
from rookery.workers.pubsub.node import NONE, Item, Node, Subscription

NS: Final = "http://jabber.org/protocol/pubsub"
NS_EVENT: Final = NS + "#event"
NS_OWNER: Final = NS + "#owner"


class Created(NamedTuple):
    """The node is new."""

    config: Config
    affiliations: Sequence[tuple[str, str]]


class Configured(NamedTuple):
    """It has other settings; `keep` items stay."""

    config: Config
    keep: int


class Affiliated(NamedTuple):
    """A bare JID has another affiliation."""

    jid: str
    affiliation: str


class Subscribed(NamedTuple):
    """A subscription is new, or has another state or other options."""

    subscription: Subscription


class Unsubscribed(NamedTuple):
    """A subscription has ended."""

    jid: str
    subid: str


class Published(NamedTuple):
    """An item is new, or in place of the one of its id; `keep` items stay, this one among them. With 0 it is told and not kept."""

    item: Item
    keep: int
    expire: int


class Retracted(NamedTuple):
    """Items are gone."""

    ids: Sequence[str]


class Purged(NamedTuple):
    """All items are gone."""


class Deleted(NamedTuple):
    """The node is gone, with all that belongs to it."""


Change = (
    Created | Configured | Affiliated | Subscribed | Unsubscribed | Published | Retracted | Purged | Deleted
)


class Event(NamedTuple):
    """What is told under number `n`: the children of a message. `to` are JIDs; empty: all subscribers.

    `type` is the message's; `implicit`: also those who want notifications of such nodes (XEP-0163).
    """

    n: int
    type: str
    children: Sequence[Element]
    to: Sequence[str] = ()
    implicit: bool = True


class Outcome(NamedTuple):
    """What was decided: how the node changes, the answer's payload, and what is told."""

    changes: Sequence[Change] = ()
    reply: Element | None = None
    events: Sequence[Event] = ()


def event(node: Node, child: Element, n: int, to: Sequence[str] = ()) -> Event:
    """A notification of the node's type (section 7.1.2)."""
    return Event(n, type_of(node), (Element(NS_EVENT, "event", None, child),), to)


def numbered(node: Node, events: Sequence[Event]) -> list[Event]:
    """Events with numbers behind the node's last one."""
    return [one._replace(n=node.n + i) for i, one in enumerate(events, 1)]


def type_of(node: Node) -> str:
    """The type of the messages that notify of a node."""
    type = node.config.text("notification_type")
    if node.config.on("presence_based_delivery"):
        # A headline is for available resources, and nobody keeps it for others (RFC 6121 section 8.5).
        return "headline"
    return "" if type == "normal" else type


def evolve(node: Node, change: Change) -> None:
    """Apply one committed change."""
    match change:
        case Created(config, affiliations):
            node.config = config
            node.affiliations.update(affiliations)
        case Configured(config, keep):
            node.config = config
            node.count = min(node.count, keep)
            if not keep:
                node.last = None
        case Affiliated(jid, affiliation):
            if affiliation == NONE:
                node.affiliations.pop(jid, None)
            else:
                node.affiliations[jid] = affiliation
        case Subscribed(subscription):
            node.subscriptions[subscription.jid, subscription.subid] = subscription
        case Unsubscribed(jid, subid):
            node.subscriptions.pop((jid, subid), None)
        case Published(item, keep, _):
            if keep:
                node.count = min(node.count + 1, keep)
                node.last = item
        case Retracted(ids):
            node.count = max(0, node.count - len(ids))
            if node.last is not None and node.last.id in ids:
                node.last = None
        case Purged() | Deleted():
            node.count = 0
            node.last = None
        case _:
            assert_never(change)
