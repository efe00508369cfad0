"""What subscribers do (XEP-0060 section 6): subscribe, unsubscribe, set options. Pure: each function decides, and raises StanzaError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rookery.shared.xeps import data_forms
from rookery.shared.xeps.delayed_delivery import delay
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import access, options
from rookery.workers.pubsub.changes import (
    NS,
    NS_EVENT,
    Event,
    Outcome,
    Subscribed,
    Unsubscribed,
    event,
    numbered,
)
from rookery.workers.pubsub.errors import error, no_node, unsupported
from rookery.workers.pubsub.node import OWNER, PENDING, SUBSCRIBED, Ask, Node, Subscription
from rookery.workers.pubsub.publisher import items_element

#: Subscriptions of one JID at one node.
MAX_EACH: Final = 8
AUTHORIZATION: Final = "http://jabber.org/protocol/pubsub#subscribe_authorization"


def subscriber(element: Element, ask: Ask) -> str:
    """The JID that a request is about: the sender's own, bare or full (section 6.1.3.1). Raises StanzaError."""
    text = element.get("jid")
    if not text:
        raise error("bad-request", "jid-required")
    try:
        jid = Jid.parse(text)
    except JidError as exc:
        raise StanzaError("jid-malformed") from exc
    if jid.bare != ask.bare:
        raise error("bad-request", "invalid-jid")
    return jid.full


def element(node_name: str, one: Subscription, ns: str = NS) -> Element:
    """A subscription in an answer (section 6.1.2)."""
    attrs = {"node": node_name, "jid": one.jid, "subscription": one.state, "subid": one.subid}
    return Element(ns, "subscription", attrs)


def subscribe(node: Node, ask: Ask, jid: str, wanted: Mapping[str, str] | None, most: int) -> Outcome:
    """Subscribe (section 6.1). A second time without options answers what is; with options it is one more subscription (section 6.1.6).

    `most` is how many subscriptions the node may have.
    """
    at_once = access.subscribe(node, ask)
    if not node.config.on("subscribe"):
        raise unsupported("subscribe")
    before = node.of(jid)
    if before and wanted is None:
        if before[0].state == PENDING and not at_once:
            raise error("not-authorized", "pending-subscription")
        if before[0].state == SUBSCRIBED or not at_once:
            events = numbered(node, _last(node, jid, ask.now))
            return Outcome((), _pubsub(element(node.name, before[0])), events)
    if len(before) >= MAX_EACH or len(node.subscriptions) >= most:
        raise error("policy-violation", "too-many-subscriptions")
    subid = before[0].subid if before and wanted is None else ask.subid
    one = Subscription(jid, subid, SUBSCRIBED if at_once else PENDING, wanted or {})
    events = [*(_last(node, jid, ask.now) if at_once else ()), *_to_owners(node, one, ask)]
    return Outcome((Subscribed(one),), _pubsub(element(node.name, one)), numbered(node, events))


def _pubsub(child: Element) -> Element:
    return Element(NS, "pubsub", None, child)


def _last(node: Node, jid: str, now: float) -> list[Event]:
    """The last published item for a new subscriber, with its age (section 6.1.7).

    It is numbered anew: under the number of its publication who subscribes once more, or from a new client, would not be told.
    """
    last = node.newest(now)
    if last is None or node.config.text("send_last_published_item") == "never":
        return []
    told = event(node, items_element(node, (last,)), 0, (jid,))
    return [told._replace(children=(*told.children, delay(last.published, node.owner)))]


def state_event(node: Node, one: Subscription, to: Sequence[str]) -> Event:
    """Tells of the state of a subscription (section 12.18 of the specification); numbered later."""
    return event(node, element(node.name, one, NS_EVENT), 0, to)


def _to_owners(node: Node, one: Subscription, ask: Ask) -> list[Event]:
    owners = node.owners()
    if one.state == PENDING:
        return [Event(0, "", (_request(node, one),), owners, implicit=False)]
    if node.config.on("notify_sub") and owners:
        return [state_event(node, one, owners)]
    return []


def _request(node: Node, one: Subscription) -> Element:
    """Asks owners for their approval (section 8.6)."""
    fields = (
        data_forms.Field("pubsub#subid", (one.subid,), "hidden"),
        data_forms.Field("pubsub#node", (node.name,), "text-single"),
        data_forms.Field("pubsub#subscriber_jid", (one.jid,), "jid-single"),
        data_forms.Field("pubsub#allow", ("false",), "boolean"),
    )
    return data_forms.form("form", AUTHORIZATION, fields)


def approve(node: Node, ask: Ask, jid: str, subid: str, allow: bool) -> Outcome:
    """An owner answers the question of section 8.6."""
    access.owner(node, ask)
    pending = [one for one in node.of(jid) if one.state == PENDING and subid in ("", one.subid)]
    if not pending:
        raise no_node()
    one = pending[0]
    if allow:
        now = one._replace(state=SUBSCRIBED)
        events = [state_event(node, now, (jid,)), *_last(node, jid, ask.now)]
        return Outcome((Subscribed(now),), None, numbered(node, events))
    gone = one._replace(state="none")
    return Outcome((Unsubscribed(jid, one.subid),), None, numbered(node, [state_event(node, gone, (jid,))]))


def find(node: Node, jid: str, subid: str | None) -> Subscription:
    """The subscription that a request means (sections 6.2.3 and 6.3.4). Raises StanzaError."""
    found = node.of(jid)
    if not found:
        raise error("unexpected-request", "not-subscribed")
    if subid is None:
        if len(found) > 1:
            raise error("bad-request", "subid-required")
        return found[0]
    for one in found:
        if one.subid == subid:
            return one
    raise error("not-acceptable", "invalid-subid")


def unsubscribe(node: Node, ask: Ask, jid: str, subid: str | None) -> Outcome:
    """End a subscription (section 6.2)."""
    one = find(node, jid, subid)
    events = []
    if node.config.on("notify_sub") and (owners := node.owners()):
        events = numbered(node, [state_event(node, one._replace(state="none"), owners)])
    gone = element(node.name, one._replace(state="none"))
    return Outcome((Unsubscribed(one.jid, one.subid),), _pubsub(gone), events)


def show_options(node: Node, ask: Ask, jid: str, subid: str | None) -> Outcome:
    """The options of a subscription as a form (section 6.3.2)."""
    one = find(node, jid, subid)
    attrs = {"node": node.name, "jid": jid, "subid": one.subid}
    return Outcome((), _pubsub(Element(NS, "options", attrs, options.form(one.options))))


def set_options(node: Node, ask: Ask, jid: str, subid: str | None, x: Element | None) -> Outcome:
    """Change the options of a subscription (section 6.3.5)."""
    one = find(node, jid, subid)
    if x is None or x.get("type") != "submit":
        raise error("bad-request", "invalid-options")
    return Outcome((Subscribed(one._replace(options=options.read(x))),))


def may_see(node: Node, ask: Ask) -> bool:
    """Whether the node is listed for the sender."""
    return node.affiliation(ask.bare) == OWNER or access.readable(node, ask) or bool(node.of_bare(ask.bare))
