"""Requests of owners (XEP-0060 section 8): read, decided, committed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import access, owner
from rookery.workers.pubsub.answers import form_in
from rookery.workers.pubsub.changes import NS, NS_OWNER, Outcome
from rookery.workers.pubsub.config import FORM, Config, Value, read_form
from rookery.workers.pubsub.errors import error
from rookery.workers.pubsub.keeping import Keeping, Request
from rookery.workers.pubsub.node import Ask, Node


async def create(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """Create a node (section 8.1), perhaps with settings; a service chooses the name when the request does not."""
    x = form_in(pubsub.find(NS, "configure"))
    settings: Mapping[str, Value] = {} if x is None else read_form(x, FORM, keeping.limits)
    name = child.get("node") or ""
    if not name:
        if request.account:
            raise error("not-acceptable", "nodeid-required")
        name = secrets.token_urlsafe(12)
    owner.check_name(name)
    if child.get("type") not in (None, "leaf"):
        raise StanzaError("feature-not-implemented", "there are no collections")
    ask = await keeping.ask(request)
    if await keeping.find(request.partition, request.owner, name, request.deadline) is not None:
        raise StanzaError("conflict", "there is such a node")
    await keeping.may_create(request, ask)
    node = owner.new_node(request.owner, name, ask, settings, account=request.account)
    return await keeping.apply(request, node, owner.create(node))


async def _owned(keeping: Keeping, request: Request, child: Element) -> tuple[Node, Ask]:
    if not child.get("node"):
        raise error("bad-request", "nodeid-required")
    node = await keeping.need(request, child.get("node"))
    ask = await keeping.ask(request, node)
    access.owner(node, ask)
    return node, ask


async def show_configuration(
    keeping: Keeping, request: Request, pubsub: Element, child: Element
) -> Element | None:
    """The settings of a node as a form (section 8.2.1)."""
    node, _ = await _owned(keeping, request, child)
    shown = Element(NS_OWNER, "configure", {"node": node.name}, node.config.form(keeping.limits))
    return Element(NS_OWNER, "pubsub", None, shown)


async def default_configuration(
    keeping: Keeping, request: Request, pubsub: Element, child: Element
) -> Element | None:
    """The settings that a new node has (section 8.3)."""
    form = Config(request.account).form(keeping.limits)
    return Element(NS_OWNER, "pubsub", None, Element(NS_OWNER, "default", None, form))


async def configure(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """Change the settings of a node (section 8.2.4); a form that is cancelled changes nothing."""
    node, ask = await _owned(keeping, request, child)
    x = form_in(child)
    if x is not None and x.get("type") == "cancel":
        return None
    if x is None or x.get("type") != "submit":
        raise StanzaError("bad-request", "a submitted form is needed")
    return await keeping.apply(request, node, owner.configure(node, ask, read_form(x, FORM, keeping.limits)))


async def purge(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """Remove all items (section 8.5)."""
    node, ask = await _owned(keeping, request, child)
    return await keeping.apply(request, node, owner.purge(node, ask))


async def delete(keeping: Keeping, request: Request, pubsub: Element, child: Element) -> Element | None:
    """Delete a node (section 8.4)."""
    node, ask = await _owned(keeping, request, child)
    redirect = child.find(NS_OWNER, "redirect")
    uri = None if redirect is None else redirect.get("uri") or ""
    return await keeping.apply(request, node, owner.delete(node, ask, uri))


async def show_affiliations(
    keeping: Keeping, request: Request, pubsub: Element, child: Element
) -> Element | None:
    """All affiliations (section 8.9.1)."""
    return owner.show_affiliations(*await _owned(keeping, request, child)).reply


async def show_subscriptions(
    keeping: Keeping, request: Request, pubsub: Element, child: Element
) -> Element | None:
    """All subscriptions (section 8.8.1)."""
    return owner.show_subscriptions(*await _owned(keeping, request, child)).reply


async def set_affiliations(
    keeping: Keeping, request: Request, pubsub: Element, child: Element
) -> Element | None:
    """Change affiliations (section 8.9.2)."""
    node, ask = await _owned(keeping, request, child)
    outcome: Outcome = owner.set_affiliations(node, ask, child)
    return await keeping.apply(request, node, outcome)


async def set_subscriptions(
    keeping: Keeping, request: Request, pubsub: Element, child: Element
) -> Element | None:
    """Change subscriptions (section 8.8.2)."""
    node, ask = await _owned(keeping, request, child)
    most = keeping.options.subscriptions_per_node
    return await keeping.apply(request, node, owner.set_subscriptions(node, ask, child, most))
