"""XEP-0390: Entity Capabilities 2.0."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from rookery.shared.xeps import data_forms
from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps._xep import Xep
from rookery.shared.xeps.entity_caps import NS as NS_CAPS
from rookery.shared.xeps.entity_caps import hash_input
from rookery.shared.xmpp.parse import parse_fragment
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS = "urn:xmpp:caps"
_HASHES: Final = "urn:xmpp:hashes:2"
XEP = Xep(
    390,
    "0.3.2",
    "partial",
    implemented_in="router.delivery.interests",
    note="Hashes of clients are verified, to know which notifications they want; the server announces its own by XEP-0115 only.",
)

#: Hash functions of both extensions, as hashlib calls them.
_FUNCTIONS: Final = {
    "sha-1": "sha1",
    "sha-224": "sha224",
    "sha-256": "sha256",
    "sha-384": "sha384",
    "sha-512": "sha512",
    "sha3-256": "sha3_256",
    "sha3-512": "sha3_512",
    "blake2b-512": "blake2b",
}
#: Names of nodes that one client may want, and the longest name (characters).
MAX_NAMES: Final = 256
MAX_NAME: Final = 512
_NOTIFY: Final = "+notify"
#: Ids of questions to clients at other servers begin so.
THEIRS: Final = "their-caps:"
_BEGIN: Final = b"<c xmlns='http://jabber.org/protocol/caps'"
_BEGIN2: Final = b"<c xmlns='urn:xmpp:caps'"
#: Longest element that is read.
_MAX_BYTES: Final = 1024


class Caps(NamedTuple):
    """What a presence says of its client: the name of a hash, the hash, and the disco#info node that stands for it.

    `hash` is "" when nothing can be believed of others with the same node. `second`: it is of XEP-0390.
    """

    hash: str
    ver: str
    node: str
    second: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What is the same for all clients with these capabilities."""
        return (f"2:{self.hash}" if self.second else self.hash, self.ver)


def caps_of(presence: Stanza) -> Caps | None:
    """The capabilities that a presence names; XEP-0115 where both are there, since every client with the other one has it."""
    for uri, name in presence.payloads:
        if name == "c" and uri == NS_CAPS:
            return _read(_cut(presence.inner, _BEGIN))
    for uri, name in presence.payloads:
        if name == "c" and uri == NS:
            return _read(_cut(presence.inner, _BEGIN2))
    return None


def _cut(inner: bytes, begin: bytes) -> bytes:
    """The element as it stands in canonical XML."""
    start = inner.find(begin)
    if start < 0:
        return b""
    end = inner.find(b"</c>", start)
    short = inner.find(b"/>", start)
    if begin is _BEGIN and short >= 0 and (end < 0 or short < end):
        return inner[start : short + 2]
    return inner[start : end + 4] if end >= 0 else b""


@lru_cache(maxsize=4096)
def _read(data: bytes) -> Caps | None:
    if not data or len(data) > _MAX_BYTES:
        return None
    try:
        element = next(node for node in parse_fragment(data) if isinstance(node, Element))
    except (ValueError, StopIteration):
        return None
    if element.ns == NS_CAPS:
        ver, node = element.get("ver") or "", element.get("node") or ""
        if not ver or not node:
            return None
        name = element.get("hash") or ""
        return Caps(name if name in _FUNCTIONS else "", ver, f"{node}#{ver}")
    for one in element.elements(_HASHES, "hash"):
        name, ver = one.get("algo") or "", one.text.strip()
        if name in _FUNCTIONS and ver:
            return Caps(name, ver, f"{NS}#{name}.{ver}", True)
    return None


def question(caps: Caps, id: str, from_: str, to: str) -> Stanza:
    """Asks a client what its capabilities are (XEP-0115 section 6.2, XEP-0390 section 4.5)."""
    query = Element(NS_INFO, "query", {"node": caps.node})
    return Stanza.build("iq", query, type="get", id=id, from_=from_, to=to)


def notified(query: Element) -> frozenset[str]:
    """The nodes whose notifications a client wants: its features that end in `+notify`."""
    names = (feature.get("var") or "" for feature in query.elements(NS_INFO, "feature"))
    found = [
        name.removesuffix(_NOTIFY)
        for name in names
        if name.endswith(_NOTIFY) and len(_NOTIFY) < len(name) <= MAX_NAME
    ]
    return frozenset(found[:MAX_NAMES])


def verified(caps: Caps, query: Element) -> bool:
    """Whether a disco#info answer has the hash of these capabilities, and is well-formed (XEP-0115 section 5.4)."""
    if not caps.hash:
        return False
    text = _second_input(query) if caps.second else _first_input(query)
    if text is None:
        return False
    digest = hashlib.new(_FUNCTIONS[caps.hash], text, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode() == caps.ver


def _first_input(query: Element) -> bytes | None:
    """What is hashed; None for an answer that XEP-0115 section 5.4 calls ill-formed."""
    identities = [
        tuple(one.get(key) or "" for key in ("category", "type", "xml:lang", "name"))
        for one in query.elements(NS_INFO, "identity")
    ]
    features = [one.get("var") or "" for one in query.elements(NS_INFO, "feature")]
    forms = []
    for form in query.elements(data_forms.NS, "x"):
        types = [
            (field.get("type"), tuple(value.text for value in field.elements(data_forms.NS, "value")))
            for field in form.elements(data_forms.NS, "field")
            if field.get("var") == "FORM_TYPE"
        ]
        if types and types[0][0] == "hidden":
            if len(set(types[0][1])) > 1:
                return None
            forms.append(types[0][1])
    for found in (identities, features, forms):
        if len(set(found)) != len(found):
            return None
    return hash_input(query).encode()


def _second_input(query: Element) -> bytes:
    """XEP-0390 section 4.1: separators are control characters that no attribute may have."""
    features = sorted(f"{one.get('var') or ''}\x1f".encode() for one in query.elements(NS_INFO, "feature"))
    identities = sorted(
        "".join(f"{one.get(key) or ''}\x1f" for key in ("category", "type", "xml:lang", "name")).encode()
        + b"\x1e"
        for one in query.elements(NS_INFO, "identity")
    )
    forms = sorted(
        _form(form.elements(data_forms.NS, "field")) for form in query.elements(data_forms.NS, "x")
    )
    return b"".join(features) + b"\x1c" + b"".join(identities) + b"\x1c" + b"".join(forms) + b"\x1c"


def _form(fields: Iterable[Element]) -> bytes:
    encoded = []
    for field in fields:
        values = sorted(f"{value.text}\x1f".encode() for value in field.elements(data_forms.NS, "value"))
        encoded.append(f"{field.get('var') or ''}\x1f".encode() + b"".join(values) + b"\x1e")
    return b"".join(sorted(encoded)) + b"\x1d"
