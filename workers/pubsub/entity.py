"""What anybody may ask (XEP-0060 section 5): features, nodes, metadata, one's own subscriptions and affiliations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rookery.shared.xeps import data_forms
from rookery.shared.xeps.pubsub import ACCOUNT_FEATURES, SERVICE_FEATURES
from rookery.shared.xeps.pubsub import NS_DISCO_INFO as NS_INFO
from rookery.shared.xeps.pubsub import NS_DISCO_ITEMS as NS_ITEMS
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import access
from rookery.workers.pubsub.changes import NS
from rookery.workers.pubsub.node import OWNER, PUBLISHER, SUBSCRIBED, Ask, Node

META: Final = "http://jabber.org/protocol/pubsub#meta-data"


class Relation(NamedTuple):
    """How an entity stands to one node: a subscription, or an affiliation."""

    node: str
    jid: str
    subid: str
    said: str


def service_info(name: str) -> Element:
    """disco#info of a service (section 5.1)."""
    return Element(
        NS_INFO,
        "query",
        None,
        Element(NS_INFO, "identity", {"category": "pubsub", "type": "service", "name": name}),
        *(Element(NS_INFO, "feature", {"var": feature}) for feature in SERVICE_FEATURES),
    )


def node_info(node: Node, ask: Ask) -> Element:
    """disco#info of a node, with its metadata (section 5.4). Raises StanzaError for those who may not read it."""
    access.retrieve(node, ask)
    config = node.config
    created = datetime.fromtimestamp(node.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    publishers = sorted(jid for jid, one in node.affiliations.items() if one == PUBLISHER)
    subscribers = sum(one.state == SUBSCRIBED for one in node.subscriptions.values())
    fields = (
        ("title", (config.text("title"),), "text-single"),
        ("description", (config.text("description"),), "text-single"),
        ("language", (config.text("language"),), "list-single"),
        ("type", (config.text("type"),), "text-single"),
        ("access_model", (config.text("access_model"),), "list-single"),
        ("publish_model", (config.text("publish_model"),), "list-single"),
        ("max_items", (config.text("max_items"),), "text-single"),
        ("contact", config.values("contact"), "jid-multi"),
        ("creation_date", (created,), "text-single"),
        ("creator", (node.creator,), "jid-single"),
        ("owner", tuple(node.owners()), "jid-multi"),
        ("publisher", tuple(publishers), "jid-multi"),
        ("num_subscribers", (str(subscribers),), "text-single"),
    )
    form = data_forms.form(
        "result",
        META,
        (data_forms.Field(f"pubsub#{var}", values, type) for var, values, type in fields if any(values)),
    )
    features = ACCOUNT_FEATURES if node.account else SERVICE_FEATURES
    return Element(
        NS_INFO,
        "query",
        {"node": node.name},
        Element(NS_INFO, "identity", {"category": "pubsub", "type": "leaf"}),
        *(Element(NS_INFO, "feature", {"var": feature}) for feature in features),
        form,
    )


def listed(owner: str, nodes: Iterable[tuple[str, str]]) -> list[Element]:
    """disco#items of nodes, (name, title) (section 5.2)."""
    return [
        Element(
            NS_ITEMS,
            "item",
            {"jid": owner, "node": name, "name": title} if title else {"jid": owner, "node": name},
        )
        for name, title in nodes
    ]


def item_list(node: Node, ids: Sequence[str]) -> list[Element]:
    """disco#items of a node: its items (section 5.5)."""
    return [Element(NS_ITEMS, "item", {"jid": node.owner, "name": id}) for id in ids]


def subscriptions(found: Iterable[Relation], node: str) -> Element:
    """One's own subscriptions (section 5.6)."""
    rows = (
        Element(
            NS,
            "subscription",
            {"node": one.node, "jid": one.jid, "subscription": one.said, "subid": one.subid},
        )
        for one in found
    )
    return Element(NS, "pubsub", None, Element(NS, "subscriptions", {"node": node} if node else None, *rows))


def affiliations(found: Iterable[Relation], node: str) -> Element:
    """One's own affiliations (section 5.7)."""
    rows = (
        Element(NS, "affiliation", {"node": one.node, "affiliation": one.said})
        for one in found
        if one.said != "none"
    )
    return Element(NS, "pubsub", None, Element(NS, "affiliations", {"node": node} if node else None, *rows))


def owns(node: Node, bare: str) -> bool:
    """Whether somebody owns the node."""
    return node.affiliation(bare) == OWNER
