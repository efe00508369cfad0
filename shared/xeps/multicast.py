"""XEP-0033: Extended Stanza Addressing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.parse import parse_fragment
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element, escape_text

NS: Final = "http://jabber.org/protocol/address"
#: The types of those who get the stanza; the others say something about replies.
_GET: Final = ("to", "cc", "bcc")
_OTHERS: Final = frozenset({"replyto", "replyroom", "noreply", "ofrom"})


class Options(Section, frozen=True):
    """Stanzas that a user sends to several addresses at once, through the domain."""

    addresses: Annotated[int, about("Recipients of one stanza", "addresses", ge=0, le=100)] = 50
    other_servers: Annotated[
        bool, about("Whether they may be at other servers; else they are told that it is forbidden")
    ] = False


XEP = Xep(
    33,
    "1.2.1",
    "partial",
    features={Target.DOMAIN: (NS,)},
    implemented_in="router",
    note="For the users of the domain, up to a number of addresses; at other servers only where a setting allows it, and each as a stanza of "
    "its own: their own multicast services are not asked. No URIs.",
    options=Options,
)


class Sent(NamedTuple):
    """One of the stanzas that a stanza to many becomes."""

    to: str
    stanza: Stanza


def is_multicast(stanza: Stanza) -> bool:
    """Whether a stanza for a domain is for others in truth."""
    return stanza.has(NS, "addresses")


def copies(stanza: Stanza, limit: int) -> Sequence[Sent]:
    """What each recipient gets (section 5): nobody sees a bcc address but its own. Raises StanzaError for all of them together."""
    nodes = parse_fragment(stanza.inner)
    headers = [
        node for node in nodes if isinstance(node, Element) and (node.ns, node.name) == (NS, "addresses")
    ]
    if len(headers) != 1:
        raise StanzaError("bad-request", "one list of addresses")
    shown: list[Element] = []
    wanted: dict[str, Element | None] = {}
    for address in headers[0].elements(NS, "address"):
        to = _recipient(address)
        if to is None:
            shown.append(address)
            continue
        bcc = address.get("type") == "bcc"
        element = Element(NS, "address", {**address.attrs, "jid": to})
        if not bcc:
            element.attrs["delivered"] = "true"
            shown.append(element)
        if wanted.get(to, element) is not None:
            wanted[to] = element if bcc else None
        if len(wanted) > limit:
            raise StanzaError("not-acceptable", f"a stanza has at most {limit} addresses")
    if not wanted:
        raise StanzaError("bad-request", "nobody is addressed")
    return [Sent(to, _copy(stanza, nodes, shown, to, own)) for to, own in wanted.items()]


def _recipient(address: Element) -> str | None:
    """Whom the stanza goes to because of this address; None for nobody. Raises StanzaError."""
    type = address.get("type")
    if type in _OTHERS:
        return None
    if type not in _GET:
        raise StanzaError("bad-request", "unknown type of address")
    if address.get("uri") is not None or address.get("jid") is None:
        raise StanzaError("jid-malformed", "only addresses with a JID")
    if address.get("delivered") == "true":
        return None
    try:
        return Jid.parse(address.get("jid") or "").full
    except JidError:
        raise StanzaError("jid-malformed") from None


def _copy(
    stanza: Stanza, nodes: Sequence[Element | str], shown: Sequence[Element], to: str, own: Element | None
) -> Stanza:
    header = Element(NS, "addresses", None, *shown, *(() if own is None else (own,)))
    inner = "".join(
        escape_text(node)
        if isinstance(node, str)
        else (header if (node.ns, node.name) == (NS, "addresses") else node).xml()
        for node in nodes
    )
    return stanza.replace(to=to, inner=inner.encode())
