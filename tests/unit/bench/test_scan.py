"""The scanner: stanzas are found whole, whatever the chunks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rookery.bench.driver.scan import MARK_FORMAT, cut, error_condition, split
from rookery.bench.plan import MARK_BYTES

MARK = MARK_FORMAT % (5, 77, 123456789)
ELEMENTS = [
    b"<?xml version='1.0'?>",
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='x>y'>",
    b"<stream:features><bind xmlns='b'/><sm xmlns=\"s\"/></stream:features>",
    b"<message from='a@b/c' type='chat'><body>" + MARK + b"xx</body></message>",
    b"<message><result xmlns='m'><forwarded><message><body>1 &lt; 2 / 3</body></message></forwarded></result></message>",
    b"<presence/>",
    b'<presence from="it\'s/a>b"><status>x</status></presence>',
    b"<iq type='result' id='1'/>",
    b"<iq type='result' id='1'><query xmlns='q'><item jid='a/b'/></query></iq>",
    b"<r xmlns='urn:xmpp:sm:3'/>",
    b"</stream:stream>",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(ELEMENTS), max_size=8), st.data())
def test_any_chunking_gives_the_same_elements(elements: list[bytes], data: st.DataObject) -> None:
    stream = b"\n".join(elements)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    found: list[bytes] = []
    tail = b""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        whole, tail = split(tail + stream[begin:end])
        found += whole
    assert found == elements
    assert tail == b""


def test_a_mark_has_its_size() -> None:
    assert len(MARK) == MARK_BYTES


def message(number: int) -> bytes:
    return b"<message id='m'><body>" + MARK_FORMAT % (1, number, 2) + b"</body></message>"


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(0, 60))
def test_a_run_of_messages_is_cut_at_its_last_end(count: int, more: int) -> None:
    whole, rest = b"".join(message(number) for number in range(count)), message(9)[:more]
    marks, left = cut(whole + rest, b"<message", b"</message>")
    assert [int(sequence, 16) for _, sequence, _ in marks] == list(range(count))
    assert left == rest


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<message><body>" + MARK,
        b"<presence/>" + message(1),
        ELEMENTS[4],
        message(1) + b"<message><body>no mark</body></message>",
    ],
)
def test_what_is_not_simple_is_left_alone(data: bytes) -> None:
    assert cut(data, b"<message", b"</message>") == ([], data)


def test_error_conditions() -> None:
    error = b"<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    assert error_condition(b"<iq type='error'>" + error + b"</iq>") == "resource-constraint"
    assert error_condition(b"<iq type='error'/>") == "undefined-condition"
