"""XEP-0280: Message Carbons."""

from __future__ import annotations

from typing import Final

from rookery.shared.xeps._xep import Context, Target, Xep
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza

NS: Final = "urn:xmpp:carbons:2"
#: The rules of section 6.1, all of them (section 6.2).
RULES: Final = "urn:xmpp:carbons:rules:0"
#: What the router remembers of a session that wants copies.
MARK: Final = "carbons"

XEP = Xep(
    280,
    "1.0.1",
    "complete",
    features={Target.DOMAIN: (NS, RULES)},
    implemented_in="router",
    note="a message to one's own account reaches every resource once",
)

_FORWARD: Final = "urn:xmpp:forward:0"
_HINTS: Final = "urn:xmpp:hints"
_MUC_USER: Final = "http://jabber.org/protocol/muc#user"
_CONFERENCE: Final = "jabber:x:conference"
#: What instant messaging uses besides a body: receipts (XEP-0184), chat states (XEP-0085), markers (XEP-0333).
_MESSAGING: Final = frozenset(
    {"urn:xmpp:receipts", "http://jabber.org/protocol/chatstates", "urn:xmpp:chat-markers:0"}
)
#: RFC 6121 section 5.2.2: any other type is handled as normal.
_NOT_NORMAL: Final = frozenset({"chat", "groupchat", "headline", "error"})
_SENT, _RECEIVED = "sent", "received"


@XEP.iq("set", NS, "enable", Target.ACCOUNT, subscribers_only=True, marks=MARK)
def enable(iq: Stanza, context: Context) -> Stanza:
    """Section 4. Somebody else's account answers as one that does not exist would."""
    return _own(iq, context)


@XEP.iq("set", NS, "disable", Target.ACCOUNT, subscribers_only=True, unmarks=MARK)
def disable(iq: Stanza, context: Context) -> Stanza:
    """Section 5."""
    return _own(iq, context)


def _own(iq: Stanza, context: Context) -> Stanza:
    if not context.own:
        raise StanzaError("service-unavailable")
    return iq.result()


def eligible(stanza: Stanza, *, sent: bool, answers_eligible: bool = False) -> bool:
    """Whether a message is copied (section 6.1); `sent` by the account's own client, or received for it.

    `answers_eligible`: for an error, whether the message that it answers was eligible. A message that claims to be a copy itself
    is never copied (section 12). `<no-copy/>` is XEP-0334 section 4.3.
    """
    plain = refined = False
    for namespace, name in stanza.payloads:
        if namespace == NS or (namespace == _HINTS and name == "no-copy"):
            return False  # <private/>, <sent/>, <received/>
        if namespace == ns.CLIENT and name == "body":
            plain = True
        elif namespace in _MESSAGING or namespace == _CONFERENCE:
            refined = True
        elif namespace == _MUC_USER:
            if _invites(stanza):
                refined = True
            elif not sent and "/" in stanza.from_:
                return False  # a private message in a room: the room gives it to all clients that are there
    type = stanza.type
    if type == "groupchat":
        return False
    if type == "error":
        return answers_eligible
    return type == "chat" or refined or (plain and type not in _NOT_NORMAL)


def _invites(stanza: Stanza) -> bool:
    """A mediated invitation (XEP-0045 section 7.8.2)."""
    x = stanza.find(_MUC_USER, "x")
    return x is not None and (x.find(_MUC_USER, "invite") or x.find(_MUC_USER, "decline")) is not None


def wrap(stanza: Stanza, account: str, *, sent: bool) -> Stanza:
    """The copy (sections 7, 8; XEP-0297), from the bare JID `account` and without `to`.

    Nothing is parsed, so a deep message costs no more than a flat one; the copy is three levels deeper.
    """
    name = _SENT if sent else _RECEIVED
    inner = b"<%b xmlns='%b'><forwarded xmlns='%b'>%b</forwarded></%b>" % (
        name.encode(),
        NS.encode(),
        _FORWARD.encode(),
        stanza.encode(ns.CLIENT),
        name.encode(),
    )
    return Stanza("message", stanza.type, "", account, "", "", (), ((NS, name),), inner)


def unwrap(copy: Stanza) -> Stanza | None:
    """The message inside a copy of ours, as it was wrapped; None when this is none."""
    name = copy.payloads[0][1] if copy.payloads else ""
    begin = f"<{name} xmlns='{NS}'><forwarded xmlns='{_FORWARD}'>".encode()
    end = f"</forwarded></{name}>".encode()
    if not (is_copy(copy) and copy.inner.startswith(begin) and copy.inner.endswith(end)):
        return None
    raw = copy.inner[len(begin) : -len(end)]
    element = parse_element(raw)
    attrs = element.attrs
    type, to, from_, id, lang = (attrs.pop(key, "") for key in ("type", "to", "from", "id", "xml:lang"))
    payloads = tuple((child.ns, child.name) for child in element.elements())
    message = Stanza("message", type, to, from_, id, lang, tuple(attrs.items()), payloads, b"")
    if not element.children:
        return message
    # What is inside stays byte for byte what it was.
    tag = message._replace(inner=b".").encode(ns.CLIENT)
    return message._replace(inner=raw[tag.index(b">.</message>") + 1 : -len(b"</message>")])


def is_copy(stanza: Stanza) -> bool:
    """Whether a message is a copy of ours: nobody else's message is from a bare JID of ours and says so."""
    payloads = stanza.payloads
    return (
        len(payloads) == 1
        and payloads[0][0] == NS
        and payloads[0][1] in (_SENT, _RECEIVED)
        and stanza.kind == "message"
        and "/" not in stanza.from_
        and stanza.to.partition("/")[0] == stanza.from_
    )
