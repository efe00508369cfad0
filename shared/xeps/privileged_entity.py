"""XEP-0356: Privileged Entity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rookery.shared.xeps._xep import Xep
from rookery.shared.xeps.forwarding import NS as FORWARD
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:privilege:2"
XEP = Xep(
    356,
    "0.4.1",
    "partial",
    note="Components by grant of the operator (`rookery component set`): rosters without pushes, and messages; presence and requests in the name of users are never granted",
)
#: Access to rosters (section 4), as rows and options have it.
ROSTER: Final = ("none", "get", "set", "both")
MESSAGE: Final = ("none", "outgoing")


class Grants(NamedTuple):
    """What a component may do for the users of one domain of accounts."""

    roster: str = "none"
    message: str = "none"

    @property
    def any(self) -> bool:
        """Whether there is anything to tell."""
        return self.roster != "none" or self.message != "none"

    def roster_allows(self, type: str) -> bool:
        """Whether an iq of this type may concern rosters."""
        return self.roster in ("both", type)


def of_row(said: Mapping[str, Any]) -> Grants:
    """The grants of a row; what cannot be read grants nothing."""
    roster, message = said.get("roster", "none"), said.get("message", "none")
    return Grants(
        roster if roster in ROSTER else "none",
        message if message in MESSAGE else "none",
    )


def advertised(grants: Grants, domain: str, component: str) -> Stanza:
    """What a component is told when it has connected (sections 4.2, 5.2). There are no roster pushes."""
    perms = []
    if grants.roster != "none":
        perms.append(Element(NS, "perm", {"access": "roster", "type": grants.roster, "push": "false"}))
    if grants.message != "none":
        perms.append(Element(NS, "perm", {"access": "message", "type": grants.message}))
    return Stanza.build("message", Element(NS, "privilege", None, *perms), from_=domain, to=component)


def unwrapped(message: Stanza, domain: str) -> Stanza:
    """The message that a privileged entity sends in the name of a domain or of a user of it (section 5.3). Raises StanzaError."""
    privilege = message.find(NS, "privilege")
    forwarded = None if privilege is None else privilege.find(FORWARD, "forwarded")
    inner = None if forwarded is None else forwarded.find(ns.CLIENT, "message")
    if inner is None:
        raise StanzaError("bad-request", "there is no forwarded message")
    try:
        sender, target = Jid.parse(inner.get("from") or ""), Jid.parse(inner.get("to") or "")
    except JidError:
        raise StanzaError("jid-malformed") from None
    if sender.domain != domain or sender.resource is not None:
        raise StanzaError("forbidden", f"it is not from a bare address of {domain}")
    return Stanza.build(
        "message",
        *inner.elements(),
        type=inner.get("type") or "",
        from_=sender.full,
        to=target.full,
        id=inner.get("id") or "",
    )
