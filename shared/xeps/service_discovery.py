"""XEP-0030: Service Discovery."""

from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps import advanced_messages as amp
from rookery.shared.xeps import namespace_delegation as delegation
from rookery.shared.xeps import service_administration as commands
from rookery.shared.xeps._disco import NS_INFO, domain_info, info
from rookery.shared.xeps._xep import Context, Target, Xep
from rookery.shared.xeps.entity_caps import server_node
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS_ITEMS = "http://jabber.org/protocol/disco#items"


class Options(Section, frozen=True):
    """What a hosted domain tells of itself."""

    items: Annotated[
        tuple[str, ...],
        about("Other services that every hosted domain lists: an address, or an address, a blank and a name"),
    ] = ()


XEP = Xep(
    30,
    "2.5.0",
    "complete",
    features=dict.fromkeys((Target.DOMAIN, Target.ACCOUNT, Target.SERVICE, Target.ROOM), (NS_INFO, NS_ITEMS)),
    note="An account tells only its subscribers anything (section 8).",
    options=Options,
)


def _query(iq: Stanza, ns: str) -> Element:
    query = iq.find(ns, "query")
    assert query is not None  # the dispatch table matched it
    return query


@XEP.iq("get", NS_INFO, "query", Target.DOMAIN)
def info_of_domain(iq: Stanza, context: Context) -> Stanza:
    """Identity, features and contact addresses; the node of our own entity capabilities answers the same."""
    node = _query(iq, NS_INFO).get("node") or ""
    if node in commands.NODES:
        return commands.info(iq, node, context)
    if node == amp.NS:
        return iq.result(info("server", "im", "", amp.FEATURES, node=node))
    features = context.features[Target.DOMAIN]
    if node and (context.nested or node != server_node(features, context.contacts)):
        raise StanzaError("item-not-found")
    answer = domain_info(features, context.contacts, node)
    delegation.nest(answer, context.nested, delegation.DOMAIN)
    return iq.result(answer)


@XEP.iq("get", NS_INFO, "query", Target.ACCOUNT, subscribers_only=True)
def info_of_account(iq: Stanza, context: Context) -> Stanza:
    """A registered account; strangers get what they get for an account that does not exist (section 8)."""
    if node := _query(iq, NS_INFO).get("node"):
        if context.own and node in commands.NODES:
            return commands.info(iq, node, context)
        raise StanzaError("item-not-found")
    answer = info(
        "account", "anonymous" if context.guests else "registered", "", context.features[Target.ACCOUNT]
    )
    # XEP-0163 section 6.1
    answer.children.insert(1, Element(NS_INFO, "identity", {"category": "pubsub", "type": "pep"}))
    delegation.nest(answer, context.nested, delegation.BARE)
    return iq.result(answer)


@XEP.iq("get", NS_ITEMS, "query", Target.DOMAIN)
def items_of_domain(iq: Stanza, context: Context) -> Stanza:
    """The domain's own services, then those that the operator names; accounts are never listed."""
    if node := _query(iq, NS_ITEMS).get("node"):
        if node in commands.NODES:
            return commands.items(iq, NS_ITEMS, node, context)
        raise StanzaError("item-not-found")
    listed = [Element(NS_ITEMS, "item", {"jid": jid}) for jid in context.services]
    for item in context.options(Options).items:
        jid, _, name = item.partition(" ")
        listed.append(Element(NS_ITEMS, "item", {"jid": jid, "name": name} if name else {"jid": jid}))
    return iq.result(Element(NS_ITEMS, "query", None, *listed))


def no_items(iq: Stanza) -> Stanza:
    """What strangers are told of an account, with or without a node, and whether or not it exists: an empty result (section 8)."""
    node = _query(iq, NS_ITEMS).get("node")
    return iq.result(Element(NS_ITEMS, "query", {"node": node} if node else None))


@XEP.iq(
    "get", NS_ITEMS, "query", Target.ACCOUNT, subscribers_only=True, stranger=no_items, completed_by="pubsub"
)
def items_of_account(iq: Stanza, context: Context) -> Stanza:
    """The available resources, for the account itself and its subscribers (section 8); its nodes follow."""
    if node := _query(iq, NS_ITEMS).get("node"):
        if context.own and node in commands.NODES:
            return commands.items(iq, NS_ITEMS, node, context)
        raise StanzaError("item-not-found")
    return iq.result(
        Element(
            NS_ITEMS, "query", None, *(Element(NS_ITEMS, "item", {"jid": jid}) for jid in context.resources)
        )
    )
