"""The disco#info answer as a value: XEP-0030 sends it and XEP-0115 hashes it."""

from collections.abc import Iterable, Sequence

from rookery.shared.xeps.contact_addresses import server_info
from rookery.shared.xmpp.xml import Element

NS_INFO = "http://jabber.org/protocol/disco#info"
SERVER_NAME = "Rookery"


def info(
    category: str,
    type: str,
    name: str,
    features: Iterable[str],
    forms: Iterable[Element] = (),
    node: str = "",
) -> Element:
    """A disco#info answer with one identity."""
    identity = {"category": category, "type": type}
    if name:
        identity["name"] = name
    return Element(
        NS_INFO,
        "query",
        {"node": node} if node else None,
        Element(NS_INFO, "identity", identity),
        *(Element(NS_INFO, "feature", {"var": feature}) for feature in features),
        *forms,
    )


def domain_info(
    features: Iterable[str], contacts: Sequence[tuple[str, Sequence[str]]], node: str = ""
) -> Element:
    """What a hosted domain answers; the entity capabilities of the stream feature are computed from the same."""
    addresses = server_info(contacts)
    return info("server", "im", SERVER_NAME, features, () if addresses is None else (addresses,), node)
