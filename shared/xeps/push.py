"""XEP-0357: Push Notifications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

from rookery.shared.options import Section, about
from rookery.shared.xeps import data_forms, pubsub
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:push:0"
NS_SUMMARY: Final = "urn:xmpp:push:summary"
NS_OPTIONS: Final = "http://jabber.org/protocol/pubsub#publish-options"
#: What the ids of notifications begin with: the account's router hands their answers on.
ASKS: Final = "push:"
#: Longest name of a node, in octets.
MAX_NODE: Final = 3071


class Options(Section, frozen=True):
    """Notifications of phones that are not connected, by way of the servers of their apps."""

    sender: Annotated[bool, about("App servers are told who has sent the last message")] = False
    body: Annotated[
        bool, about("App servers are told what the last message says, unless it is encrypted")
    ] = False
    placeholder: Annotated[str, about("What they are told in place of that; empty: nothing")] = "New message"
    gather_seconds: Annotated[
        float, about("Messages of so long are one notification; calls do not wait", "seconds", ge=0, le=60)
    ] = 1.0
    interval_seconds: Annotated[
        float, about("At least so long between two notifications of one client", "seconds", ge=0, le=3600)
    ] = 5.0
    clients: Annotated[
        int, about("Clients of an account that are notified; the oldest gives way", "clients", ge=1)
    ] = 10
    form_bytes: Annotated[int, about("What a client may have passed on to its app server", "bytes", ge=0)] = (
        4096
    )
    failures: Annotated[
        int, about("After so many failures in a row a client is notified no more", "failures", ge=1)
    ] = 16
    resume_seconds: Annotated[
        int, about("A stream whose client is notified can be resumed for so long", "seconds", ge=0)
    ] = 86_400


XEP = Xep(
    357,
    "0.4.1",
    "complete",
    features={Target.ACCOUNT: (NS,)},
    implemented_in="router, workers.pubsub",
    note="For messages with a body or encrypted content, calls (XEP-0353), and mentions in rooms for clients whose streams sleep. Not for members who are "
    "not in the room; not inline in Bind 2. An affiliation that an app server takes away is noticed at the next notification",
    options=Options,
)
XEP.forward("pubsub", NS, "enable", Target.ACCOUNT, types=("set",), own_only=True)
XEP.forward("pubsub", NS, "disable", Target.ACCOUNT, types=("set",), own_only=True)


class App(NamedTuple):
    """Where a client wants its notifications published: the app server, its node ("" for none), options that are passed on."""

    service: str
    node: str
    options: bytes


def read_enable(element: Element, form_bytes: int) -> App:
    """Read `<enable/>` (section 5). Raises StanzaError."""
    service, node = _names(element)
    form = element.find(data_forms.NS, "x")
    if form is None:
        return App(service, node or "", b"")
    if form.get("type") != "submit" or data_forms.values(form).get("FORM_TYPE") != [NS_OPTIONS]:
        raise StanzaError("bad-request", "publish options are a submitted form")
    options = form.encode("")
    if len(options) > form_bytes:
        raise StanzaError("policy-violation", "these options are too long")
    return App(service, node or "", options)


def read_disable(element: Element) -> tuple[str, str | None]:
    """Read `<disable/>` (section 6): the app server and the node, None for all. Raises StanzaError."""
    return _names(element)


def _names(element: Element) -> tuple[str, str | None]:
    try:
        service = str(Jid.parse(element.get("jid") or ""))
    except JidError:
        raise StanzaError("bad-request", "there is no address of an app server") from None
    node = element.get("node")
    if node is not None and len(node.encode()) > MAX_NODE:
        raise StanzaError("bad-request", "the name of this node is too long")
    return service, node


# --- what is worth waking a phone for ---------------------------------------------------------------------------------

_BODY: Final = (ns.CLIENT, "body")
#: Namespaces of encrypted content: OMEMO old and new, "this is encrypted" (XEP-0380), OpenPGP old and new.
_ENCRYPTED: Final = frozenset(
    {
        "eu.siacs.conversations.axolotl", "urn:xmpp:omemo:1", "urn:xmpp:omemo:2", "urn:xmpp:eme:0",
        "jabber:x:encrypted", "urn:xmpp:openpgp:0",
    }
)  # fmt: skip
#: XEP-0353: a call, and its end before it was taken.
_CALL: Final = ("urn:xmpp:jingle-message:0", "urn:xmpp:jingle-message:1")
_CALLS: Final = frozenset((one, verb) for one in _CALL for verb in ("propose", "retract"))
#: XEP-0372
_REFERENCE: Final = "urn:xmpp:reference:0"


class Worth(NamedTuple):
    """What a message is to somebody who does not see it. `urgent`: it is about a call."""

    urgent: bool = False
    encrypted: bool = False


def worth(stanza: Stanza) -> Worth | None:
    """Whether a message for one account is worth a notification; None when it is not."""
    if stanza.type not in ("", "chat", "normal"):
        return None
    found = None
    for one in stanza.payloads:
        payload = (one[0], one[1])
        if payload in _CALLS:
            return Worth(urgent=True)
        if payload[0] in _ENCRYPTED:
            found = Worth(encrypted=True)
        elif payload == _BODY and found is None:
            found = Worth()
    return found


def mentions(stanza: Stanza, nick: str, account: str) -> bool:
    """Whether a message of a room names somebody: by nick in its body, or by address (XEP-0372)."""
    if stanza.type != "groupchat" or not stanza.has(*_BODY):
        return False
    for element in stanza.elements():
        if element.ns == _REFERENCE and element.get("type") == "mention":
            if (element.get("uri") or "").removeprefix("xmpp:").partition("?")[0] == account:
                return True
        elif (element.ns, element.name) == _BODY and nick and _named(element.text.lower(), nick.lower()):
            return True
    return False


def _named(text: str, nick: str) -> bool:
    """Whether the nick stands there as a word of its own."""
    at = text.find(nick)
    while at >= 0:
        end = at + len(nick)
        if not (at and text[at - 1].isalnum()) and not (end < len(text) and text[end].isalnum()):
            return True
        at = text.find(nick, at + 1)
    return False


# --- notifications ----------------------------------------------------------------------------------------------------


class Summary(NamedTuple):
    """What a notification says: messages that the client has missed, and of the last one what may be told."""

    messages: int
    sender: str
    body: str


def notification(account: str, app: App, id: str, summary: Summary) -> Stanza:
    """Publish to the node of an app (section 7), with the options that its client gave."""
    fields = [data_forms.Field("message-count", (str(summary.messages),))]
    if summary.sender:
        fields.append(data_forms.Field("last-message-sender", (summary.sender,)))
    if summary.body:
        fields.append(data_forms.Field("last-message-body", (summary.body,)))
    form = data_forms.form("submit", NS_SUMMARY, fields)
    item = Element(pubsub.NS, "item", None, Element(NS, "notification", None, form))
    attrs = {"node": app.node} if app.node else {}
    request = Element(pubsub.NS, "pubsub", None, Element(pubsub.NS, "publish", attrs, item))
    if app.options:
        request.children.append(Element(pubsub.NS, "publish-options", None, parse_element(app.options)))
    return Stanza.build("iq", request, type="set", to=app.service, from_=account, id=id)


#: Errors after which the same notification may work later; all others are final (section 7.1).
_TRANSIENT: Final = frozenset(
    {
        "internal-server-error", "recipient-unavailable", "remote-server-not-found", "remote-server-timeout",
        "resource-constraint", "service-unavailable", "undefined-condition",
    }
)  # fmt: skip


def final(type: str, condition: str) -> bool:
    """Whether an app server that answered this error has ended the notifications of a client."""
    return type != "wait" and condition not in _TRANSIENT


def error_of(children: Sequence[Element]) -> tuple[str, str]:
    """The type and the condition of an error."""
    for child in children:
        if (child.ns, child.name) == (ns.CLIENT, "error"):
            conditions = [one.name for one in child.elements(ns.STANZA_ERRORS) if one.name != "text"]
            return child.get("type") or "cancel", conditions[0] if conditions else "undefined-condition"
    return "cancel", "undefined-condition"
