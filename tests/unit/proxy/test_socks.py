"""SOCKS5 as XEP-0065 uses it: the one request that is taken, in any pieces, and what is refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.workers.proxy.socks import MAX_BYTES, Negotiation, Step, reply

HASH = "a" * 40
GREETING = b"\x05\x01\x00"
REQUEST = b"\x05\x01\x00\x03\x28" + HASH.encode() + b"\0\0"


def test_the_usual_exchange() -> None:
    one = Negotiation()
    assert one.feed(GREETING) == Step(b"\x05\x00")
    assert one.feed(REQUEST) == Step(stream=HASH)
    assert reply(0, HASH) == b"\x05\x00\x00\x03\x28" + HASH.encode() + b"\0\0"


@given(st.lists(st.integers(1, len(GREETING + REQUEST) - 1), max_size=10))
def test_in_any_pieces(cuts: list[int]) -> None:
    one, data = Negotiation(), GREETING + REQUEST
    edges = [0, *sorted(set(cuts)), len(data)]
    steps = [one.feed(data[a:b]) for a, b in itertools.pairwise(edges)]
    assert b"".join(step.out for step in steps) == b"\x05\x00"
    assert [step.stream for step in steps if step.stream] == [HASH]
    assert not any(step.over for step in steps)


@pytest.mark.parametrize(
    ("data", "out"),
    [
        (b"\x04\x01", b""),
        (b"GET / HTTP/1.1", b""),
        (b"\x05\x01\x02", b"\x05\xff"),
        (GREETING + b"\x04\x01\x00\x03\x28", b"\x05\x00"),
        (GREETING + b"\x05\x02\x00\x03\x28", b"\x05\x00" + reply(7)),
        (GREETING + b"\x05\x01\x00\x01\x7f\0\0\x01\0\0", b"\x05\x00" + reply(8)),
        (GREETING + REQUEST[:-2] + b"\0\x50", b"\x05\x00" + reply(1)),
        (GREETING + REQUEST + b"x", b"\x05\x00" + reply(1)),
        (GREETING + b"\x05\x01\x00\x03\x03abc\0\0", b"\x05\x00" + reply(1)),
        (GREETING + b"\x05\x01\x00\x03\x28" + b"g" * 40 + b"\0\0", b"\x05\x00" + reply(1)),
    ],
)
def test_what_is_refused(data: bytes, out: bytes) -> None:
    step = Negotiation().feed(data)
    assert (step.out, step.stream, step.over) == (out, "", True)


@given(st.binary(max_size=MAX_BYTES))
def test_anything_is_answered_without_a_mistake(data: bytes) -> None:
    step = Negotiation().feed(data)
    assert not (step.stream and step.over)
