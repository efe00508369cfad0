"""XEP-0115: Entity Capabilities."""

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache

from rookery.shared.xeps import data_forms
from rookery.shared.xeps._disco import NS_INFO, domain_info
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.xml import Element

NS = "http://jabber.org/protocol/caps"
#: Names this software; a client asks disco#info with `NODE#ver` (section 6.2).
NODE = "urn:rookery:server"
XEP = Xep(
    115,
    "1.6.0",
    "complete",
    features={Target.DOMAIN: (NS,)},
    note="The server announces its own hash; hashes of clients are passed on untouched, and verified where notifications depend on them.",
)

Contacts = Sequence[tuple[str, Sequence[str]]]


def verification_string(query: Element) -> str:
    """The `ver` of a disco#info answer: SHA-1 over identities, features and forms (section 5.1), in base64."""
    digest = hashlib.sha1(hash_input(query).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def hash_input(query: Element) -> str:
    """What is hashed of a disco#info answer: identities, features and forms, sorted (section 5.1)."""
    identities = sorted(
        "/".join(
            (
                e.get("category", "") or "",
                e.get("type", "") or "",
                e.get("xml:lang", "") or "",
                e.get("name") or "",
            )
        )
        for e in query.elements(NS_INFO, "identity")
    )
    features = sorted(e.get("var") or "" for e in query.elements(NS_INFO, "feature"))
    parts = [*identities, *features]
    forms = [data_forms.values(x) for x in query.elements(data_forms.NS, "x")]
    for fields in sorted((f for f in forms if f.get("FORM_TYPE")), key=lambda f: f["FORM_TYPE"]):
        parts.append(fields.pop("FORM_TYPE")[0])
        for var in sorted(fields):
            parts += [var, *sorted(fields[var])]
    return "".join(f"{part}<" for part in parts)


@lru_cache(maxsize=1024)
def _server_ver(features: tuple[str, ...], contacts: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    return verification_string(domain_info(features, contacts))


def server_ver(features: Sequence[str], contacts: Contacts) -> str:
    """The `ver` of a hosted domain with these features and contact addresses."""
    return _server_ver(tuple(features), tuple((var, tuple(uris)) for var, uris in contacts))


def server_node(features: Sequence[str], contacts: Contacts) -> str:
    """The disco#info node that stands for the capabilities of a hosted domain."""
    return f"{NODE}#{server_ver(features, contacts)}"


def stream_feature(features: Sequence[str], contacts: Contacts) -> Element:
    """The `<c/>` that an edge puts among the stream features of a domain (section 6.3)."""
    return Element(NS, "c", {"hash": "sha-1", "node": NODE, "ver": server_ver(features, contacts)})
