"""XEP-0352."""

from __future__ import annotations

import pytest

from rookery.shared.store.rows import archivable, offline_eligible
from rookery.shared.xeps.client_state import NS, can_wait, stream_feature
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BODY = Element("jabber:client", "body", None, "hi")
THREAD = Element("jabber:client", "thread", None, "t")
PRIORITY = Element("jabber:client", "priority", None, "5")
COMPOSING = Element("http://jabber.org/protocol/chatstates", "composing")
RECEIPT = Element("urn:xmpp:receipts", "received", {"id": "x"})
HINT = Element("urn:xmpp:hints", "no-store")
STORE = Element("urn:xmpp:hints", "store")
ORIGIN = Element("urn:xmpp:sid:0", "origin-id", {"id": "x"})
EVENT = Element("http://jabber.org/protocol/pubsub#event", "event")
ENCRYPTED = Element("eu.siacs.conversations.axolotl", "encrypted")
MUC_USER = "http://jabber.org/protocol/muc#user"
SOMEBODY = Element(MUC_USER, "x", None, Element(MUC_USER, "item"))
MYSELF = Element(MUC_USER, "x", None, Element(MUC_USER, "status", {"code": "110"}))

WAITS = [
    Stanza.build("presence"),
    Stanza.build("presence", PRIORITY),
    Stanza.build("presence", type="unavailable"),
    Stanza.build("presence", SOMEBODY),
    Stanza.build("message", COMPOSING, type="chat"),
    Stanza.build("message", COMPOSING, THREAD, HINT, ORIGIN, type="chat"),
    Stanza.build("message", EVENT, type="headline"),
]
MATTERS = [
    *(Stanza.build("presence", type=one) for one in ("subscribe", "subscribed", "unsubscribe", "error")),
    Stanza.build("presence", MYSELF),
    *(Stanza.build("iq", type=one) for one in ("get", "set", "result", "error")),
    Stanza.build("message", BODY, type="chat"),
    Stanza.build("message", BODY, COMPOSING, type="chat"),
    Stanza.build("message", RECEIPT),
    Stanza.build("message", ENCRYPTED, COMPOSING, type="chat"),
    Stanza.build("message", THREAD, type="chat"),
    Stanza.build("message", type="chat"),
    Stanza.build("message", BODY, type="headline"),
    Stanza.build("message", COMPOSING, type="error"),
]


@pytest.mark.parametrize("stanza", WAITS)
def test_what_waits(stanza: Stanza) -> None:
    assert can_wait(stanza)


@pytest.mark.parametrize("stanza", MATTERS)
def test_what_matters(stanza: Stanza) -> None:
    assert not can_wait(stanza)


@pytest.mark.parametrize("stanza", WAITS)
def test_nothing_that_is_stored_waits(stanza: Stanza) -> None:
    assert not offline_eligible(stanza)
    assert not archivable(stanza)


def test_a_chat_state_that_is_to_be_stored_matters() -> None:
    assert not can_wait(Stanza.build("message", COMPOSING, STORE, type="chat"))


def test_the_stream_feature() -> None:
    assert stream_feature().xml() == f"<csi xmlns='{NS}'/>"
