"""XEP-0355: Namespace Delegation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps._xep import Context, Target, Xep
from rookery.shared.xeps.forwarding import NS as FORWARD
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_fragment
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:delegation:2"
XEP = Xep(
    355,
    "0.5",
    "partial",
    features={Target.DOMAIN: (NS,)},
    note="Admin mode: components by grant of the operator (`rookery component set --delegate`); no client mode, and so no commands of users",
)
#: What a wrapped request is called, before its seal; and a question about features to nest.
REQUEST: Final = "delegated:"
QUESTION: Final = "delegated-disco:"
#: Discovery of nodes of accounts (sections 7.2.4, 7.2.5), as if it were a namespace.
BARE_INFO: Final = f"{NS}:bare:disco#info:*"
BARE_ITEMS: Final = f"{NS}:bare:disco#items:*"
_NS_ITEMS: Final = "http://jabber.org/protocol/disco#items"
#: Between NS and a namespace in the node of a question: features of the domain, features of accounts (sections 7.2.1, 7.2.2).
DOMAIN: Final = "::"
BARE: Final = ":bare:"
#: Namespaces of one component, attributes of one namespace, and bytes of what is nested for one.
NAMESPACES: Final = 64
ATTRIBUTES: Final = 16
NESTED_BYTES: Final = 16_384
_PUBSUB: Final = "http://jabber.org/protocol/pubsub"
_DATA: Final = "jabber:x:data"

#: By namespace: the attributes that a payload must have (section 4.1).
Delegations = Mapping[str, tuple[str, ...]]


class Nested(NamedTuple):
    """What a managing entity says of a namespace, in place of what the server would: children of a disco#info answer, for `DOMAIN` or `BARE`."""

    namespace: str
    separator: str
    children: tuple[Element, ...]


def of_row(said: object) -> Delegations:
    """The delegations of a row; what cannot be read delegates nothing, and this XEP itself is never delegated (section 8, rule 5)."""
    if not isinstance(said, Mapping):
        return {}
    found = {
        str(uri): tuple(str(one) for one in attributes)[:ATTRIBUTES]
        for uri, attributes in said.items()
        if allowed(str(uri)) and isinstance(attributes, list | tuple)
    }
    return dict(list(found.items())[:NAMESPACES])


def allowed(uri: str) -> bool:
    """Whether a namespace may be delegated."""
    return bool(uri) and (uri in (BARE_INFO, BARE_ITEMS) or not uri.startswith(NS))


def advertised(delegations: Delegations, domain: str, component: str) -> Stanza:
    """What a component is told when it has connected, and when its grants change (section 4.2; section 8, rule 3)."""
    told = [
        Element(
            NS,
            "delegated",
            {"namespace": uri},
            *(Element(NS, "attribute", {"name": one}) for one in attributes),
        )
        for uri, attributes in delegations.items()
    ]
    return Stanza.build("message", Element(NS, "delegation", None, *told), from_=domain, to=component)


def concerns(iq: Stanza, uri: str, attributes: tuple[str, ...]) -> bool:
    """Whether a request has a payload of the namespace with all these attributes (section 4.3, note 3)."""
    namespace, name = iq.payloads[0]
    if namespace != uri:
        return False
    if not attributes:
        return True
    payload = iq.find(namespace, name)
    return payload is not None and all(payload.get(one) is not None for one in attributes)


def discovery(iq: Stanza, managed: Iterable[str]) -> str:
    """As which special namespace a request to an account counts, "" for none; `managed` are nodes that the server knows (sections 7.2.4, 7.2.5)."""
    namespace, name = iq.payloads[0]
    if name != "query" or namespace not in (NS_INFO, _NS_ITEMS) or iq.type != "get":
        return ""
    query = iq.find(namespace, name)
    node = "" if query is None else query.get("node") or ""
    if node in managed:
        return ""
    if namespace == _NS_ITEMS:
        return BARE_ITEMS
    return BARE_INFO if node else ""


def wrapped(iq: Stanza, domain: str, component: str, id: str) -> Stanza:
    """A request as its managing entity gets it (section 4.3)."""
    attrs = {"from": iq.from_, "to": iq.to, "id": iq.id, "type": iq.type}
    inner = Element(ns.CLIENT, "iq", {name: value for name, value in attrs.items() if value}, *iq.elements())
    delegation = Element(NS, "delegation", None, Element(FORWARD, "forwarded", None, inner))
    return Stanza.build("iq", delegation, type="set", from_=domain, to=component, id=id)


