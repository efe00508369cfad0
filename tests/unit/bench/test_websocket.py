"""Frames, against wsproto's own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import Ping, TextMessage

from rookery.bench.driver.websocket import frame, frames

SIZES = st.sampled_from([0, 1, 3, 125, 126, 127, 65_535, 65_536])


@settings(deadline=None)
@given(SIZES, st.binary(min_size=4, max_size=4))
def test_what_is_sent_is_read_by_another(size: int, key: bytes) -> None:
    server = Connection(ConnectionType.SERVER)
    server.receive_data(frame(1, b"x" * size, key))
    assert [event.data for event in server.events() if isinstance(event, TextMessage)] == ["x" * size]


@settings(deadline=None)
@given(st.lists(SIZES, max_size=3), st.data())
def test_what_another_sends_is_read_whatever_the_chunks(sizes: list[int], data: st.DataObject) -> None:
    server = Connection(ConnectionType.SERVER)
    stream = b"".join(server.send(TextMessage("y" * size)) for size in sizes) + server.send(Ping(b"p"))
    cut = data.draw(st.integers(0, len(stream)))
    found, rest = frames(stream[:cut])
    more, rest = frames(rest + stream[cut:])
    assert rest == b""
    assert [len(payload) for opcode, payload in found + more if opcode == 1] == sizes
    assert (found + more)[-1] == (9, b"p")


def test_a_masked_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="masked"):
        frames(frame(1, b"x", b"abcd"))
