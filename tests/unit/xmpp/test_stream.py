"""The TCP stream parser: headers, stanzas, everything that is refused, limits, and life cycle of the parser."""

from __future__ import annotations

import pytest
from tests.unit.xmpp.streams import HEADER, LIMITS, MESSAGE, feed_all, opened, plain, told

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.parse import parse_fragment
from rookery.shared.xmpp.reader import HOLD_BYTES, RENEW_BYTES
from rookery.shared.xmpp.stanza import NO_LANG, Stanza
from rookery.shared.xmpp.stream import HEADER_BYTES, StreamClosed, StreamLimits, StreamOpened, StreamParser
from rookery.shared.xmpp.xml import Element

STREAMS = b"http://etherx.jabber.org/streams"


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "event"),
    [
        (HEADER, StreamOpened("example.org", "", "", "1.0", "", ns.CLIENT)),
        (
            b" \r\n<s:stream xmlns:s='%b' xmlns='jabber:client' from='a@b' id='x' xml:lang='de'>" % STREAMS,
            StreamOpened("", "a@b", "de", "", "x", ns.CLIENT),
        ),
        (b"<stream xmlns='%b' to='b'>" % STREAMS, StreamOpened("b", "", "", "", "", STREAMS.decode())),
        (
            b"<s:stream xmlns:s='%b' xmlns:c='jabber:client' to='b'>" % STREAMS,
            StreamOpened("b", "", "", "", "", ""),
        ),
        (
            b"<?xml version='1.0' encoding='utf-8'?><s:stream xmlns:s='%b' xmlns='jabber:client'>" % STREAMS,
            StreamOpened("", "", "", "", "", ns.CLIENT),
        ),
    ],
)
def test_headers(header: bytes, event: StreamOpened) -> None:
    assert StreamParser(LIMITS).feed(header) == [event]


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "not-well-formed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not-well-formed"),
        (b"\xff\xfe<\0s\0", "unsupported-encoding"),
        (b"\xfe\xff\0<\0s", "unsupported-encoding"),
        (HEADER.decode().encode("utf-16-le"), "unsupported-encoding"),
        (HEADER.decode().encode("utf-16-be"), "unsupported-encoding"),
        (b" \0", "unsupported-encoding"),
        (b"  \0", "not-well-formed"),
        (b"\xef\xbb\xbf" + HEADER, "bad-format"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>", "unsupported-encoding"),
        (b"<?xml version='1.0' encoding='UTF-16'?>", "unsupported-encoding"),
        (b"<?xml version='1.1'?>", "not-well-formed"),
        (b"<?xml version='1.0'?><?xml version='1.0'?>", "not-well-formed"),
        (b"<?php exit ?>", "restricted-xml"),
        (b"<!-- hello -->", "restricted-xml"),
        (b"<!DOCTYPE a [", "restricted-xml"),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'>", "restricted-xml"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><stream:stream to='&b;'>", "restricted-xml"),
        (b"<message xmlns='jabber:client'/>", "invalid-namespace"),
        (b"<stream>", "invalid-namespace"),
        (b"<stream:stream>", "bad-namespace-prefix"),
        (b"<s:stream xmlns:s='http://etherx.jabber.org/stream'>", "invalid-namespace"),
        (b"<s:features xmlns:s='%b'>" % STREAMS, "bad-format"),
        (b"<s:stream xmlns:s='%b' xmlns='jabber:server'>" % STREAMS, "invalid-namespace"),
        (b"<s:stream xmlns:s='%b' to='b'>" % STREAMS, "invalid-namespace"),
        (b"<s:stream xmlns:s='%b' xmlns:c='jabber:server' to='b'>" % STREAMS, "invalid-namespace"),
        (b"<s:stream xmlns:s='%b' to='%b'>" % (STREAMS, b"x" * HEADER_BYTES), "policy-violation"),
        (
            b"<s:stream xmlns:s='%b' %b>" % (STREAMS, b" ".join(b"a%d=''" % i for i in range(40))),
            "policy-violation",
        ),
        (
            b"<s:stream xmlns:s='%b' %b>" % (STREAMS, b" ".join(b"xmlns:a%d='b'" % i for i in range(40))),
            "policy-violation",
        ),
        (b" " * HEADER_BYTES, "policy-violation"),
        (b"<s:stream xmlns:s='%b' to='a' to='b'>" % STREAMS, "not-well-formed"),
    ],
)
def test_refused_headers(data: bytes, condition: str) -> None:
    parser = StreamParser(LIMITS)
    assert told(parser.feed(data)) == [condition]
    assert parser.ended
    assert parser.feed(HEADER) == []
    assert told(feed_all(StreamParser(LIMITS), (data[i : i + 1] for i in range(len(data))))) == [condition]


