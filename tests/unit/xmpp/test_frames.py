"""The WebSocket parser (RFC 7395): one message is one document, and nothing leaks from one into the next."""

from __future__ import annotations

import pytest
from tests.unit.xmpp.streams import LIMITS, told

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import FrameParser, StreamClosed, StreamLimits, StreamOpened
from rookery.shared.xmpp.xml import Element

OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0' xml:lang='en'/>"


def test_open_stanza_nonza_close() -> None:
    parser = FrameParser(LIMITS)
    assert parser.feed_message(OPEN) == [StreamOpened("example.org", "", "en", "1.0", "", ns.CLIENT)]
    assert parser.feed_message(b"<message xmlns='jabber:client' to='b'><body>x</body></message>") == [
        Stanza("message", "", "b", "", "", "", (), ((ns.CLIENT, "body"),), b"<body>x</body>")
    ]
    assert parser.hibernate()
    assert parser.feed_message(b"<?xml version='1.0' encoding=\"UTF-8\"?>\n<r xmlns='urn:xmpp:sm:3'/>\n") == [
        Element("urn:xmpp:sm:3", "r")
    ]
    assert parser.feed_message(b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>") == [StreamClosed()]
    assert parser.ended
    assert parser.feed_message(OPEN) == []


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", ["bad-format"]),
        (b" ", ["bad-format"]),
        (b"x", ["bad-format"]),
        (b"\xef\xbb\xbf" + OPEN, ["bad-format"]),
        (b"<!-- -->", ["restricted-xml"]),
        (b"<!DOCTYPE a>", ["not-well-formed"]),
        (b"<?pi?>", ["restricted-xml"]),
        (b"<?xml version='1.1'?>" + OPEN, ["not-well-formed"]),
        (b"<?xml version='1.0' encoding='latin-1'?>" + OPEN, ["unsupported-encoding"]),
        (b"<message/>", ["invalid-namespace"]),
        (b"<foo xmlns='jabber:client'/>", ["unsupported-stanza-type"]),
        (b"<message xmlns='jabber:client'>", ["not-well-formed"]),
        (b"<message xmlns='jabber:client'/", ["not-well-formed"]),
        (b"<", ["not-well-formed"]),
        (b"<r xmlns='u'/><r xmlns='u'/>", ["r", "r", "not-well-formed"]),
        (b"<r xmlns='u'/>x", ["r", "bad-format"]),
        (b"<r xmlns='u'/><r", ["r", "not-well-formed"]),
        (b"</root>", ["not-well-formed"]),
        (b"</root><root>", ["not-well-formed"]),
        (b"<r xmlns='u'/></root>", ["r", "not-well-formed"]),
        (b"<stream:error/>", ["bad-namespace-prefix"]),
        (b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>", ["bad-format"]),
        (b"<other xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>", ["unsupported-stanza-type"]),
        (b"<iq xmlns='jabber:client'>" + b"<a/>" * 40 + b"</iq>", ["policy-violation"]),
        (b"<iq xmlns='jabber:client' a='" + b"x" * 20_000 + b"'/>", ["policy-violation"]),
    ],
)
def test_refused(message: bytes, words: list[str]) -> None:
    parser = FrameParser(StreamLimits(10_000, 32, 8, 10))
    assert told(parser.feed_message(message)) == words
    assert parser.ended


def test_prefixes_and_namespaces_do_not_leak() -> None:
    parser = FrameParser(LIMITS)
    assert told(parser.feed_message(b"<iq xmlns='jabber:client' xmlns:p='u'><p:a/></iq>")) == ["iq"]
    assert told(parser.feed_message(b"<iq xmlns='jabber:client'><p:a/></iq>")) == ["bad-namespace-prefix"]


def test_limit_of_bytes_is_exact() -> None:
    message = b"<iq xmlns='jabber:client'>%b</iq>" % (b"x" * 9_969)
    assert len(message) == 10_000
    assert told(FrameParser(StreamLimits(10_000, 32, 8, 10)).feed_message(message)) == ["iq"]
    assert told(FrameParser(StreamLimits(9_999, 32, 8, 10)).feed_message(message)) == ["policy-violation"]


def test_many_messages_renew_the_parser() -> None:
    parser = FrameParser(StreamLimits(10_000, 32, 8, 10, names=50))
    for i in range(3000):
        assert told(parser.feed_message(b"<iq xmlns='jabber:client'><a%d xmlns='urn:x'/></iq>" % i)) == ["iq"]
        assert len(parser._parser.intern) < 60
