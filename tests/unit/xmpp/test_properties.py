"""Properties: one canonical form whoever writes it, round trips, and events that do not depend on how bytes arrive."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import many
from tests.unit.xmpp import streams
from tests.unit.xmpp.streams import HEADER, LIMITS, MESSAGE, feed_all, opened
from tests.unit.xmpp.trees import CHARS, KEYS, chunked, elements, write_otherwise

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.parse import parse_element, parse_fragment
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event, FrameParser, StreamLimits, StreamParser
from rookery.shared.xmpp.xml import Element

pytestmark = pytest.mark.slow

CUTS = st.lists(st.integers(0, 10_000), max_size=12)


@settings(max_examples=many(300))
@given(tree=elements())
def test_canonical_xml_parses_to_the_same_tree(tree: Element) -> None:
    data = tree.encode()
    assert parse_element(data) == tree
    assert parse_element(data).encode() == data


@settings(max_examples=many(300))
@given(trees=st.lists(elements(), max_size=3), style=st.integers(0, 2), cuts=CUTS)
def test_both_writers_agree(trees: list[Element], style: int, cuts: list[int]) -> None:
    inner = "".join(write_otherwise(tree, style) for tree in trees)
    data = f"<message>{inner}</message>".encode()
    (stanza,) = feed_all(opened(), chunked(data, cuts))
    assert isinstance(stanza, Stanza)
    assert stanza.inner == b"".join(tree.encode() for tree in trees)
    assert stanza.payloads == tuple((tree.ns, tree.name) for tree in trees)
    assert stanza.elements() == trees


@settings(max_examples=many(200))
@given(tree=elements(), style=st.integers(0, 2), cuts=CUTS)
def test_nonzas_are_the_tree(tree: Element, style: int, cuts: list[int]) -> None:
    tree.ns = "urn:nonza"
    data = write_otherwise(tree, style).encode()
    assert feed_all(opened(), chunked(data, cuts)) == [tree]
    assert FrameParser(LIMITS).feed_message(data) == [tree]


PIECES = st.sampled_from(
    [
        b"<message to='a'>",
        b"<iq/>",
        b"<presence />",
        b"</message>",
        b"<body>",
        b"</body>",
        b"text",
        b" \r\n",
        b"<r xmlns='urn:sm'/>",
        b"<a xmlns:p='u' p:b=\"c>'\">",
        b"</a>",
        b"<![CDATA[",
        b"]]>",
        b"&lt;",
        b"&#10;",
        b"&",
        b"<!--",
        b"-->",
        b"<?x?>",
        b"\xc3\xa9",
        b"\xf0\x9f\xa6\x8a",
        b"\x80",
        b"\xef\xbb\xbf",
        b"</stream:stream>",
        b"<stream:stream>",
        b"<",
        b">",
        b"'",
        b"x" * 200,
        b"<iq " + b" " * 200 + b"/>",
        HEADER,
        MESSAGE,
    ]
)


@settings(max_examples=many(500))
@given(pieces=st.lists(PIECES, max_size=12), cuts=CUTS, limit=st.sampled_from([60, 300, 2000]))
def test_events_do_not_depend_on_chunks(pieces: list[bytes], cuts: list[int], limit: int) -> None:
    limits = StreamLimits(limit, 6, 3, 2, names=12)
    data = b"".join(pieces)

    def limited() -> StreamParser:
        parser = opened()
        parser.limits = limits
        return parser

    def plain(events: Sequence[Event]) -> list[object]:
        # Where stray text is followed by what is not well-formed, expat tells what it sees first.
        return ["bad-format" if event == "not-well-formed" else event for event in streams.plain(events)]

    whole = plain(limited().feed(data))
    assert plain(feed_all(limited(), chunked(data, cuts))) == whole
    assert plain(feed_all(limited(), (data[i : i + 1] for i in range(len(data))))) == whole

    def sleepy() -> list[object]:
        parser = limited()
        events = []
        for chunk in chunked(data, cuts):
            events += parser.feed(chunk)
            parser.hibernate()
        return plain(events)

    assert sleepy() == whole


@settings(max_examples=many(200))
@given(
    fields=st.tuples(*[st.text(CHARS, max_size=20)] * 4),
    attrs=st.dictionaries(
        KEYS.filter(lambda key: key not in {"to", "from", "type", "id", "xml:lang"}),
        st.text(CHARS, max_size=8),
        max_size=3,
    ),
    trees=st.lists(elements(1), max_size=2),
    kind=st.sampled_from(["message", "presence", "iq"]),
)
def test_encoded_stanzas_read_back_the_same(
    fields: tuple[str, str, str, str], attrs: dict[str, str], trees: list[Element], kind: str
) -> None:
    type_, to, from_, id_ = fields
    stanza = Stanza.build(kind, *trees, type=type_, to=to, from_=from_, id=id_, lang="de").replace(
        attrs=tuple(attrs.items())
    )
    assert opened().feed(stanza.encode()) == [stanza]
    assert FrameParser(LIMITS).feed_message(stanza.encode(ns.CLIENT)) == [stanza]


@given(trees=st.lists(elements(1), max_size=3))
def test_fragments_keep_their_order(trees: list[Element]) -> None:
    assert parse_fragment(b"".join(tree.encode() for tree in trees)) == trees
