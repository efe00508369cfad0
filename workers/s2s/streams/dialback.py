"""Server dialback (XEP-0220): keys by XEP-0185, and its elements. No I/O.

The secret is the cluster's and rotates: the newest makes keys, all of them verify, so that any process answers for any other.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import STANZA_CONDITIONS, JidError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element, escape_attr

NS: Final = "jabber:server:dialback"
FEATURE: Final = "urn:xmpp:features:dialback"
#: What the stream header declares (section 2: elements of dialback have the prefix of the header).
DECLARED: Final = f" xmlns:db='{NS}'"
#: A key of ours has 64 characters; others may be longer, but not for ever.
MAX_KEY: Final = 1024
MAX_ID: Final = 1024


class Pair(NamedTuple):
    """The domain that sends and the domain that receives."""

    sender: str
    receiver: str


class Key(NamedTuple):
    """A key that shall be verified: the pair, the id of the stream that it came on, its text."""

    pair: Pair
    id: str
    text: str


def make_key(secret: bytes, pair: Pair, id: str) -> str:
    """The key that `pair.sender` shows on the stream `id` of `pair.receiver` (XEP-0185 section 2)."""
    text = f"{pair.receiver} {pair.sender} {id}".encode()
    return hmac.new(sha256(secret).hexdigest().encode(), text, sha256).hexdigest()


def is_ours(secrets: Iterable[bytes], key: Key) -> bool:
    """Whether one of the secrets made it. Takes the same time for each."""
    shown = key.text.encode()
    found = [hmac.compare_digest(make_key(secret, key.pair, key.id).encode(), shown) for secret in secrets]
    return any(found)


def domain_of(text: str | None) -> str:
    """A prepared domain. Raises JidError for anything else, an address with a local part included."""
    if not text:
        raise JidError("there is no domain")
    jid = Jid.parse(text)
    if jid.full != jid.domain:
        raise JidError("a domain has no local part and no resource")
    return jid.domain


def addresses(element: Element) -> Pair:
    """`from` and `to` of an element. Raises JidError."""
    return Pair(domain_of(element.get("from")), domain_of(element.get("to")))


def text_of(element: Element) -> str:
    """Its text without white space around it."""
    return "".join([child for child in element.children if isinstance(child, str)]).strip()


def _tag(name: str, pair: Pair, more: str) -> str:
    return f"<db:{name} from='{escape_attr(pair.sender)}' to='{escape_attr(pair.receiver)}'{more}"


def result(pair: Pair, key: str) -> bytes:
    """Ask to be believed (step 1)."""
    return f"{_tag('result', pair, '')}>{key}</db:result>".encode()


def verify(key: Key) -> bytes:
    """Ask the authoritative server about a key: it goes from the receiver to the sender (step 2)."""
    pair = Pair(key.pair.receiver, key.pair.sender)
    return f"{_tag('verify', pair, _id(key.id))}>{_text(key.text)}</db:verify>".encode()


def answer(name: str, pair: Pair, type: str, id: str = "") -> bytes:
    """`valid` or `invalid`: the answer to a `result` or a `verify` that came from `pair.receiver`."""
    return f"{_tag(name, pair, _id(id))} type='{type}'/>".encode()


def refuse(name: str, pair: Pair, condition: str, id: str = "") -> bytes:
    """An answer of type `error` (section 2.4): the stream goes on."""
    kind = STANZA_CONDITIONS.get(condition, "cancel")
    error = f"<error type='{kind}'><{condition} xmlns='{ns.STANZA_ERRORS}'/></error>"
    return f"{_tag(name, pair, _id(id))} type='error'>{error}</db:{name}>".encode()


def condition_of(element: Element) -> str:
    """The condition of an answer of type `error`; `undefined-condition` when it has none that is known."""
    for error in element.children:
        if isinstance(error, Element) and error.name == "error":
            for child in error.children:
                if isinstance(child, Element) and child.name in STANZA_CONDITIONS:
                    return child.name
    return "undefined-condition"


def feature() -> Element:
    """The stream feature: errors are understood, so targets may share a stream."""
    return Element(FEATURE, "dialback", None, Element(FEATURE, "errors"))


def _id(id: str) -> str:
    return f" id='{escape_attr(id)}'" if id else ""


def _text(key: str) -> str:
    return key.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
