"""One body of BOSH: what is inside is what a stream carries, and nothing else may stand there (XEP-0124 section 6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.xmpp.body import NS, BodyParser, Wrapped, empty
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.events import StreamLimits
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import FrameParser
from rookery.shared.xmpp.xml import Element

LIMITS = StreamLimits(5000, 20, 5, 10)
HEAD = f"<body xmlns='{NS}' rid='7' sid='s' xml:lang='en' xmlns:xmpp='urn:xmpp:xbosh' xmpp:restart='true'>"


def parse(document: str | bytes, limits: StreamLimits | None = LIMITS) -> Wrapped:
    return BodyParser(lambda sid: limits).parse(document.encode() if isinstance(document, str) else document)


def test_attributes() -> None:
    assert parse(f"{HEAD}</body>").attrs == {
        "rid": "7", "sid": "s", "xml:lang": "en", "{urn:xmpp:xbosh}restart": "true",
    }  # fmt: skip


@pytest.mark.parametrize("declared", ["", " xmlns='jabber:client'"])
def test_stanzas_with_and_without_their_namespace(declared: str) -> None:
    wrapped = parse(
        f"{HEAD} <message{declared} to='a@b'><body>hi</body><x xmlns='urn:x'/></message>\n</body>"
    )
    (stanza,) = wrapped.events
    assert isinstance(stanza, Stanza)
    assert stanza.payloads == (("jabber:client", "body"), ("urn:x", "x"))
    assert stanza.inner == b"<body>hi</body><x xmlns='urn:x'/>"


def test_a_prefix_of_the_wrapper() -> None:
    wrapped = parse(
        f"<h:body xmlns:h='{NS}' xmlns='jabber:client' rid='1'><presence/><r xmlns='urn:x'/></h:body> "
    )
    assert [type(one) for one in wrapped.events] == [Stanza, Element]


@pytest.mark.parametrize(
    ("document", "condition"),
    [
        ("", "not-well-formed"),
        ("x", "not-well-formed"),
        (HEAD, "not-well-formed"),
        (f"{HEAD}</body", "not-well-formed"),
        (f"{HEAD}<a xmlns='urn:x'></body>", "not-well-formed"),
        (f"{HEAD}</body><body/>", "not-well-formed"),
        (f"{HEAD}</body>x", "not-well-formed"),
        (f"{HEAD}</body><!-- x -->", "restricted-xml"),
        (f"<!-- x -->{HEAD}</body>", "restricted-xml"),
        (f"<!DOCTYPE body>{HEAD}</body>", "restricted-xml"),
        (f"<?x y?>{HEAD}</body>", "restricted-xml"),
        (f"{HEAD}&e;</body>", "restricted-xml"),
        (f"{HEAD}text</body>", "bad-format"),
        (f"{HEAD}<![CDATA[]]></body>", "bad-format"),
        ("<body xmlns='urn:x'/>", "bad-format"),
        (f"<x xmlns='{NS}'/>", "bad-format"),
        (f"<?xml version='1.0' encoding='latin1'?>{HEAD}</body>", "unsupported-encoding"),
        (f"{HEAD}</body>".encode("utf-16"), "unsupported-encoding"),
        (f"<body xmlns='{NS}' " + " ".join(f"a{n}='x'" for n in range(40)) + "/>", "policy-violation"),
        (f"<body xmlns='{NS}' a='{'x' * 5000}'/>", "policy-violation"),
    ],
)
def test_what_is_no_body(document: str | bytes, condition: str) -> None:
    with pytest.raises(StreamError) as refused:
        parse(document)
    assert refused.value.condition == condition


@pytest.mark.parametrize(
    ("inside", "condition"),
    [
        ("<foo/>", "unsupported-stanza-type"),
        ("<message xmlns='jabber:server'/>", "invalid-namespace"),
        (f"<a xmlns='urn:x'>{'x' * 5000}</a>", "policy-violation"),
        (f"<a xmlns='urn:x'>{'<b/>' * 20}</a>", "policy-violation"),
    ],
)
def test_what_only_the_stream_refuses(inside: str, condition: str) -> None:
    events = parse(f"{HEAD}<presence/>{inside}<presence/></body>").events
    assert isinstance(events[0], Stanza)
    assert isinstance(events[-1], StreamError)
    assert events[-1].condition == condition


def test_nothing_inside_is_read_when_nobody_wants_it() -> None:
    wrapped = parse(f"{HEAD}<unfinished", None)
    assert wrapped.attrs["sid"] == "s"
    assert not wrapped.events


def test_a_body_of_many_names_is_read_by_several_parsers() -> None:
    limits = StreamLimits(5000, 20, 5, 10, names=10)
    inside = "".join(f"<a{n} xmlns='urn:x:{n}'/>" for n in range(500))
    assert len(parse(f"{HEAD}{inside}</body>", limits).events) == 500


@given(st.lists(st.sampled_from(["message", "presence", "iq"])), st.text("abc<&'\u20ac", max_size=20))
def test_the_same_events_as_a_websocket(kinds: list[str], text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    stanzas = [
        f"<{kind} xmlns='jabber:client' id='1'><x xmlns='urn:x'>{escaped}</x></{kind}>" for kind in kinds
    ]
    frames = FrameParser(LIMITS)
    wanted = [event for stanza in stanzas for event in frames.feed_message(stanza.encode())]
    assert parse(f"{HEAD}{''.join(stanzas)}</body>").events == wanted


@st.composite
def bare(draw: st.DrawFn) -> bytes:
    """A body with nothing inside, or nearly so."""
    names = draw(
        st.lists(
            st.sampled_from(
                [
                    "rid",
                    "sid",
                    "xml:lang",
                    "xmpp:restart",
                    "xmlns:xmpp",
                    "xmlns",
                    "xmlns:x",
                    "x:y",
                    "xml:id",
                    "to",
                    "a_b",
                    ":",
                    "xml:",
                ]
            ),
            max_size=6,
        )
    )
    values = st.sampled_from(
        ["7", NS, "urn:xmpp:xbosh", "", "a b", "&amp;", "<", ">", "\t", "\n", "é", '"', "'", "]]>", "x" * 600]
    )
    space = st.sampled_from([" ", " ", " ", "", "\n"])
    quote = st.sampled_from(["'", '"'])
    said = f" xmlns='{NS}'" if draw(st.booleans()) else ""
    for name in names:
        mark = draw(quote)
        said += f"{draw(space)}{name}={mark}{draw(values)}{mark}"
    return (
        f"<body{said}{draw(st.sampled_from(['/>', '></body>', ' />', '> </body>', '>', '></bod>']))}".encode()
    )


@given(bare())
def test_what_is_read_without_a_parser_is_what_the_parser_reads(document: bytes) -> None:
    quick = empty(document)
    if quick is None:
        return
    assert quick == parse(document)


def test_a_poll_needs_no_parser() -> None:
    assert empty(f"<body rid='8' sid='s' xmlns='{NS}'/>".encode()) == Wrapped({"rid": "8", "sid": "s"}, [])
    restart = f"{HEAD}</body>".encode()
    assert empty(restart) == parse(restart)
    assert empty(f"{HEAD}<presence/></body>".encode()) is None
