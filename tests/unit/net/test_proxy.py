from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.net.proxy import SIGNATURE, ProxyError, ProxyReader, encode


def read(data: bytes, chunk: int = 4096) -> tuple[ProxyReader, bytes]:
    """Feed as the shell does: never more than the reader needs."""
    reader = ProxyReader()
    while not reader.done:
        size = min(reader.need, chunk)
        piece, data = data[:size], data[size:]
        if not piece:
            raise EOFError
        reader.feed(piece)
    return reader, data


@pytest.mark.parametrize("chunk", [1, 3, 16, 4096])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        (("192.0.2.7", 40000), ("198.51.100.1", 5222)),
        (("2001:db8::7", 1), ("2001:db8::1", 65535)),
    ],
)
def test_the_client_is_named_and_its_own_bytes_are_left(
    source: tuple[str, int], target: tuple[str, int], chunk: int
) -> None:
    reader, rest = read(encode(source, target) + b"<stream", chunk)
    assert reader.source == source
    assert rest == b"<stream"


def test_type_length_values_after_the_addresses_are_skipped() -> None:
    head = bytearray(encode(("192.0.2.7", 40000), ("198.51.100.1", 5222)))
    extra = b"\x03\x00\x04abcd"
    struct.pack_into("!H", head, 14, 12 + len(extra))
    reader, rest = read(bytes(head) + extra + b"x")
    assert reader.source == ("192.0.2.7", 40000)
    assert rest == b"x"


@pytest.mark.parametrize("body", [b"", b"\x00" * 12])
def test_local_names_nobody(body: bytes) -> None:
    reader, _ = read(SIGNATURE + struct.pack("!BBH", 0x20, 0, len(body)) + body)
    assert reader.source is None


BAD = {
    "version 1": b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
    "a stream header": b"<?xml version='1.0'?><stream:stream",
    "version 3": SIGNATURE + struct.pack("!BBH", 0x31, 0x11, 12),
    "command 2": SIGNATURE + struct.pack("!BBH", 0x22, 0x11, 12),
    "udp": SIGNATURE + struct.pack("!BBH", 0x21, 0x12, 12),
    "unix": SIGNATURE + struct.pack("!BBH", 0x21, 0x31, 216),
    "short addresses": SIGNATURE + struct.pack("!BBH", 0x21, 0x21, 35),
    "too long": SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 2000),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("chunk", [1, 4096])
def test_everything_else_is_refused(data: bytes, chunk: int) -> None:
    with pytest.raises(ProxyError):
        read(data, chunk)


def test_bytes_that_were_not_asked_for_are_refused() -> None:
    reader = ProxyReader()
    with pytest.raises(ProxyError):
        reader.feed(SIGNATURE + b"\x21\x11\x00\x0c" + b"\x00")


@given(st.binary(max_size=80), st.integers(1, 20))
def test_any_bytes_end_in_a_header_or_an_error(data: bytes, chunk: int) -> None:
    try:
        reader, _ = read(data, chunk)
    except (ProxyError, EOFError):
        return
    assert reader.done


@given(st.ip_addresses(v=4), st.integers(0, 65535), st.integers(1, 40))
def test_round_trip(host: object, port: int, chunk: int) -> None:
    reader, rest = read(encode((str(host), port), ("127.0.0.1", 5222)), chunk)
    assert reader.source == (str(host), port)
    assert rest == b""