def test_header_of_exactly_the_limit() -> None:
    start = b"<s:stream xmlns:s='%b' xmlns='jabber:client' to='" % STREAMS
    header = start + b"x" * (HEADER_BYTES - len(start) - 2) + b"'>"
    assert len(header) == HEADER_BYTES
    assert told(StreamParser(LIMITS).feed(header + b"<r xmlns='u'/>")) == ["StreamOpened", "r"]
    assert told(StreamParser(LIMITS).feed(header.replace(b"xx", b"xxx", 1))) == ["policy-violation"]


def test_a_stanza_in_no_language_stays_one() -> None:
    parser = StreamParser(LIMITS)
    parser.feed(HEADER)
    (stanza,) = parser.feed(b"<message xml:lang=''><body>x</body></message>")
    assert isinstance(stanza, Stanza)
    assert (stanza.lang, stanza.attrs) == ("", (NO_LANG,))
    assert stanza.encode() == b"<message xml:lang=''><body>x</body></message>"


# --- stanzas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "stanza"),
    [
        (b"<presence/>", Stanza("presence", "", "", "", "", "", (), (), b"")),
        (
            b"<iq type='get' id='1' to='b' from='c' xml:lang='de' x='y'><ping xmlns='urn:xmpp:ping'/></iq>",
            Stanza(
                "iq",
                "get",
                "b",
                "c",
                "1",
                "de",
                (("x", "y"),),
                (("urn:xmpp:ping", "ping"),),
                b"<ping xmlns='urn:xmpp:ping'/>",
            ),
        ),
        (
            b"<message><body>a<![CDATA[<b/>&]]>c &#62;]]&gt;&#13;</body></message>",
            Stanza(
                "message",
                "",
                "",
                "",
                "",
                "",
                (),
                ((ns.CLIENT, "body"),),
                b"<body>a&lt;b/&gt;&amp;c &gt;]]&gt;&#13;</body>",
            ),
        ),
        (
            b"<m:message xmlns:m='jabber:client' xmlns='urn:x'><a m:k='\"&#9;'><m:b/></a></m:message>",
            Stanza(
                "message",
                "",
                "",
                "",
                "",
                "",
                (),
                (("urn:x", "a"),),
                b"<a xmlns='urn:x' xmlns:a0='jabber:client' a0:k='&quot;&#9;'><b xmlns='jabber:client'/></a>",
            ),
        ),
        (
            b"<message> <a xmlns=''/>\n<b></b> </message>",
            Stanza(
                "message", "", "", "", "", "", (), (("", "a"), (ns.CLIENT, "b")), b" <a xmlns=''/>\n<b/> "
            ),
        ),
    ],
)
def test_stanzas_become_canonical(data: bytes, stanza: Stanza) -> None:
    assert opened().feed(data) == [stanza]
    parser = opened()
    assert feed_all(parser, (data[i : i + 1] for i in range(len(data)))) == [stanza]


def test_other_first_level_elements_are_trees() -> None:
    data = b"<auth xmlns='urn:sasl' mechanism='PLAIN' xml:lang='en'>AA<![CDATA[==]]></auth><r xmlns='urn:sm'/><x><y xmlns=''>z</y></x>"
    header = HEADER.replace(b"jabber:client", STREAMS)
    assert opened(header=header).feed(data) == [
        Element("urn:sasl", "auth", {"mechanism": "PLAIN", "xml:lang": "en"}, "AA=="),
        Element("urn:sm", "r"),
        Element(STREAMS.decode(), "x", None, Element("", "y", None, "z")),
    ]


def test_stream_error_of_the_peer_is_an_element() -> None:
    (event,) = opened().feed(
        b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    )
    assert isinstance(event, Element)
    assert (event.ns, event.name) == (ns.STREAM, "error")


def test_stanzas_may_declare_the_content_namespace_themselves() -> None:
    parser = opened(header=b"<stream xmlns='http://etherx.jabber.org/streams'>")
    assert told(parser.feed(b"<message xmlns='jabber:client'><body>x</body></message></stream>")) == [
        "message",
        "StreamClosed",
    ]


