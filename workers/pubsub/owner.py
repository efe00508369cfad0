"""What owners do (XEP-0060 section 8): create, configure, purge, delete, affiliations, subscriptions. Pure: each function decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import access
from rookery.workers.pubsub.changes import (
    NS,
    NS_EVENT,
    NS_OWNER,
    Affiliated,
    Change,
    Configured,
    Created,
    Deleted,
    Event,
    Outcome,
    Purged,
    Subscribed,
    Unsubscribed,
    event,
    numbered,
)
from rookery.workers.pubsub.config import Config, Value
from rookery.workers.pubsub.errors import error, unsupported
from rookery.workers.pubsub.node import (
    AFFILIATIONS,
    INSIDE,
    NONE,
    OUTCAST,
    OWNER,
    PENDING,
    PUBLISH_ONLY,
    SUBSCRIBED,
    Ask,
    Node,
    Subscription,
)
from rookery.workers.pubsub.subscriber import state_event

#: Octets of a node's name and of a JID in its lists; affiliations of one node.
MAX_NAME: Final = 1024
MAX_JID: Final = 2048
MAX_AFFILIATIONS: Final = 10_000
_URI: Final = 2048


def check_name(name: str) -> None:
    """Raises StanzaError for a name that no node may have."""
    if not name:
        raise error("not-acceptable", "nodeid-required")
    if len(name.encode()) > MAX_NAME:
        raise StanzaError("not-acceptable", f"the name of a node has at most {MAX_NAME} bytes")


def new_node(owner: str, name: str, ask: Ask, settings: Mapping[str, Value], *, account: bool) -> Node:
    """A node that is not committed yet; who makes it owns it."""
    node = Node(owner, name, Config(account).with_(settings), ask.bare)
    if not account:
        node.affiliations[ask.bare] = OWNER
    return node


def create(node: Node) -> Outcome:
    """Create a node (section 8.1)."""
    made = Created(node.config, tuple(node.affiliations.items()))
    return Outcome((made,), Element(NS, "pubsub", None, Element(NS, "create", {"node": node.name})))


def configure(node: Node, ask: Ask, settings: Mapping[str, Value]) -> Outcome:
    """Change the settings (section 8.2.4). Those who may not be subscribed any more are unsubscribed."""
    access.owner(node, ask)
    config = node.config.with_(settings)
    changes: list[Change] = [Configured(config, config.max_items(ask.limits))]
    events: list[Event] = []
    after = Node(node.owner, node.name, config, node.creator)
    after.affiliations = node.affiliations
    if config.text("access_model") == "whitelist" != node.config.text("access_model"):
        for one in node.subscriptions.values():
            if node.affiliation(Jid.trusted(one.jid).bare) not in INSIDE:
                changes.append(Unsubscribed(one.jid, one.subid))
                events.append(state_event(after, one._replace(state="none"), (one.jid,)))
    if config.on("notify_config"):
        form = config.form(ask.limits, "result") if config.on("deliver_payloads") else None
        events.append(event(after, Element(NS_EVENT, "configuration", {"node": node.name}, form), 0))
    return Outcome(changes, None, numbered(node, events))


def purge(node: Node, ask: Ask) -> Outcome:
    """Remove all items (section 8.5): one notification, not one for each."""
    access.owner(node, ask)
    if not node.config.on("persist_items"):
        raise unsupported("persistent-items")
    told = [event(node, Element(NS_EVENT, "purge", {"node": node.name}), node.n + 1)]
    return Outcome((Purged(),), None, told if node.config.on("notify_retract") else ())


def delete(node: Node, ask: Ask, redirect: str | None) -> Outcome:
    """Delete the node (section 8.4); `redirect` is where subscribers shall turn to."""
    access.owner(node, ask)
    if redirect is not None and (not redirect or len(redirect) > _URI):
        raise StanzaError("bad-request", "a redirect needs a uri")
    child = Element(NS_EVENT, "delete", {"node": node.name})
    if redirect is not None:
        child.children.append(Element(NS_EVENT, "redirect", {"uri": redirect}))
    told = [event(node, child, node.n + 1)]
    return Outcome((Deleted(),), None, told if node.config.on("notify_delete") else ())


# --- affiliations (section 8.9) ---------------------------------------------------------------------------------------


def show_affiliations(node: Node, ask: Ask) -> Outcome:
    """The whole list."""
    access.owner(node, ask)
    listed = dict(node.affiliations)
    if node.account:
        listed[node.owner] = OWNER
    rows = (
        Element(NS_OWNER, "affiliation", {"jid": jid, "affiliation": affiliation})
        for jid, affiliation in sorted(listed.items())
    )
    return Outcome((), _owner(Element(NS_OWNER, "affiliations", {"node": node.name}, *rows)))


def _owner(child: Element) -> Element:
    return Element(NS_OWNER, "pubsub", None, child)


def _jid(element: Element) -> Jid:
    text = element.get("jid") or ""
    try:
        jid = Jid.parse(text)
    except JidError as exc:
        raise StanzaError("jid-malformed") from exc
    if len(jid.full.encode()) > MAX_JID:
        raise StanzaError("not-acceptable", "the JID is too long")
    return jid


def set_affiliations(node: Node, ask: Ask, query: Element) -> Outcome:
    """Change some of them. A node keeps an owner; who may read no more is unsubscribed, who becomes a member needs no approval (section 8.6)."""
    access.owner(node, ask)
    after = dict(node.affiliations)
    changes: list[Change] = []
    events: list[Event] = []
    for element in query.elements(NS_OWNER, "affiliation"):
        bare, wanted = _jid(element).bare, element.get("affiliation") or ""
        if wanted not in AFFILIATIONS:
            raise StanzaError("bad-request", "there is no such affiliation")
        if node.account and bare == node.owner:
            raise StanzaError("not-acceptable", "an account owns its nodes")
        after[bare] = wanted
        changes.append(Affiliated(bare, wanted))
        for one in node.of_bare(bare):
            _resubscribe(node, one, wanted, changes, events)
    if not node.account and OWNER not in after.values():
        raise StanzaError("conflict", "a node has an owner")
    if sum(one != NONE for one in after.values()) > MAX_AFFILIATIONS:
        raise StanzaError("not-acceptable", f"a node has at most {MAX_AFFILIATIONS} affiliations")
    return Outcome(changes, None, numbered(node, events))


def _resubscribe(
    node: Node, one: Subscription, affiliation: str, changes: list[Change], events: list[Event]
) -> None:
    """What another affiliation means for a subscription (sections 4.1, 4.5, 8.6 and 8.9): who may read no more is unsubscribed."""
    closed = node.config.text("access_model") == "whitelist"
    if affiliation in (OUTCAST, PUBLISH_ONLY) or (closed and affiliation not in INSIDE):
        changes.append(Unsubscribed(one.jid, one.subid))
        events.append(state_event(node, one._replace(state="none"), (one.jid,)))
    elif one.state == PENDING and affiliation in INSIDE:
        now = one._replace(state=SUBSCRIBED)
        changes.append(Subscribed(now))
        events.append(state_event(node, now, (one.jid,)))


# --- subscriptions (section 8.8) --------------------------------------------------------------------------------------


def show_subscriptions(node: Node, ask: Ask) -> Outcome:
    """The whole list."""
    access.owner(node, ask)
    rows = (
        Element(NS_OWNER, "subscription", {"jid": one.jid, "subscription": one.state, "subid": one.subid})
        for one in node.subscriptions.values()
    )
    return Outcome((), _owner(Element(NS_OWNER, "subscriptions", {"node": node.name}, *rows)))


def set_subscriptions(node: Node, ask: Ask, query: Element, most: int) -> Outcome:
    """Change some of them: approve, add, end; those concerned are told (section 8.8.4)."""
    access.owner(node, ask)
    changes: list[Change] = []
    events: list[Event] = []
    added = 0
    for i, element in enumerate(query.elements(NS_OWNER, "subscription")):
        jid, wanted, subid = _jid(element).full, element.get("subscription") or "", element.get("subid")
        if wanted not in (SUBSCRIBED, PENDING, NONE):
            raise StanzaError("bad-request", "there is no such state of a subscription")
        found = [one for one in node.of(jid) if subid in (None, one.subid)]
        if subid is not None and not found:
            raise error("not-acceptable", "invalid-subid")
        if not found and wanted != NONE:
            added += 1
            found = [Subscription(jid, f"{ask.subid}{i or ''}", NONE)]
        for one in found:
            if one.state == wanted:
                continue
            now = one._replace(state=wanted)
            changes.append(Unsubscribed(jid, one.subid) if wanted == NONE else Subscribed(now))
            events.append(state_event(node, now, (jid,)))
    if len(node.subscriptions) + added > most:
        raise error("policy-violation", "too-many-subscriptions")
    return Outcome(changes, None, numbered(node, events))
