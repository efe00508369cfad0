"""What a service tells of a list, read from what Prosody and ejabberd publish."""

from __future__ import annotations

import hashlib

import pytest

from rookery.shared.config import S2s
from rookery.shared.xeps.pubsub import NS
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.lists.wire import NS_EVENT, Source, Told, fetch, source, subscribe, told

BAD = hashlib.sha256(b"mallory@bad.example").digest()
LIST = Source("lists.example", "muc_bans_sha256")
ITEM = (
    f"<item id='{BAD.hex()}'><report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item>"
)


def message(inner: str) -> Stanza:
    event = parse_element(f"<event xmlns='{NS_EVENT}'>{inner}</event>".encode())
    return Stanza.build("message", event, type="headline", from_=LIST.service, to="one.example")


def result(inner: str, rest: str = "") -> Stanza:
    pubsub = parse_element(
        f"<pubsub xmlns='{NS}'><items node='{LIST.node}'>{inner}</items>{rest}</pubsub>".encode()
    )
    return Stanza.build("iq", pubsub, type="result", from_=LIST.service, to="one.example", id="x")


@pytest.mark.parametrize(
    ("stanza", "found"),
    [
        (message(f"<items node='{LIST.node}'>{ITEM}</items>"), Told(LIST.node, (BAD,))),
        (
            message(f"<items node='{LIST.node}'><retract id='{BAD.hex().upper()}'/></items>"),
            Told(LIST.node, (), (BAD,)),
        ),
        (message(f"<items node='{LIST.node}'><item id='current'/><item/></items>"), Told(LIST.node)),
        (message(f"<purge node='{LIST.node}'/>"), Told(LIST.node, whole=True)),
        (message(f"<delete node='{LIST.node}'/>"), Told(LIST.node, whole=True)),
        (message("<configuration/>"), None),
        (Stanza.build("message", from_=LIST.service, to="one.example"), None),
        (result(ITEM), Told(LIST.node, (BAD,), whole=True)),
        (result(""), Told(LIST.node, whole=True)),
        (
            result(ITEM, "<set xmlns='http://jabber.org/protocol/rsm'><count>9</count></set>"),
            Told(LIST.node, (BAD,)),
        ),
        (Stanza.build("iq", type="result", from_=LIST.service, to="one.example", id="x"), None),
    ],
)
def test_what_is_told_of_a_list(stanza: Stanza, found: Told | None) -> None:
    assert told(stanza) == found


def test_requests_are_of_the_domain_itself() -> None:
    for request in (subscribe(LIST, "one.example", "i1"), fetch(LIST, "one.example", "i1")):
        assert (request.from_, request.to, request.id) == ("one.example", LIST.service, "i1")
    asked = subscribe(LIST, "one.example", "i1").find(NS, "pubsub")
    assert asked is not None
    one = asked.find(NS, "subscribe")
    assert one is not None
    assert dict(one.attrs) == {"node": LIST.node, "jid": "one.example"}


def test_a_list_has_a_service_and_a_node() -> None:
    assert source(LIST.name) == LIST
    assert source("lists.example/a/b") == Source("lists.example", "a/b")
    for wrong in ("lists.example", "/node", "lists.example/"):
        with pytest.raises(ValueError, match="SERVICE/NODE"):
            S2s(block_lists=(wrong,))