def test_server_streams_are_translated() -> None:
    parser = opened(header=HEADER.replace(b"jabber:client", b"jabber:server"), content_ns=ns.SERVER)
    (stanza,) = parser.feed(
        b"<message><body>x</body><f xmlns='urn:f'><message xmlns='jabber:client'/></f></message>"
    )
    assert isinstance(stanza, Stanza)
    assert stanza.inner == b"<body>x</body><f xmlns='urn:f'><message xmlns='jabber:client'/></f>"
    assert stanza.payloads == ((ns.CLIENT, "body"), ("urn:f", "f"))


def test_white_space_is_a_keep_alive() -> None:
    assert opened().feed(b" \r\n\t") == []


def test_close_ends_everything() -> None:
    parser = opened()
    assert plain(parser.feed(MESSAGE + b"</stream:stream>\n<junk")) == [
        *opened().feed(MESSAGE),
        StreamClosed(),
    ]
    assert parser.ended
    assert parser.feed(MESSAGE) == []


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (b"<!-- -->", "restricted-xml"),
        (b"<message><!-- --></message>", "restricted-xml"),
        (b"<?pi data?>", "restricted-xml"),
        (b"<message><?pi data?></message>", "restricted-xml"),
        (b"<message>&nbsp;</message>", "restricted-xml"),
        (b"<message to='&nbsp;'/>", "restricted-xml"),
        (b"<?xml version='1.0'?>", "not-well-formed"),
        (b"<!DOCTYPE x>", "not-well-formed"),
        (b"<![CDATA[x]]>", "bad-format"),
        (b"hello", "bad-format"),
        (b"&#65;", "bad-format"),
        (b"\xef\xbb\xbf", "bad-format"),
        (b"\xc2\xa0", "bad-format"),
        (b"<message></iq>", "not-well-formed"),
        (b"<message to=x/>", "not-well-formed"),
        (b"<message>&</message>", "not-well-formed"),
        (b"<message>]]></message>", "not-well-formed"),
        (b"<message to='<'/>", "not-well-formed"),
        (b"<message a='' a=''/>", "not-well-formed"),
        (b"<message xmlns:p='u' xmlns:q='u' p:a='' q:a=''/>", "not-well-formed"),
        (b"<message>\xc0\xbc</message>", "not-well-formed"),
        (b"<message>\x80</message>", "not-well-formed"),
        (b"<message>\xed\xa0\x80</message>", "not-well-formed"),
        (b"<message>\xf4\x90\x80\x80</message>", "not-well-formed"),
        (b"<message>\xf8\x88\x80\x80\x80</message>", "not-well-formed"),
        (b"<message>\xe4</message>", "not-well-formed"),
        (b"<message>\x00</message>", "not-well-formed"),
        (b"<message>\x01</message>", "not-well-formed"),
        (b"<message>\xef\xbf\xbe</message>", "not-well-formed"),
        (b"<message>&#0;</message>", "not-well-formed"),
        (b"<message>&#x1F;</message>", "not-well-formed"),
        (b"<message>&#xD800;</message>", "not-well-formed"),
        (b"<message>&#xFFFE;</message>", "not-well-formed"),
        (b"<p:message/>", "bad-namespace-prefix"),
        (b"<message p:a=''/>", "bad-namespace-prefix"),
        (b"<message xmlns:p=''/>", "bad-namespace-prefix"),
        (b"<message xmlns:xml='u'/>", "bad-namespace-prefix"),
        (b"<message xmlns:xmlns='u'/>", "bad-namespace-prefix"),
        (b"<message xmlns='http://www.w3.org/XML/1998/namespace'/>", "bad-namespace-prefix"),
        (b"<message xmlns='http://www.w3.org/2000/xmlns/'/>", "bad-namespace-prefix"),
        (b"<xml:message/>", "bad-namespace-prefix"),
        (b"<message><xml:lang/></message>", "bad-namespace-prefix"),
        (b"<message xmlns='jabber:client message'/>", "not-well-formed"),
        (b"<message><x xmlns='urn:{}'/></message>", "bad-format"),
        (b"<message><x xmlns='urn:\xc3\xa9'/></message>", "bad-format"),
        (b"<message><x xmlns='urn:%4'/></message>", "bad-format"),
        (b"<message><x xmlns:p='urn:&lt;' p:a=''/></message>", "bad-format"),
        (b"<message xmlns:p='urn:&quot;' p:a=''/>", "bad-format"),
        (b"<message xmlns='jabber:server'/>", "invalid-namespace"),
        (b"<iq xmlns=''/>", "invalid-namespace"),
        (b"<![CDATA[]]>", "bad-format"),
        (b"<message%b/>" % b"".join(b" xmlns:a%d='u'" % n for n in range(4097)), "policy-violation"),
        (b"<foo/>", "unsupported-stanza-type"),
        (b"<Message/>", "unsupported-stanza-type"),
        (HEADER[21:], "bad-format"),
        (b"<message><stream:stream/></message>", "bad-format"),
        (
            b"<message><a xmlns='urn:a'><s:stream xmlns:s='http://etherx.jabber.org/streams'/></a></message>",
            "bad-format",
        ),
        (b"<message><open xmlns='urn:ietf:params:xml:ns:xmpp-framing'/></message>", "bad-format"),
        (b"<message><close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/></message>", "bad-format"),
        (b"<message><x xmlns='http://etherx.jabber.org/streams'/></message>", "bad-format"),
        (b"<message id='%b'/>" % (b"x" * 1024), "policy-violation"),
        (b"<message xml:lang='%b'/>" % (b"x" * 256), "policy-violation"),
    ],
)
def test_refused_and_what_came_before_is_kept(data: bytes, condition: str) -> None:
    parser = opened()
    assert told(parser.feed(MESSAGE + data + MESSAGE)) == ["message", condition]
    assert parser.ended
    pieces = [bytes([byte]) for byte in MESSAGE + data + MESSAGE]
    assert told(feed_all(opened(), pieces)) == ["message", condition]


