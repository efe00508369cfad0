"""Requests of publishers and subscribers (XEP-0060 sections 5.6, 5.7, 6.1 to 6.3, 7): read, decided, committed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from rookery.shared.xeps import data_forms
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid, bare_of
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import bookmarks, entity, options, owner, publisher, reader, subscriber
from rookery.workers.pubsub.changes import NS
from rookery.workers.pubsub.config import OPTIONS, Value, read_form
from rookery.workers.pubsub.errors import error, no_node
from rookery.workers.pubsub.keeping import Keeping, Request
from rookery.workers.pubsub.node import Node

_TRUE = frozenset({"1", "true"})
#: Items that one request removes.
MAX_RETRACTED = 100


def form_in(element: Element | None) -> Element | None:
    """The form within an element, if there is one."""
    return None if element is None else element.find(data_forms.NS, "x")


async def publish(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """Publish an item (section 7.1); the node is made when there is none."""
    item, id, payload = publisher.read_item(child)
    name = child.get("node") or ""
    x = form_in(pubsub.find(NS, "publish-options"))
    wanted: Mapping[str, Value] = {}
    if x is not None:
        wanted = read_form(x, OPTIONS, keeping.limits, strict=True)
    if bookmarks.old(request, name):
        return await bookmarks.published(keeping, request, payload, wanted)
    node = await keeping.find(request.partition, request.owner, name, request.deadline)
    fresh = node is None
    ask = await keeping.ask(request, node)
    if node is None:
        node = await _automatic(keeping, request, name, wanted)
    taken = ""
    if id and not fresh and (not owner_of(node, request) or node.config["publish_node_full"] == "reject"):
        found = await keeping.worker.database(
            request.partition,
            lambda conn: reader.publishers(conn, node.id, node.config.expire(), (id,)),
            request.deadline,
        )
        taken = found.get(id, "")
    id = id or secrets.token_urlsafe(12)
    full = not fresh and not taken and await _full(keeping, request, node)
    oldest = () if fresh else await _oldest(keeping, request, node, id)
    what = publisher.Publication(id, payload, wanted, taken, oldest, full, item)
    outcome = publisher.publish(node, ask, what, fresh=fresh)
    await keeping.may_store(request, len(payload))
    return await keeping.apply(request, node, outcome)


async def _full(keeping: Keeping, request: Request, node: Node) -> bool:
    """Whether a node that drops nothing has no room for one more item (section 7.1.3.6)."""
    keep = node.config.max_items(keeping.limits)
    if not keep or node.count < keep or node.config["publish_node_full"] != "reject":
        return False
    there = await keeping.worker.database(
        request.partition, lambda conn: reader.count(conn, node.id, node.config.expire()), request.deadline
    )
    return there >= keep


async def _oldest(keeping: Keeping, request: Request, node: Node, id: str) -> Sequence[str]:
    """The items that a publication retracts, since the node is full (section 7.1.2.3)."""
    keep = node.config.max_items(keeping.limits)
    if not keep or node.count < keep or node.config["publish_node_full"] != "retract-oldest":
        return ()
    return await keeping.worker.database(
        request.partition, lambda conn: reader.beyond(conn, node.id, id, keep), request.deadline
    )


def owner_of(node: Node, request: Request) -> bool:
    """Whether the sender owns the node."""
    return node.affiliation(bare_of(request.from_)) == "owner"


async def _automatic(keeping: Keeping, request: Request, name: str, wanted: Mapping[str, Value]) -> Node:
    """A node that is made by its first publication (section 7.1.4). Who may not do that learns nothing of what is there."""
    ask = await keeping.ask(request)
    owner.check_name(name)
    try:
        await keeping.may_create(request, ask)
    except StanzaError as exc:
        if exc.condition == "forbidden":
            raise no_node() from exc
        raise
    return owner.new_node(request.owner, name, ask, wanted, account=request.account)


async def retract(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """Remove items (section 7.2)."""
    if not child.get("node"):
        raise error("bad-request", "nodeid-required")
    node = await keeping.need(request, child.get("node"))
    ask = await keeping.ask(request, node)
    ids = [item.get("id") or "" for item in child.elements(NS, "item")]
    if len(ids) > MAX_RETRACTED:
        raise StanzaError("policy-violation", f"at most {MAX_RETRACTED} items at a time")
    publishers = await keeping.worker.database(
        request.partition,
        lambda conn: reader.publishers(conn, node.id, node.config.expire(), ids),
        request.deadline,
    )
    notify = child.get("notify") in _TRUE
    outcome = publisher.retract(node, ask, publishers, ids, notify=notify)
    answer = await keeping.apply(request, node, outcome)
    if node.last is None:
        # The one before is the last one now.
        keeping.nodes.forget(node.owner, node.name)
    return answer


# --- subscriptions ----------------------------------------------------------------------------------------------------


async def subscribe(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """Subscribe (section 6.1), perhaps with options (section 6.3.7)."""
    ask = await keeping.ask(request)
    jid = subscriber.subscriber(child, ask)
    node = await keeping.need(request, child.get("node"))
    ask = await keeping.ask(request, node)
    x = form_in(pubsub.find(NS, "options"))
    wanted = None if x is None else options.read(x)
    most = keeping.options.subscriptions_per_node
    return await keeping.apply(request, node, subscriber.subscribe(node, ask, jid, wanted, most))


async def unsubscribe(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """End a subscription (section 6.2)."""
    ask = await keeping.ask(request)
    jid = _own(child, request)
    node = await keeping.need(request, child.get("node"))
    return await keeping.apply(request, node, subscriber.unsubscribe(node, ask, jid, child.get("subid")))


def _own(child: Element, request: Request) -> str:
    """The JID of a subscription that the sender may change (section 6.2.3.3)."""
    text = child.get("jid")
    if not text:
        raise error("bad-request", "jid-required")
    try:
        jid = Jid.parse(text)
    except JidError as exc:
        raise StanzaError("jid-malformed") from exc
    if jid.bare != bare_of(request.from_):
        raise StanzaError("forbidden")
    return jid.full


async def show_options(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """The options of a subscription (section 6.3.2)."""
    jid = _own(child, request)
    node = await keeping.need(request, child.get("node"))
    ask = await keeping.ask(request, node)
    return subscriber.show_options(node, ask, jid, child.get("subid")).reply


async def set_options(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """Change the options of a subscription (section 6.3.5); with a subscription in the same request they are its first ones."""
    jid = _own(child, request)
    node = await keeping.need(request, child.get("node"))
    ask = await keeping.ask(request, node)
    outcome = subscriber.set_options(node, ask, jid, child.get("subid"), form_in(child))
    return await keeping.apply(request, node, outcome)


async def default_options(
    keeping: Keeping, request: Request, pubsub: Element, child: Element
) -> Element | None:
    """The options that a new subscription has (section 6.4)."""
    name = child.get("node")
    if name:
        await keeping.need(request, name)
    shown = Element(NS, "default", {"node": name} if name else None, options.form({}))
    return Element(NS, "pubsub", None, shown)


async def subscriptions(
    keeping: Keeping, request: Request, pubsub: Element, child: Element
) -> Element | None:
    """One's own subscriptions (section 5.6)."""
    return await _relations(keeping, request, child, of_subscriptions=True)


async def affiliations(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """One's own affiliations (section 5.7)."""
    return await _relations(keeping, request, child, of_subscriptions=False)


async def _relations(
    keeping: Keeping, request: Request, child: Element, *, of_subscriptions: bool
) -> Element:
    bare, name = bare_of(request.from_), child.get("node") or ""
    if name:
        await keeping.need(request, name)
    read = reader.subscriptions if of_subscriptions else reader.affiliations
    found = await keeping.worker.database(
        request.partition, lambda conn: read(conn, request.owner, bare), request.deadline
    )
    if name:
        found = [one for one in found if one.node == name]
    return (entity.subscriptions if of_subscriptions else entity.affiliations)(found, name)
