"""Stanzas as values: answers, errors, children, and the bytes that a client gets."""

from __future__ import annotations

import pytest

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import STANZA_CONDITIONS, StanzaError
from rookery.shared.xmpp.parse import parse_element, parse_fragment
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

PING = Element("urn:xmpp:ping", "ping")
IQ = Stanza.build("iq", PING, type="get", to="example.org", from_="a@example.org/x", id="1'", lang="en")


def test_bytes_of_a_stanza() -> None:
    assert IQ.encode() == (
        b"<iq from='a@example.org/x' to='example.org' type='get' id='1&apos;' xml:lang='en'><ping xmlns='urn:xmpp:ping'/></iq>"
    )
    assert (
        Stanza.build("presence").encode(ns.CLIENT, to="b'c")
        == b"<presence xmlns='jabber:client' to='b&apos;c'/>"
    )


def test_answers_go_back() -> None:
    assert IQ.result(PING) == Stanza.build("iq", PING, type="result", to=IQ.from_, from_=IQ.to, id=IQ.id)
    assert IQ.has("urn:xmpp:ping")
    assert IQ.has("urn:xmpp:ping", "ping")
    assert not IQ.has("urn:xmpp:ping", "pong")
    assert IQ.find("urn:xmpp:ping", "ping") == PING
    assert IQ.find("urn:xmpp:ping", "pong") is None
    assert IQ.with_child(PING).elements() == [PING, PING]
    assert Stanza.unpack(list(IQ)) == IQ


@pytest.mark.parametrize(("condition", "type_"), STANZA_CONDITIONS.items())
def test_errors(condition: str, type_: str) -> None:
    answer = IQ.error(StanzaError(condition, "why <not>", app=("urn:app", "detail")))
    assert (answer.type, answer.to, answer.from_, answer.id) == ("error", IQ.from_, IQ.to, IQ.id)
    assert answer.elements() == [
        Element(
            ns.CLIENT,
            "error",
            {"type": type_},
            Element(ns.STANZA_ERRORS, condition),
            Element(ns.STANZA_ERRORS, "text", {"xml:lang": "en"}, "why <not>"),
            Element("urn:app", "detail"),
        )
    ]
    assert IQ.error(StanzaError(condition, type="wait")).elements()[0].get("type") == "wait"


@pytest.mark.parametrize("data", [b"<a>", b"</f><f>", b"<a></b>", b"&x;"])
def test_what_is_no_fragment(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_fragment(data)


@pytest.mark.parametrize("data", [b"", b"text", b"<a/><b/>"])
def test_what_is_no_element(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_element(data)