def test_errors_carry_no_traceback() -> None:
    (error,) = opened().feed(b"<!-- -->")
    assert isinstance(error, StreamError)
    assert error.__traceback__ is None


# --- limits -----------------------------------------------------------------------------------------------------------

SMALL = StreamLimits(bytes=10_000, elements=32, depth=8, attributes=10)


def fill(limit: int, start: bytes, filler: bytes, end: bytes) -> bytes:
    return start + filler * (limit - len(start) - len(end)) + end


SHAPES = {
    "text": lambda name, more: fill(10_000 + more, b"<%b>" % name, b"x", b"</%b>" % name),
    "attribute": lambda name, more: fill(10_000 + more, b"<%b a='" % name, b"x", b"'/>"),
    "tag": lambda name, more: fill(10_000 + more, b"<%b" % name, b" ", b"/>"),
    "end tag": lambda name, more: fill(10_000 + more, b"<%b></%b" % (name, name), b" ", b">"),
    "elements": lambda name, more: b"<%b>%b</%b>" % (name, b"<a/>" * (31 + more), name),
    "depth": lambda name, more: b"<%b>%b%b</%b>" % (name, b"<a>" * (7 + more), b"</a>" * (7 + more), name),
    "attributes": lambda name, more: b"<%b %b/>" % (name, b" ".join(b"a%d=''" % i for i in range(10 + more))),
    "inner": lambda name, more: (
        b"<%b><b %b/></%b>" % (name, b" ".join(b"a%d=''" % i for i in range(10 + more)), name)
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 7, 100, 4096, 100_000])
@pytest.mark.parametrize("name", [b"iq", b"q:nonza"])
def test_limits_are_exact(shape: str, size: int, name: bytes) -> None:
    header = HEADER.replace(b"to=", b"xmlns:q='urn:q' to=")
    word = name.rpartition(b":")[2].decode()
    for more, result in ((0, word), (1, "policy-violation")):
        # White space and whole stanzas before do not count.
        for before in (0, 30):
            data = b"<iq/> \n" * before + SHAPES[shape](name, more)
            chunks = (data[i : i + size] for i in range(0, len(data), size))
            assert told(feed_all(opened(SMALL, header), chunks)) == ["iq"] * before + [result]


def test_unterminated_input_is_refused_at_the_limit() -> None:
    for start in (
        b"<message to='",
        b"<message>",
        b"<message ",
        b"<",
        b"<message><![CDATA[",
        b"<message></message",
    ):
        parser = opened(SMALL)
        fed = 0
        events = parser.feed(start)
        while not events and fed <= 10_000:
            fed += 64
            events = parser.feed(b"a" * 64)
        assert told(events)[-1] in {"policy-violation", "not-well-formed"}
        assert parser.ended


def test_limits_can_be_raised_between_and_within_stanzas() -> None:
    parser = opened(SMALL)
    assert parser.feed(b"<iq>" + b"x" * 9_000) == []
    parser.limits = LIMITS
    assert told(parser.feed(b"x" * 9_000 + b"</iq>")) == ["iq"]
    parser.limits = SMALL
    assert told(parser.feed(b"<iq>" + b"x" * 10_000)) == ["policy-violation"]


def test_lowered_limits_apply_to_what_has_begun() -> None:
    parser = opened(LIMITS)
    assert parser.feed(b"<iq>" + b"x" * 20_000) == []
    parser.limits = SMALL
    assert told(parser.feed(b"x")) == ["policy-violation"]


