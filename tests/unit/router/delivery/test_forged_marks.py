"""Marks of trust that somebody else put into a message: which go, which stay, and that nothing else changes."""

from __future__ import annotations

import pytest

from rookery.router.delivery.forged_marks import sift, sift_sent
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = "bob@example.org"
SID, DELAY = "urn:xmpp:sid:0", "urn:xmpp:delay"


def message(*children: Element, from_: str = "alice@other.org/r") -> Stanza:
    body = Element("jabber:client", "body", {}, "a < b & c")
    return Stanza.build("message", body, *children, type="chat", to=BOB, from_=from_)


def stanza_id(by: str) -> Element:
    return Element(SID, "stanza-id", {"by": by, "id": "1"})


def delay(from_: str) -> Element:
    return Element(DELAY, "delay", {"from": from_, "stamp": "2026-01-01T00:00:00Z"})


@pytest.mark.parametrize(
    ("mark", "stays"),
    [
        (stanza_id(BOB), False),
        (stanza_id("example.org"), False),
        (stanza_id("Bob@EXAMPLE.org"), False),  # however it is written
        (stanza_id("room@muc.other.org"), True),
        (stanza_id("alice@other.org"), True),  # of a domain that is not ours: its server may say so
        (stanza_id("not a jid@@"), True),
        (Element(SID, "stanza-id", {"id": "1"}), True),
        (Element(SID, "origin-id", {"id": "1"}), True),
        (delay("example.org"), False),
        (delay(BOB), False),
        (delay("other.org"), True),
        (delay("alice@other.org"), True),
    ],
    ids=lambda value: value.xml()[:70] if isinstance(value, Element) else None,
)
def test_what_is_in_our_name_goes_and_the_rest_stays(mark: Element, stays: bool) -> None:
    before = message(mark, Element("urn:x", "other"))
    after = sift(before, BOB, ("example.org",))
    assert after.has(mark.ns, mark.name) is stays
    assert after == (before if stays else message(Element("urn:x", "other")))


def test_ids_of_a_sender_of_ours_are_given_by_us_alone() -> None:
    forged = message(stanza_id("carol@example.org"), from_="carol@example.org/r")
    assert sift(forged, BOB, ("example.org",)) == message(from_="carol@example.org/r")
    assert sift(forged, BOB, ()) == forged
    # A delay of the sender's is no archive id.
    late = message(delay("carol@example.org"), from_="carol@example.org/r")
    assert sift(late, BOB, ("example.org",)) == late


def test_what_a_client_sends_is_archived_without_ids_of_ours_and_with_its_delays() -> None:
    sent = message(stanza_id(BOB), stanza_id("example.org"), stanza_id("x@y"), delay(BOB), from_=f"{BOB}/r")
    assert sift_sent(sent, BOB) == message(stanza_id("x@y"), delay(BOB), from_=f"{BOB}/r")


def test_a_message_without_marks_is_not_even_parsed() -> None:
    broken = message()._replace(inner=b"<not xml")
    assert sift(broken, BOB) is broken
    assert sift_sent(broken, BOB) is broken
