"""What publishers do (XEP-0060 section 7): publish an item, remove items. Pure: each function decides, and raises StanzaError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import access
from rookery.workers.pubsub.changes import (
    NS,
    NS_EVENT,
    Change,
    Created,
    Event,
    Outcome,
    Published,
    Retracted,
    event,
)
from rookery.workers.pubsub.config import Value, check
from rookery.workers.pubsub.errors import error, no_node, unsupported
from rookery.workers.pubsub.node import OWNER, Ask, Item, Node

#: Octets of an item's id.
MAX_ID: Final = 1024


class Publication(NamedTuple):
    """What is to be published.

    `item`: whether the request has one. `options` are the publisher's preconditions; `taken` is who published the item of this id
    before, "" for nobody; `oldest` are the items that it drives out of a node, `full`: there is no room, and none is made.
    """

    id: str
    payload: bytes
    options: Mapping[str, Value]
    taken: str = ""
    oldest: Sequence[str] = ()
    full: bool = False
    item: bool = True


def read_item(publish: Element) -> tuple[bool, str, bytes]:
    """Whether a publish request has an item, its id ("" when the service shall choose) and its payload (section 7.1.3). Raises StanzaError."""
    if not publish.get("node"):
        raise error("bad-request", "nodeid-required")
    items = list(publish.elements(NS, "item"))
    if len(items) > 1:
        raise StanzaError("bad-request", "one item at a time")
    if not items:
        return False, "", b""
    item = items[0]
    payloads = list(item.elements())
    if len(payloads) > 1:
        raise error("bad-request", "invalid-payload", "an item has one payload")
    id = item.get("id") or ""
    if len(id.encode()) > MAX_ID:
        raise StanzaError("not-acceptable", f"an item's id has at most {MAX_ID} bytes")
    return True, id, payloads[0].encode() if payloads else b""


def publish(node: Node, ask: Ask, what: Publication, *, fresh: bool = False) -> Outcome:
    """Publish (section 7.1). `fresh`: the node was made for this, with the settings that its publisher wants."""
    access.publish(node, ask)
    if not fresh:
        check(node.config, what.options, ask.limits)
    keep = node.config.max_items(ask.limits)
    _check_payload(node, ask, what, keep)
    if what.taken and node.affiliation(ask.bare) != OWNER and what.taken.partition("/")[0] != ask.bare:
        raise StanzaError("forbidden", "somebody else published the item of this id")
    if what.full:
        raise error("conflict", "node-full")
    n = node.n + 1
    changes: list[Change] = []
    events: list[Event] = []
    if fresh:
        changes.append(Created(node.config, tuple(node.affiliations.items())))
    if what.oldest:
        changes.append(Retracted(tuple(what.oldest)))
        if node.config.on("notify_retract"):
            # Before the new item: its number is the highest of those that somebody may still be told.
            events.append(event(node, _retracted(node, what.oldest), n))
            n += 1
    item = Item(what.id, n, ask.jid, what.payload, ask.now)
    changes.append(Published(item, keep, node.config.expire()))
    named = Element(NS, "item", {"id": item.id}) if what.item else None
    reply = Element(NS, "pubsub", None, Element(NS, "publish", {"node": node.name}, named))
    events.append(event(node, items_element(node, (item,) if what.item else ()), n))
    return Outcome(changes, reply, events if node.config.on("deliver_notifications") else ())


def _check_payload(node: Node, ask: Ask, what: Publication, keep: int) -> None:
    """Section 7.1.3.6: what a node needs and takes, by what its events are (section 4.3)."""
    told = node.config.on("deliver_payloads")
    if keep and not what.item:
        raise error("bad-request", "item-required")
    if told and not what.payload:
        raise error("bad-request", "payload-required")
    if what.item and not keep and not told:
        raise error("bad-request", "item-forbidden")
    most = node.config.max_payload(ask.limits)
    if len(what.payload) > most:
        raise error("not-acceptable", "payload-too-big", f"a payload has at most {most} bytes")


def items_element(node: Node, items: Sequence[Item], *, payloads: bool | None = None) -> Element:
    """The items of a notification (section 7.1.2)."""
    if payloads is None:
        payloads = node.config.on("deliver_payloads")
    return Element(
        NS_EVENT,
        "items",
        {"node": node.name},
        *(item_element(NS_EVENT, node, item, payloads) for item in items),
    )


def item_element(ns: str, node: Node, item: Item, payload: bool = True) -> Element:
    """One item; who published it is told where that may be somebody else than the node's account."""
    attrs = {"id": item.id}
    if item.publisher.partition("/")[0] != node.owner:
        attrs["publisher"] = item.publisher.partition("/")[0]
    return Element(ns, "item", attrs, parse_element(item.payload) if payload and item.payload else None)


def retract(
    node: Node, ask: Ask, publishers: Mapping[str, str], ids: Sequence[str], *, notify: bool
) -> Outcome:
    """Remove items (section 7.2). `publishers` of those that are there, by id."""
    if not ids or not all(ids):
        raise error("bad-request", "item-required")
    if not node.config.on("persist_items"):
        raise unsupported("persistent-items")
    for id in ids:
        access.retract(node, ask, publishers.get(id, ask.bare))
    if any(id not in publishers for id in ids):
        raise no_node()
    n = node.n + 1
    told = _retracted(node, ids)
    notify = (notify or node.config.on("notify_retract")) and node.config.on("deliver_notifications")
    return Outcome((Retracted(tuple(ids)),), None, (event(node, told, n),) if notify else ())


def _retracted(node: Node, ids: Sequence[str]) -> Element:
    """What is told of items that are gone (section 7.2.2.1)."""
    gone = (Element(NS_EVENT, "retract", {"id": id}) for id in ids)
    return Element(NS_EVENT, "items", {"node": node.name}, *gone)
