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
    "complete",
    note="Components by grant of the operator (`rookery component set`): rosters with pushes, messages, requests by namespace, presence of users and of their contacts",
)
#: What requests of privileged entities in the name of users are called, before their component and its seal: the answers come to the users.
ANSWERS: Final = "privileged:"
#: Access to rosters and to namespaces (sections 4, 6), as rows and options have it.
ROSTER: Final = ("none", "get", "set", "both")
MESSAGE: Final = ("none", "outgoing")
#: Of section 7: of the users, or of the users and all that they see.
PRESENCE: Final = ("none", "managed_entity", "roster")
NAMESPACES: Final = 64


class Grants(NamedTuple):
    """What a component may do for the users of one domain of accounts. `iq` is the access to each namespace; `push`: it hears of changes of rosters."""

    roster: str = "none"
    message: str = "none"
    presence: str = "none"
    iq: tuple[tuple[str, str], ...] = ()
    push: bool = True

    @property
    def any(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.iq) or any(one != "none" for one in (self.roster, self.message, self.presence))

    @property
    def pushes(self) -> bool:
        """Whether it gets roster pushes (section 4.4)."""
        return self.push and self.roster in ("get", "both")

    def roster_allows(self, type: str) -> bool:
        """Whether an iq of this type may concern rosters."""
        return self.roster in ("both", type)

    def iq_allows(self, uri: str, type: str) -> bool:
        """Whether it may send an iq of this type with a payload of this namespace for a user."""
        return dict(self.iq).get(uri, "none") in ("both", type)


def of_row(said: Mapping[str, Any]) -> Grants:
    """The grants of a row; what cannot be read grants nothing."""
    given = said.get("iq")
    spaces = given.items() if isinstance(given, Mapping) else ()
    iq = tuple((str(uri), str(access)) for uri, access in spaces if access in ROSTER[1:])
    roster, presence = _word(said, "roster", ROSTER), _word(said, "presence", PRESENCE)
    return Grants(
        roster,
        _word(said, "message", MESSAGE),
        presence if may_see(presence, roster) else "none",
        iq[:NAMESPACES],
        said.get("push", True) is True,
    )


def may_see(presence: str, roster: str) -> bool:
    """Whether this access to presence goes with this one to rosters: contacts are for who may read rosters (section 7.4)."""
    return presence != "roster" or roster in ("get", "both")


def _word(said: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    word = said.get(name)
    return word if isinstance(word, str) and word in known else "none"


def advertised(grants: Grants, domain: str, component: str) -> Stanza:
    """What a component is told when it has connected (sections 4.2, 5.2, 6.2, 7.2)."""
    perms = []
    if grants.roster != "none":
        push = "true" if grants.pushes else "false"
        perms.append(Element(NS, "perm", {"access": "roster", "type": grants.roster, "push": push}))
    if grants.message != "none":
        perms.append(Element(NS, "perm", {"access": "message", "type": grants.message}))
    if grants.iq:
        spaces = [Element(NS, "namespace", {"ns": uri, "type": access}) for uri, access in grants.iq]
        perms.append(Element(NS, "perm", {"access": "iq"}, *spaces))
    if grants.presence != "none":
        perms.append(Element(NS, "perm", {"access": "presence", "type": grants.presence}))
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


def encapsulated(iq: Stanza, grants: Grants) -> Stanza:
    """The request that a privileged entity makes for the user whom `iq` is addressed to (section 6.3). Raises StanzaError."""
    wrapper = iq.find(NS, "privileged_iq")
    inner = None if wrapper is None else wrapper.find(ns.CLIENT, "iq")
    if inner is None:
        # (the namespace is one of what makes it forbidden)
        raise StanzaError("forbidden", "there is no request of jabber:client")
    payloads = list(inner.elements())
    if len(payloads) != 1 or not inner.get("id"):
        raise StanzaError("bad-request", "a request has an id and one payload")
    type = inner.get("type") or ""
    if type != iq.type or not grants.iq_allows(payloads[0].ns, type):
        raise StanzaError("forbidden", "this request is not granted")
    try:
        sender, target = Jid.parse(inner.get("from") or iq.to), Jid.parse(inner.get("to") or iq.to)
    except JidError:
        raise StanzaError("jid-malformed") from None
    if sender.full != iq.to:
        raise StanzaError("forbidden", "it is of another user")
    return Stanza.build("iq", *payloads, type=type, from_=iq.to, to=target.full, id=inner.get("id") or "")


def answered(answer: Stanza, component: str, id: str, inner_id: str) -> Stanza:
    """What a privileged entity gets when its request in the name of a user has been answered (section 6.3)."""
    inner = Element(
        ns.CLIENT,
        "iq",
        {"type": answer.type, "from": answer.from_ or answer.to, "to": answer.to, "id": inner_id},
        *answer.elements(),
    )
    privilege = Element(NS, "privilege", None, Element(FORWARD, "forwarded", None, inner))
    return Stanza.build("iq", privilege, type="result", from_=answer.to, to=component, id=id)


def component_of(id: str) -> str:
    """Whose request an answer is for, by its id; "" when it is for none."""
    return id[len(ANSWERS) :].partition("/")[0] if id.startswith(ANSWERS) else ""
