"""The NATS protocol reader and what goes into CONNECT, held against nats-py's parser."""

from __future__ import annotations

import base64
import binascii

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.bus.wire import (
    MAX_LINE,
    Control,
    Message,
    ProtocolError,
    Reader,
    Server,
    connect_line,
    credentials,
    parse_urls,
    sign_nonce,
)

STREAM = (
    b'INFO {"server_id":"x","max_payload":1048576}\r\n'
    b"PING\r\n"
    b"MSG p.node.a 1 5\r\nhello\r\n"
    b"MSG p.ctl 2 reply.to 4\r\n\r\n\r\n\r\n"
    b"MSG p.node.a 1 0\r\n\r\n"
    b"PONG\r\n"
    b"-ERR 'Permissions Violation'\r\n"
    b"+OK\r\n"
)
EVENTS = [
    Control("INFO", b'{"server_id":"x","max_payload":1048576}'),
    Control("PING", b""),
    Message(1, b"hello"),
    Message(2, b"\r\n\r\n"),
    Message(1, b""),
    Control("PONG", b""),
    Control("-ERR", b"'Permissions Violation'"),
    Control("+OK", b""),
]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_any_chunking_gives_the_same_events(sizes: list[int]) -> None:
    reader, at, got = Reader(), 0, []
    for size in sizes:
        got += reader.feed(STREAM[at : at + size])
        at += size
    got += reader.feed(STREAM[at:])
    assert got == EVENTS


class _Oracle:
    """What nats-py's parser calls."""

    def __init__(self) -> None:
        self.events: list[Message | Control] = []

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, payload: bytes, header: object
    ) -> None:
        self.events.append(Message(sid, payload))

    async def _process_ping(self) -> None:
        self.events.append(Control("PING", b""))

    async def _process_pong(self) -> None:
        self.events.append(Control("PONG", b""))

    async def _process_err(self, text: str) -> None:
        self.events.append(Control("-ERR", text.encode()))

    async def _process_info(self, info: dict[str, object]) -> None:
        self.events.append(Control("INFO", b""))


@given(st.lists(st.tuples(st.integers(1, 99), st.binary(max_size=40)), max_size=20), st.integers(1, 50))
def test_messages_are_those_that_nats_py_reads(messages: list[tuple[int, bytes]], size: int) -> None:
    from nats.protocol.parser import Parser

    stream = (
        b"".join(b"MSG p.node.a %d %d\r\n%b\r\n" % (sid, len(data), data) for sid, data in messages)
        + b"PONG\r\n"
    )
    oracle = _Oracle()
    parser = Parser(oracle)
    reader = Reader()
    got: list[Message | Control] = []

    async def feed() -> None:
        for at in range(0, len(stream), size):
            await parser.parse(stream[at : at + size])

    trio.run(feed)
    for at in range(0, len(stream), size):
        got += reader.feed(stream[at : at + size])
    assert got == oracle.events


@pytest.mark.parametrize(
    "data",
    [
        b"HELLO\r\n",
        b"MSG a 1\r\n",
        b"MSG a b c d 1\r\n",
        b"MSG a x 1\r\n",
        b"MSG a 1 -1\r\n",
        "MSG a 1 ١\r\n".encode(),
        b"MSG a 1 1_0\r\n",
        b"MSG a 1 99999999999\r\n",
        b"MSG a 1 2\r\nhello\r\n",
        b"x" * (MAX_LINE + 1),
        b"HMSG a 1 12 12\r\n",
    ],
)
def test_what_is_not_the_protocol_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Reader().feed(data)


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("nats://127.0.0.1:4222", [Server("127.0.0.1", 4222, False, "", "")]),
        ("tls://u:p%40ss@n.example", [Server("n.example", 4222, True, "u", "p@ss")]),
        ("nats://tok@[::1]:1, b:2", [Server("::1", 1, False, "tok", ""), Server("b", 2, False, "", "")]),
    ],
)
def test_urls(url: str, servers: list[Server]) -> None:
    assert parse_urls(url) == servers


@pytest.mark.parametrize(
    "url", ["", " , ", "http://x", "nats://", "nats://u:secret@:4222", "nats://x:99999", "nats://x:a"]
)
def test_bad_urls_are_refused_without_telling_secrets(url: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_urls(url)
    assert "secret" not in str(raised.value)


def test_connect_line_cannot_be_broken_by_its_values() -> None:
    line = connect_line({"user": "a\r\nPUB x 1\r\n"})
    assert line.count(b"\r\n") == 1


def _seed(key: bytes) -> str:
    raw = bytes((0x90 | (20 << 3) >> 5, ((20 << 3) & 31) << 3)) + key
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def test_nonce_is_signed_with_the_seed() -> None:
    key = bytes(range(32))
    seed = _seed(key)
    assert seed.startswith("SU")
    public, signature = sign_nonce(seed, "nonce")
    raw = base64.b32decode(public + "=" * (-len(public) % 8))
    expected = (
        Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    )
    assert public.startswith("U")
    assert raw[1:33] == expected
    Ed25519PublicKey.from_public_bytes(raw[1:33]).verify(base64.urlsafe_b64decode(signature + "=="), b"nonce")
    assert credentials(f"# comment\n{seed}\n") == (seed, "")
    creds = (
        f"-----BEGIN NATS USER JWT-----\nabc.def\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
    assert credentials(creds) == (seed, "abc.def")


@pytest.mark.parametrize("seed", ["SU!", _seed(bytes(32))[:-4] + "AAAA", ""])
def test_damaged_seed_is_refused(seed: str) -> None:
    with pytest.raises(ValueError):
        sign_nonce(seed, "n")
    with pytest.raises(ValueError):
        credentials("nothing")
