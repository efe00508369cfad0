from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.net.hello import MAX_HELLO, missing, offered


def hello(alpn: list[str] | None, host: str | None = "example.org") -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(alpn)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("alpn", [["xmpp-client"], ["h2", "http/1.1"], ["xmpp-client", "h2"]])
@pytest.mark.parametrize("host", ["example.org", None])
def test_names_of_a_real_hello(alpn: list[str], host: str | None) -> None:
    assert offered(hello(alpn, host)) == [name.encode() for name in alpn]


def test_a_hello_without_alpn() -> None:
    assert offered(hello(None)) is None


def test_how_much_is_missing() -> None:
    data = hello(["xmpp-client"])
    assert missing(data) == 0
    for size in range(5):
        assert missing(data[:size]) == 5
    for size in range(5, len(data)):
        assert missing(data[:size]) == len(data)
    assert missing(b"\x16\x03\x01\xff\xff") == MAX_HELLO
    assert missing(b"GET / HTTP/1.1") == 0


@given(st.binary(max_size=200))
def test_no_bytes_raise(data: bytes) -> None:
    offered(b"\x16\x03\x01\x00\xff\x01" + data)
    offered(data or b"x")
    missing(data)


@given(st.data())
def test_no_damaged_hello_raises(data: st.DataObject) -> None:
    raw = bytearray(hello(["xmpp-client"]))
    for _ in range(5):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    offered(bytes(raw))
