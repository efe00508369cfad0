"""XEP-0494: Client Access Management."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:cam:0"

XEP = Xep(
    494,
    "0.1.0",
    "complete",
    features={Target.ACCOUNT: (NS,)},
    implemented_in="workers.account",
    note="clients that hold a token (XEP-0484); one that also knows the password is told to be so when it is revoked",
)
XEP.forward("account", NS, "list", Target.ACCOUNT, types=("get",), own_only=True)
XEP.forward("account", NS, "revoke", Target.ACCOUNT, types=("set",), own_only=True)


class Client(NamedTuple):
    """A client as its user sees it; `id` is opaque."""

    id: str
    software: str
    device: str
    first_seen: datetime
    last_seen: datetime
    connected: bool
    by_password: bool


def clients(found: Iterable[Client]) -> Element:
    """`<clients/>` (section 3.1)."""
    return Element(NS, "clients", None, *(_client(one) for one in found))


def _client(one: Client) -> Element:
    agent = [
        Element(NS, name, None, text)
        for name, text in (("software", one.software), ("device", one.device))
        if text
    ]
    ways = [Element(NS, "password")] if one.by_password else []
    return Element(
        NS,
        "client",
        {"connected": "true" if one.connected else "false", "id": one.id, "type": "session"},
        Element(NS, "first-seen", None, _stamp(one.first_seen)),
        Element(NS, "last-seen", None, _stamp(one.last_seen)),
        Element(NS, "auth", None, *ways, Element(NS, "fast")),
        Element(NS, "permission", {"status": "unrestricted"}),
        Element(NS, "user-agent", None, *agent) if agent else None,
    )


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def revoked(iq: Stanza) -> str:
    """The id in `<revoke/>`. Raises StanzaError."""
    element = iq.find(NS, "revoke")
    id = (element.get("id") or "") if element is not None else ""
    if not id:
        raise StanzaError("bad-request", "revoke names a client")
    return id


def password_known() -> StanzaError:
    """The client knows the password: it may come back until that is another one (section 3.2)."""
    return StanzaError("service-unavailable", type="cancel", app=(NS, "password-reset-required"))
