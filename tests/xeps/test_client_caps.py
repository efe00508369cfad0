"""XEP-0390 and XEP-0115: what a presence says of its client, and whether an answer has its hash."""

from __future__ import annotations

import base64
import hashlib

import pytest

from rookery.shared.xeps.client_caps import MAX_NAMES, NS, Caps, caps_of, notified, question, verified
from rookery.shared.xeps.entity_caps import NS as NS_FIRST
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

INFO = "http://jabber.org/protocol/disco#info"
#: XEP-0115 section 5.2.
EXODUS = f"""<query xmlns='{INFO}'><identity category='client' name='Exodus 0.9.1' type='pc'/>
<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>
<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/></query>"""
VER = "QgayPKawpkPSDYmwT/WM94uAlu0="


def presence(*children: str) -> Stanza:
    return Stanza.build("presence", *(parse_element(child.encode()) for child in children))


def first(ver: str = VER, hash_: str = "sha-1") -> str:
    return f"<c xmlns='{NS_FIRST}' hash='{hash_}' node='urn:n' ver='{ver}'/>"


def test_the_example_of_0115_has_its_hash() -> None:
    caps = caps_of(presence("<status>x</status>", first(), "<x xmlns='u'><c/></x>"))
    assert caps == Caps("sha-1", VER, f"urn:n#{VER}")
    assert verified(caps, parse_element(EXODUS.encode()))
    assert not verified(caps, parse_element(EXODUS.replace("muc", "mud").encode()))
    assert not verified(Caps("sha-256", VER, "n"), parse_element(EXODUS.encode()))


@pytest.mark.parametrize(
    "more",
    [
        "<feature var='http://jabber.org/protocol/muc'/>",
        "<identity category='client' name='Exodus 0.9.1' type='pc'/>",
    ],
)
def test_an_ill_formed_answer_is_not_believed(more: str) -> None:
    """XEP-0115 section 5.4, rules 3.3 to 3.6: whatever hash it has."""
    query = parse_element(EXODUS.replace("</query>", f"{more}</query>").encode())
    text = "".join(
        [
            *("client/pc//Exodus 0.9.1<" for _ in query.elements(INFO, "identity")),
            *sorted(f"{one.get('var')}<" for one in query.elements(INFO, "feature")),
        ]
    )
    ver = base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()
    assert not verified(Caps("sha-1", ver, "n"), query)


def test_the_second_form() -> None:
    """XEP-0390 section 4.1: features, identities, forms, each ended by control characters."""
    query = parse_element(
        f"<query xmlns='{INFO}'><identity category='client' type='pc' name='T'/>"
        "<feature var='b'/><feature var='a'/></query>".encode()
    )
    text = b"a\x1fb\x1f\x1cclient\x1fpc\x1f\x1fT\x1f\x1e\x1c\x1c"
    ver = base64.b64encode(hashlib.sha256(text).digest()).decode()
    hash_ = f"<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>{ver}</hash>"
    caps = caps_of(presence(f"<c xmlns='{NS}'>{hash_}</c>"))
    assert caps == Caps("sha-256", ver, f"urn:xmpp:caps#sha-256.{ver}", True)
    assert verified(caps, query)
    asked = question(caps, "1", "a@x", "a@x/r")
    assert asked.elements()[0].get("node") == caps.node


@pytest.mark.parametrize(
    "child",
    [
        "<status/>",
        f"<c xmlns='{NS_FIRST}' hash='sha-1' node='urn:n'/>",
        f"<c xmlns='{NS_FIRST}' hash='sha-1' ver='v'/>",
        f"<c xmlns='{NS}'/>",
        first("v" * 2000),
    ],
)
def test_what_says_nothing_of_a_client(child: str) -> None:
    assert caps_of(presence(child)) is None


def test_an_unknown_hash_can_be_believed_of_nobody_else() -> None:
    caps = caps_of(presence(first(hash_="rot13")))
    assert caps is not None
    assert not caps.hash
    assert not verified(caps, parse_element(EXODUS.encode()))


def test_only_so_many_names_are_kept() -> None:
    names = ["+notify", "x" * 600 + "+notify", *(f"u{n}+notify" for n in range(MAX_NAMES + 9)), "other"]
    query = Element(INFO, "query", None, *(Element(INFO, "feature", {"var": name}) for name in names))
    found = notified(query)
    assert len(found) == MAX_NAMES
    assert "" not in found
