"""XEP-0398: which picture an avatar is, what presence carries, and what a card shows."""

from __future__ import annotations

import base64

import msgpack
import pytest

from rookery.shared.xeps import vcard_temp
from rookery.shared.xeps.avatar_conversion import (
    METADATA,
    UPDATE,
    Picture,
    announced,
    photo_of,
    refreshed,
    sha1,
    shown,
    with_hash,
    with_photo,
)
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

ID = "0123456789" * 4


def metadata(*infos: str) -> bytes:
    return f"<metadata xmlns='{METADATA}'>{''.join(infos)}</metadata>".encode()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", None),
        (metadata(), None),
        (metadata(f"<info id='{ID}' type='image/gif'/>"), Picture(ID, "image/gif")),
        (metadata(f"<info id='{'f' * 40}' url='http://x'/>", f"<info id='{ID}'/>"), Picture(ID, "image/png")),
        (metadata("<info id='short'/>"), None),
        (metadata(f"<info id='{'x' * 40}'/>"), None),
    ],
)
def test_the_picture_is_the_one_that_is_kept_here(payload: bytes, expected: Picture | None) -> None:
    """Section 3.1: not one with a URL."""
    assert shown(payload) == expected


@pytest.mark.parametrize(
    ("model", "expected"), [("", ID), ("open", ID), ("presence", ID), ("whitelist", ""), ("roster", "")]
)
def test_only_what_contacts_may_see_is_announced(model: str, expected: str) -> None:
    config = msgpack.packb({"access_model": model} if model else {})
    assert announced(metadata(f"<info id='{ID}'/>"), config) == expected
    assert announced(None, None) == ""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", f"<x xmlns='{UPDATE}'><photo>{ID}</photo></x>"),
        (f"<x xmlns='{UPDATE}'/>", f"<x xmlns='{UPDATE}'><photo>{ID}</photo></x>"),
        (f"<x xmlns='{UPDATE}'><photo/></x>", f"<x xmlns='{UPDATE}'><photo/></x>"),
        (f"<x xmlns='{UPDATE}'><photo>own</photo></x>", f"<x xmlns='{UPDATE}'><photo>own</photo></x>"),
    ],
)
def test_presence(said: str, expected: str) -> None:
    """Section 4."""
    children = [parse_element(said.encode())] if said else []
    presence = with_hash(
        Stanza.build("presence", *children, Element("jabber:client", "show", None, "away")), ID
    )
    assert presence.find(UPDATE, "x") == parse_element(expected.encode())
    assert presence.find("jabber:client", "show") is not None
    assert len(presence.payloads) == 2


@pytest.mark.parametrize(
    ("said", "digest", "expected"),
    [
        (f"<x xmlns='{UPDATE}'><photo>{'b' * 40}</photo></x>", ID, ID),
        (f"<x xmlns='{UPDATE}'><photo>{ID}</photo></x>", ID, ID),
        (f"<x xmlns='{UPDATE}'><photo/></x>", ID, ""),
        (f"<x xmlns='{UPDATE}'/>", ID, ID),
        ("", ID, ID),
        ("", "", None),
        (f"<x xmlns='{UPDATE}'><photo>{'b' * 40}</photo></x>", "", "b" * 40),
    ],
)
def test_presence_of_before(said: str, digest: str, expected: str | None) -> None:
    """Section 4: what is told later of a presence that was sent before."""
    children = [parse_element(said.encode())] if said else []
    show = Element("jabber:client", "show", None, "away")
    presence = refreshed(Stanza.build("presence", *children, show), digest)
    x = presence.find(UPDATE, "x")
    assert (None if x is None else x.find_text(UPDATE, "photo")) == expected
    assert presence.find("jabber:client", "show") is not None
    assert sorted(presence.payloads) == sorted((one.ns, one.name) for one in presence.elements())


def test_a_card_shows_the_avatar_only_if_that_is_what_its_hash_says() -> None:
    data = b"picture"
    text = base64.b64encode(data).decode()
    payload = f"<data xmlns='urn:xmpp:avatar:data'>{text}</data>".encode()
    card = b"<vCard xmlns='vcard-temp'><FN>A</FN><PHOTO><BINVAL>b2xk</BINVAL></PHOTO></vCard>"
    found = with_photo(card, Picture(sha1(data), "image/png"), payload)
    assert found is not None
    assert photo_of(parse_element(found)) == (data, "image/png")
    assert (
        with_photo(card, Picture(ID, "image/png"), payload) == b"<vCard xmlns='vcard-temp'><FN>A</FN></vCard>"
    )
    assert with_photo(None, None, None) is None


@pytest.mark.parametrize("binval", ["", "###", "b2x", "é"])
def test_a_picture_that_cannot_be_read_is_none(binval: str) -> None:
    photo = Element(vcard_temp.NS, "PHOTO", None, Element(vcard_temp.NS, "BINVAL", None, binval))
    assert photo_of(Element(vcard_temp.NS, "vCard", None, photo)) is None
