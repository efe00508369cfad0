"""Who may do what with a node (XEP-0060 sections 4.1, 4.5 and 6.1.3). Pure; each function raises StanzaError when not."""

from __future__ import annotations

from rookery.shared.xmpp.errors import StanzaError
from rookery.workers.pubsub.errors import error
from rookery.workers.pubsub.node import (
    INSIDE,
    NONE,
    OUTCAST,
    OWNER,
    PUBLISH_ONLY,
    PUBLISHER,
    SUBSCRIBED,
    Ask,
    Node,
)


def owner(node: Node, ask: Ask) -> None:
    """Only owners."""
    if node.affiliation(ask.bare) != OWNER and not ask.admin:
        raise StanzaError("forbidden")


def subscribe(node: Node, ask: Ask) -> bool:
    """Whether a subscription counts at once (True) or waits for an owner's approval (False)."""
    affiliation = node.affiliation(ask.bare)
    if affiliation in (OUTCAST, PUBLISH_ONLY):
        raise StanzaError("forbidden")
    if affiliation in INSIDE or ask.admin:
        return True
    model = node.config.text("access_model")
    if model == "authorize":
        return False
    _model(node, ask, model)
    return True


def retrieve(node: Node, ask: Ask) -> None:
    """Items and metadata are for those who may subscribe, and with `authorize` for those who are subscribed (section 6.5)."""
    affiliation = node.affiliation(ask.bare)
    if affiliation in (OUTCAST, PUBLISH_ONLY):
        raise StanzaError("forbidden")
    if affiliation in INSIDE or ask.admin:
        return
    model = node.config.text("access_model")
    if model == "authorize":
        if not any(one.state == SUBSCRIBED for one in node.of_bare(ask.bare)):
            raise error("not-authorized", "not-subscribed")
        return
    _model(node, ask, model)


def readable(node: Node, ask: Ask) -> bool:
    """Whether the sender may retrieve items."""
    try:
        retrieve(node, ask)
    except StanzaError:
        return False
    return True


def _model(node: Node, ask: Ask, model: str) -> None:
    if model == "presence" and not ask.contact.sees:
        raise error("not-authorized", "presence-subscription-required")
    if model == "roster":
        allowed = node.config.values("roster_groups_allowed")
        if not ask.contact.sees or not set(allowed).intersection(ask.contact.groups):
            raise error("not-authorized", "not-in-roster-group")
    if model == "whitelist":
        raise error("not-allowed", "closed-node")


def publish(node: Node, ask: Ask) -> None:
    """By affiliation, else by the publish model."""
    affiliation = node.affiliation(ask.bare)
    if affiliation in (OWNER, PUBLISHER, PUBLISH_ONLY) or ask.admin:
        return
    model = node.config.text("publish_model")
    if affiliation == OUTCAST or model == "publishers":
        raise StanzaError("forbidden")
    if model == "subscribers" and not any(one.state == SUBSCRIBED for one in node.of_bare(ask.bare)):
        raise StanzaError("forbidden")
    if model == "open" and affiliation == NONE:
        # Who may not even read must not write (section 4.5 asks for both).
        _model(node, ask, node.config.text("access_model"))


def retract(node: Node, ask: Ask, publisher: str) -> None:
    """An owner removes any item, others what they have published (section 7.2.3.1)."""
    affiliation = node.affiliation(ask.bare)
    if affiliation == OWNER or ask.admin:
        return
    publish(node, ask)
    if affiliation == PUBLISH_ONLY or publisher.partition("/")[0] != ask.bare:
        raise StanzaError("forbidden")
