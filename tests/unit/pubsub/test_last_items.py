"""Last items as they are told: the short way gives what the long one gives."""

from __future__ import annotations

import pytest

from rookery.shared.xmpp.parse import parse_element
from rookery.workers.pubsub.changes import event
from rookery.workers.pubsub.config import Config
from rookery.workers.pubsub.last_items import told
from rookery.workers.pubsub.node import Item, Node
from rookery.workers.pubsub.notices import written
from rookery.workers.pubsub.publisher import items_element

PAYLOADS = (
    "",
    "<x xmlns='urn:x'/>",
    "<x xmlns='urn:x' a='1'>a &amp; b<y/><z xmlns='urn:z'>&lt;</z></x>",
    "<x xmlns='urn:x'><event xmlns='http://jabber.org/protocol/pubsub#event'/></x>",
    "<x/>",
    "<x a='b' xmlns=''><y xmlns='urn:y'/></x>",
)


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(
    "changed",
    [{}, {"deliver_payloads": False}, {"notification_type": "normal", "presence_based_delivery": False}],
)
@pytest.mark.parametrize("publisher", ["alice@one.org/phone", "bob@one.org/x"])
def test_the_short_way_gives_what_the_long_one_gives(
    payload: str, changed: dict[str, str | bool], publisher: str
) -> None:
    node = Node("alice@one.org", "urn:a&'b", Config(True).with_(changed), "alice@one.org")
    node.id = 7
    stored = parse_element(payload.encode()).encode("") if payload else b""
    item = Item("i<'>", 5, publisher, stored)
    assert told(node, item) == written([event(node, items_element(node, (item,)), 5)])[0]


def test_a_payload_of_our_own_namespace_stays_one() -> None:
    node = Node("alice@one.org", "n", Config(True), "alice@one.org")
    item = Item("i", 5, "alice@one.org", b"<item xmlns='http://jabber.org/protocol/pubsub#event'/>")
    quick, slow = told(node, item), written([event(node, items_element(node, (item,)), 5)])[0]
    assert parse_element(quick.inner) == parse_element(slow.inner)