def unwrapped(answer: Stanza, asker: str, asked: str, id: str) -> Stanza:
    """What the asker gets (section 4.3): the forwarded result, when its addresses and its id are those of the request, else service-unavailable.

    `asked` is "" for a request without an address. A result may leave its `from` out, as the examples do.
    """
    delegation = answer.find(NS, "delegation") if answer.type == "result" else None
    forwarded = None if delegation is None else delegation.find(FORWARD, "forwarded")
    inner = None if forwarded is None else forwarded.find(ns.CLIENT, "iq")
    if inner is not None:
        said = inner.get("from") or asked
        own = asker.partition("/")[0]
        as_asked = said == asked or (not asked and said == own)
        if (inner.get("type"), inner.get("id"), inner.get("to"), as_asked) == ("result", id, asker, True):
            return Stanza.build("iq", *inner.elements(), type="result", from_=asked, to=asker, id=id)
    request = Stanza.build("iq", type="get", from_=asker, to=asked, id=id)
    return request.error(StanzaError("service-unavailable"))


# --- what is nested (section 7.2) -------------------------------------------------------------------------------------


def question(domain: str, component: str, node: str) -> Stanza:
    """Ask a managing entity what it can do."""
    query = Element(NS_INFO, "query", {"node": node})
    return Stanza.build("iq", query, type="get", from_=domain, to=component, id=QUESTION + node)


def nodes(delegations: Delegations) -> list[str]:
    """The nodes to ask for."""
    return [
        f"{NS}{separator}{uri}"
        for uri in delegations
        if not uri.startswith(NS)
        for separator in (DOMAIN, BARE)
    ]


def told(answer: Stanza) -> str:
    """What an answer to a question tells, as a row keeps it: canonical XML; "" for nothing."""
    query = answer.find(NS_INFO, "query") if answer.type == "result" else None
    kept = () if query is None else [one for one in query.elements() if _nests(one)]
    text = "".join(one.xml() for one in kept)
    return text if len(text.encode()) <= NESTED_BYTES else ""


def _nests(element: Element) -> bool:
    if element.ns == NS_INFO and element.name == "identity":
        return bool(element.get("category") and element.get("type"))
    if element.ns == NS_INFO and element.name == "feature":
        return bool(element.get("var"))
    return element.ns == _DATA and element.name == "x"


def nested_of_row(said: object, delegations: Delegations) -> tuple[Nested, ...]:
    """What a component has told of the namespaces that are delegated to it now; of one that it tells nothing of, nothing is announced."""
    kept: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    found = []
    for uri in delegations:
        for separator in (DOMAIN, BARE) if not uri.startswith(NS) else ():
            text = kept.get(f"{NS}{separator}{uri}")
            try:
                parsed = parse_fragment(text.encode()) if isinstance(text, str) else []
            except ValueError:
                parsed = []
            found.append(Nested(uri, separator, tuple(one for one in parsed if isinstance(one, Element))))
    return tuple(found)


def nest(query: Element, nested: Iterable[Nested], separator: str) -> None:
    """Put what managing entities tell in place of what the server would: features, identities, forms (sections 7.2.1 to 7.2.3)."""
    told = [one for one in nested if one.separator == separator]
    if not told:
        return
    spaces = [one.namespace for one in told]
    kept = [one for one in query.elements() if not any(_internal(one, uri) for uri in spaces)]
    seen = [(one.name, one.attrs) for one in kept if one.ns == NS_INFO]
    for child in (child for one in told for child in one.children):
        if child.ns != NS_INFO or (child.name, child.attrs) not in seen:
            kept.append(child)
            seen.append((child.name, child.attrs))
    query.children[:] = sorted(kept, key=_rank)


def _rank(element: Element | str) -> int:
    name = element.name if isinstance(element, Element) else ""
    return {"identity": 0, "feature": 1}.get(name, 2)


def _internal(element: Element, uri: str) -> bool:
    """Whether an element of our own answer is about a namespace."""
    if element.name == "feature":
        return _within(element.get("var") or "", uri)
    if element.name == "identity":
        return uri == _PUBSUB and element.get("category") == "pubsub"
    if element.ns == _DATA:
        types = [one for one in element.elements(_DATA, "field") if one.get("var") == "FORM_TYPE"]
        return any(_within(one.find_text(_DATA, "value") or "", uri) for one in types)
    return False


def _within(name: str, uri: str) -> bool:
    return name == uri or name.startswith((f"{uri}#", f"{uri}/", f"{uri}+"))


@XEP.iq("get", NS, "query", Target.DOMAIN)
def refuse(iq: Stanza, context: Context) -> Stanza:
    """Nobody is granted anything for asking (section 5; section 8, rule 5)."""
    raise StanzaError("forbidden", "only operators delegate namespaces here")
