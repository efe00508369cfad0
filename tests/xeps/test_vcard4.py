"""XEP-0292: old cards and new ones are one."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.vcard4 import NS, joined, new_card, old_card
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.xml import Element

OLD = """<vCard xmlns='vcard-temp'><FN>Alice Liddell</FN><N><FAMILY>Liddell</FAMILY><GIVEN>Alice</GIVEN><MIDDLE/></N>
<NICKNAME>Al</NICKNAME><BDAY>1852-05-04</BDAY><URL>https://example.org/</URL><TITLE>Pupil</TITLE><ROLE>Heroine</ROLE>
<ORG><ORGNAME>Oxford</ORGNAME><ORGUNIT>Christ Church</ORGUNIT></ORG><TEL><WORK/><VOICE/><NUMBER>+44 1</NUMBER></TEL>
<EMAIL><HOME/><USERID>alice@example.org</USERID></EMAIL><ADR><HOME/><STREET>The Hole 1</STREET><CTRY>Wonderland</CTRY></ADR>
<JABBERID>alice@example.org</JABBERID><CATEGORIES><KEYWORD>tea</KEYWORD><KEYWORD>cards</KEYWORD></CATEGORIES>
<GEO><LAT>51.75</LAT><LON>-1.25</LON></GEO><DESC>curious &amp; &lt;bold&gt;</DESC><TZ>-01:00</TZ></vCard>"""
PHOTO = Element("vcard-temp", "PHOTO", None, Element("vcard-temp", "BINVAL", None, "aGk="))


def texts(element: Element) -> dict[str, list[str]]:
    """All texts by the names above them."""
    found: dict[str, list[str]] = {}

    def walk(one: Element, path: str) -> None:
        children = list(one.elements())
        if not children and one.text.strip():
            found.setdefault(path, []).append(one.text.strip())
        for child in children:
            walk(child, f"{path}/{child.name}" if path else child.name)

    walk(element, "")
    return found


def test_an_old_card_is_a_new_one() -> None:
    card = new_card(parse_element(OLD.encode()))
    assert card.ns == NS
    assert texts(card) == {
        "fn/text": ["Alice Liddell"],
        "n/surname": ["Liddell"],
        "n/given": ["Alice"],
        "nickname/text": ["Al"],
        "bday/date": ["1852-05-04"],
        "url/uri": ["https://example.org/"],
        "title/text": ["Pupil"],
        "role/text": ["Heroine"],
        "org/text": ["Oxford", "Christ Church"],
        "tel/parameters/type/text": ["work", "voice"],
        "tel/text": ["+44 1"],
        "email/parameters/type/text": ["home"],
        "email/text": ["alice@example.org"],
        "adr/parameters/type/text": ["home"],
        "adr/street": ["The Hole 1"],
        "adr/country": ["Wonderland"],
        "impp/uri": ["xmpp:alice@example.org"],
        "categories/text": ["tea", "cards"],
        "geo/uri": ["geo:51.75,-1.25"],
        "note/text": ["curious & <bold>"],
        "tz/text": ["-01:00"],
    }


def test_there_and_back_is_the_same() -> None:
    old = parse_element(OLD.encode())
    back = old_card(new_card(old))
    assert texts(back) == texts(old)
    assert new_card(back).encode() == new_card(old).encode()


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<fn/>",
        "<tel><uri/></tel>",
        "<tel><parameters/></tel>",
        "<impp><uri>sip:alice@example.org</uri></impp>",
        "<geo><uri>geo:</uri></geo>",
        "<geo><uri>51.75</uri></geo>",
        "<org/>",
        "<adr><street/></adr>",
        "<photo><uri>https://example.org/me.png</uri></photo>",
        "<x-custom><text>x</text></x-custom>",
        "<fn xmlns='urn:other'><text>x</text></fn>",
    ],
)
def test_what_says_nothing_becomes_nothing(inner: str) -> None:
    card = old_card(parse_element(f"<vcard xmlns='{NS}'>{inner}</vcard>".encode()))
    assert card.children == []
    assert (
        new_card(parse_element(b"<vCard xmlns='vcard-temp'><FN/><N/><TEL/><ORG/><GEO/></vCard>")).children
        == []
    )


def test_groups_and_telephone_addresses_are_read() -> None:
    new = f"<vcard xmlns='{NS}'><group name='g'><tel><uri>tel:+1-555</uri></tel></group></vcard>"
    assert texts(old_card(parse_element(new.encode()))) == {"TEL/NUMBER": ["+1-555"]}


def test_a_card_that_was_stored_stays_as_it_was_until_the_new_one_says_otherwise() -> None:
    stored = parse_element(OLD.encode())
    stored.children.append(Element("vcard-temp", "X-MINE", None, "kept"))
    stored.children.append(PHOTO)
    assert joined(stored, new_card(stored)) is stored
    changed = joined(stored, new_card(parse_element(b"<vCard xmlns='vcard-temp'><FN>Other</FN></vCard>")))
    assert texts(changed) == {"FN": ["Other"], "PHOTO/BINVAL": ["aGk="]}
    assert texts(joined(None, new_card(stored)))["FN"] == ["Alice Liddell"]
