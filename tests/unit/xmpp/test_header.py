"""What the server writes around stanzas is read back by a client of each transport."""

from __future__ import annotations

import pytest
from tests.unit.xmpp.streams import LIMITS

from rookery.shared.xmpp import header, ns
from rookery.shared.xmpp.errors import STREAM_CONDITIONS, StreamError
from rookery.shared.xmpp.stream import FrameParser, StreamClosed, StreamOpened, StreamParser
from rookery.shared.xmpp.xml import Element

FEATURES = (
    Element(ns.TLS, "starttls", None, Element(ns.TLS, "required")),
    Element(ns.SASL, "mechanisms", None, Element(ns.SASL, "mechanism", None, "PLAIN")),
)
AWKWARD = "a'b\"<&>é"


def test_stream_header() -> None:
    data = header.stream_header(from_="example.org", to=AWKWARD, id="++'", lang="de")
    assert data.startswith(b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream=")
    assert StreamParser(LIMITS).feed(data) == [
        StreamOpened(AWKWARD, "example.org", "de", "1.0", "++'", ns.CLIENT)
    ]


def test_server_header_declares_more() -> None:
    data = header.stream_header(
        content_ns=ns.SERVER, declared=" xmlns:db='jabber:server:dialback'", version=""
    )
    parser = StreamParser(LIMITS, content_ns=ns.SERVER)
    assert parser.feed(data) == [StreamOpened("", "", "en", "", "", ns.SERVER)]
    assert parser.feed(b"<db:result/>") == [Element("jabber:server:dialback", "result")]


def test_a_whole_tcp_answer() -> None:
    error = StreamError("host-unknown", AWKWARD, app="<x xmlns='urn:x'/>")
    data = header.stream_header() + header.stream_features(FEATURES) + header.stream_features(())
    data += header.stream_error(error) + header.CLOSE
    _, features, none, told, closed = StreamParser(LIMITS).feed(data)
    assert features == Element(ns.STREAM, "features", None, *FEATURES)
    assert none == Element(ns.STREAM, "features")
    assert told == Element(
        ns.STREAM,
        "error",
        None,
        Element(ns.STREAM_ERRORS, "host-unknown"),
        Element(ns.STREAM_ERRORS, "text", {"xml:lang": "en"}, AWKWARD),
        Element("urn:x", "x"),
    )
    assert closed == StreamClosed()


def test_websocket_messages_stand_alone() -> None:
    parser = FrameParser(LIMITS)
    opened = header.ws_open(from_="example.org", id=AWKWARD)
    assert parser.feed_message(opened) == [StreamOpened("", "example.org", "en", "1.0", AWKWARD, ns.CLIENT)]
    assert parser.feed_message(header.ws_features(FEATURES)) == [
        Element(ns.STREAM, "features", None, *FEATURES)
    ]
    assert parser.feed_message(header.ws_error(StreamError("reset"))) == [
        Element(ns.STREAM, "error", None, Element(ns.STREAM_ERRORS, "reset"))
    ]
    assert parser.feed_message(header.ws_close(f"wss://example.org/{AWKWARD}")) == [StreamClosed()]
    assert FrameParser(LIMITS).feed_message(header.ws_close()) == [StreamClosed()]


@pytest.mark.parametrize("condition", sorted(STREAM_CONDITIONS))
def test_every_condition_is_written(condition: str) -> None:
    (message,) = FrameParser(LIMITS).feed_message(header.ws_error(StreamError(condition)))
    assert isinstance(message, Element)
    assert message.find(ns.STREAM_ERRORS, condition) is not None