# --- life cycle of the parser -----------------------------------------------------------------------------------------


def test_hibernation_is_invisible() -> None:
    header = b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:q='urn:&apos;&amp;'>"
    parser = opened(header=header)
    for _ in range(3):
        assert parser.hibernate()
        assert told(parser.feed(b" ")) == []
        assert parser.hibernate()
        (stanza,) = parser.feed(b"<message><q:a/></message>")
        assert isinstance(stanza, Stanza)
        assert stanza.payloads == (("urn:'&", "a"),)
    assert parser.hibernate()
    assert parser.feed(b"</s:stream>") == [StreamClosed()]
    assert not parser.hibernate()


@pytest.mark.parametrize("part", [b"<", b"<message", b"<message>", b"<message><body>x", b"\xe2", b"\r"])
def test_no_hibernation_inside_of_something(part: bytes) -> None:
    parser = opened()
    assert parser.feed(part) == []
    assert not parser.hibernate()


def test_no_hibernation_before_the_header() -> None:
    parser = StreamParser(LIMITS)
    assert not parser.hibernate()
    parser.feed(HEADER[:50])
    assert not parser.hibernate()
    assert told(parser.feed(HEADER[50:])) == ["StreamOpened"]


@pytest.mark.parametrize("size", [1, 3, 50, 1000, 1_000_000])
def test_renewal_bounds_names_and_is_invisible(size: int) -> None:
    data = b"".join(
        b"<message xmlns:p%d='u'><p%d:n%d a%d=''/></message>\n" % (i, i, i, i) for i in range(2500)
    )
    assert len(data) > 2 * RENEW_BYTES
    limits = StreamLimits(10_000, 32, 8, 10, names=100)
    parser = opened(limits)
    names = 0
    events = []
    for i in range(0, len(data), size):
        events += parser.feed(data[i : i + size])
        names = max(names, len(parser._parser.intern))
    assert told(events) == ["message"] * 2500
    assert [event.payloads for event in events if isinstance(event, Stanza)] == [
        (("u", f"n{i}"),) for i in range(2500)
    ]
    assert names < 110


@pytest.mark.parametrize("quote", [b"'", b'"'])
@pytest.mark.parametrize("size", [1, 10, 1000])
def test_long_tags_are_complete_when_they_are(quote: bytes, size: int) -> None:
    value = b"> <"[:1] * 10 + b"\"'".replace(quote, b"") * 3 + b"x" * (3 * HOLD_BYTES) + b">" * 10
    tag = b"<message a=" + quote + value + quote + b" b='2'  >"
    parser = opened()
    assert feed_all(parser, (tag[i : i + size] for i in range(0, len(tag), size))) == []
    # Nothing more is needed than the last byte.
    (stanza,) = parser.feed(b"<body/></message>")
    assert isinstance(stanza, Stanza)
    assert stanza.attrs == (("a", value.decode()), ("b", "2"))


def test_small_pieces_of_text_do_not_pile_up() -> None:
    parser = opened()
    parser.feed(b"<message><body>")
    for _ in range(20_000):
        parser.feed("\N{SNOWMAN}".encode())
    assert len(parser._out) < 1000
    (stanza,) = parser.feed(b"</body></message>")
    assert isinstance(stanza, Stanza)
    (body,) = parse_fragment(stanza.inner)
    assert isinstance(body, Element)
    assert body.text == "\N{SNOWMAN}" * 20_000


def test_close_frees_and_ends() -> None:
    parser = opened()
    parser.close()
    assert parser.ended
    assert parser.feed(MESSAGE) == []


@pytest.mark.parametrize("before", [b"", b" ", b"<iq/>"])
def test_more_names_in_one_tag_than_a_parser_keeps(before: bytes) -> None:
    tag = b"<iq %b/>" % b" ".join(b"a%d=''" % i for i in range(100))
    parser = opened(StreamLimits(10_000, 32, 8, 256, names=10))
    assert told(parser.feed(before + tag + tag + MESSAGE)) == ["iq"] * (2 + before.count(b"<")) + ["message"]
    parser.hibernate()
    assert told(parser.feed(before + tag)) == ["iq"] * (1 + before.count(b"<"))
    parser = opened(StreamLimits(100_000, 32, 8, 16, names=10))
    assert told(parser.feed(b"<iq %b/>" % b" ".join(b"a%d=''" % i for i in range(5000)))) == [
        "policy-violation"
    ]
