"""XML and framing (catalogue A01 to A24): RFC 6120 sections 4.9.3, 11 and 13.12."""

from __future__ import annotations

import time

import pytest
import trio
from tests.cluster.people import People, condition, exchange, header, refused
from tests.stories.client import Client, Mode

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

RESTRICTED = {"restricted-xml"}
MALFORMED = {"not-well-formed", "bad-format", "invalid-xml"}
ENCODING = {"bad-format", "unsupported-encoding", "not-well-formed"}
NAMESPACE = {"invalid-namespace", "unsupported-stanza-type", "bad-namespace-prefix"}
POLICY = {"policy-violation"}

#: (row, bytes on an open stream, allowed conditions)
STREAM_ROWS = [
    ("A01-comment", b"<!-- hello -->", RESTRICTED),
    ("A01-comment-inside", b"<message><body><!-- hello --></body></message>", RESTRICTED),
    ("A01-instruction", b"<?php x?>", RESTRICTED),
    ("A01-entity", b"<message><body>&hello;</body></message>", RESTRICTED | {"not-well-formed"}),
    ("A02-doctype", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", RESTRICTED | {"not-well-formed"}),
    ("A04-mismatch", b"<message></presence>", {"not-well-formed"}),
    ("A04-attribute", b"<message a=1/>", {"not-well-formed"}),
    ("A04-ampersand", b"<message><body>a & b</body></message>", {"not-well-formed"}),
    ("A04-twice", b"<message a='1' a='2'/>", {"not-well-formed"}),
    ("A05-overlong", b"<message><body>\xc0\xbc</body></message>", ENCODING),
    ("A05-overlong-3", b"<message><body>\xe0\x80\xbc</body></message>", ENCODING),
    ("A05-continuation", b"<message><body>\x80</body></message>", ENCODING),
    ("A05-surrogate", b"<message><body>\xed\xa0\x80</body></message>", ENCODING),
    ("A05-too-high", b"<message><body>\xf4\x90\x80\x80</body></message>", ENCODING),
    ("A05-five-bytes", b"<message><body>\xf8\x88\x80\x80\x80</body></message>", ENCODING),
    ("A05-latin-1", b"<message><body>caf\xe9</body></message>", ENCODING),
    ("A06-nul", b"<message><body>\x00</body></message>", MALFORMED),
    ("A06-control", b"<message><body>\x01</body></message>", MALFORMED),
    ("A06-escape", b"<message><body>\x1b</body></message>", MALFORMED),
    ("A06-reference-nul", b"<message><body>&#0;</body></message>", MALFORMED),
    ("A06-reference-control", b"<message><body>&#x1f;</body></message>", MALFORMED),
    ("A06-reference-ffff", b"<message><body>&#xffff;</body></message>", MALFORMED),
    ("A06-ffff", b"<message><body>\xef\xbf\xbf</body></message>", MALFORMED),
    ("A07-nested", b"<message><stream:stream/></message>", MALFORMED | NAMESPACE | RESTRICTED),
    ("A07-second", b"<stream:stream to='localhost'/>", MALFORMED | NAMESPACE),
    ("A08-separator", b"<message xmlns='jabber:client message'/>", NAMESPACE | MALFORMED),
    ("A08-none", b"<message xmlns=''/>", NAMESPACE),
    ("A08-server", b"<message xmlns='jabber:server'/>", NAMESPACE),
    ("A08-xml", b"<message xmlns:xml='urn:x'/>", MALFORMED | NAMESPACE),
    ("A09-prefix", b"<foo:message/>", {"not-well-formed", "bad-namespace-prefix"}),
    ("A09-attribute-prefix", b"<message foo:a='1'/>", {"not-well-formed", "bad-namespace-prefix"}),
    ("A10-text", b"hello", MALFORMED),
    ("A10-bom", b"\xef\xbb\xbf<presence/>", MALFORMED),
    ("A10-declaration", b"<?xml version='1.0'?>", MALFORMED | RESTRICTED),
]
BOUND_ROWS = [
    ("A11-client", b"<foo/>", {"unsupported-stanza-type"}),
    ("A11-foreign", b"<foo xmlns='urn:x'/>", {"unsupported-stanza-type"}),
    ("A12-one-more", b"<message><body>%s</body></message>" % (b"x" * 262_144), POLICY),
    ("A13-text", b"<message><body>" + b"x" * 1_000_000, POLICY),
    ("A13-attribute", b"<message a='" + b"x" * 1_000_000, POLICY),
    ("A13-name", b"<" + b"x" * 1_000_000, POLICY | NAMESPACE),
    ("A17-depth", b"<message>" + b"<a>" * 70, POLICY),
    ("A17-deep", b"<message>" + b"<a>" * 10_000, POLICY),
    ("A18-attributes", b"<message" + b"".join(b" a%d=''" % n for n in range(300)) + b"/>", POLICY),
    (
        "A18-namespaces",
        b"<message" + b"".join(b" xmlns:a%d='urn:%d'" % (n, n) for n in range(10_000)) + b"/>",
        POLICY,
    ),
    ("A19-children", b"<message>" + b"<a/>" * 5_000 + b"</message>", POLICY),
    ("A19-many-children", b"<message>" + b"<a/>" * 60_000 + b"</message>", POLICY),
]
PREAUTH_ROWS = [
    (
        "A11-unknown",
        b"<foo xmlns='urn:x'/>",
        {"unsupported-stanza-type", "not-authorized", "policy-violation"},
    ),
    (
        "A14-bytes",
        b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + b"A" * 10_001,
        POLICY,
    ),
    ("A14-elements", b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + b"<a/>" * 33, POLICY),
    ("A14-depth", b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + b"<a>" * 9, POLICY),
]


def _ids(rows: list[tuple[str, bytes, set[str]]]) -> list[str]:
    return [row[0] for row in rows]


@pytest.mark.parametrize("state", ["plain", "starttls", "bound"])
@pytest.mark.parametrize(("row", "data", "allowed"), STREAM_ROWS, ids=_ids(STREAM_ROWS))
async def test_stream(people: People, state: str, row: str, data: bytes, allowed: set[str]) -> None:
    mode: Mode = "plain" if state == "plain" else "starttls"
    client = await people.bound() if state == "bound" else await people.stream(mode)
    await client.send_raw(data)
    assert await refused(client) in allowed


@pytest.mark.parametrize(
    "row", ["A01-comment-inside", "A05-overlong", "A06-nul", "A08-server", "A10-text", "A07-second"]
)
async def test_websocket(people: People, row: str) -> None:
    data = next(bytes_ for name, bytes_, _ in STREAM_ROWS if name == row)
    client = await people.bound(mode="websocket")
    await client.send_raw(
        data.decode("latin-1") if row != "A05-overlong" else "<message><body>\u00c0&#xd800;</body></message>"
    )
    assert await refused(client) in MALFORMED | RESTRICTED | NAMESPACE


@pytest.mark.parametrize(("row", "data", "allowed"), BOUND_ROWS, ids=_ids(BOUND_ROWS))
async def test_bound(people: People, row: str, data: bytes, allowed: set[str]) -> None:
    client = await people.bound()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send, client, data)
        assert await refused(client) in allowed
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("mode", ["plain", "starttls", "tls"])
@pytest.mark.parametrize(("row", "data", "allowed"), PREAUTH_ROWS, ids=_ids(PREAUTH_ROWS))
async def test_before_authentication(
    people: People, mode: Mode, row: str, data: bytes, allowed: set[str]
) -> None:
    client = await people.stream(mode)
    await client.send_raw(data)
    assert await refused(client) in allowed


async def _send(client: Client, data: bytes) -> None:
    for start in range(0, len(data), 16_384):
        await client.send_raw(data[start : start + 16_384])


_NS = "jabber:client"
#: (row, first bytes of a connection, allowed conditions; "" is a close without a word)
HEADER_ROWS = [
    (
        "A02-billion-laughs",
        b"<?xml version='1.0'?><!DOCTYPE s [<!ENTITY a 'aaaaaaaaaa'>"
        + b"".join(
            b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10 if n else b"&a;" * 10) for n in range(9)
        )
        + b"]>"
        + header()[21:],
        RESTRICTED,
    ),
    (
        "A02-external",
        b"<?xml version='1.0'?><!DOCTYPE s SYSTEM 'file:///etc/passwd'>" + header()[21:],
        RESTRICTED,
    ),
    ("A22-utf-16", header().decode().encode("utf-16"), ENCODING | {""}),
    ("A22-utf-32", header().decode().encode("utf-32"), ENCODING | {""}),
    ("A22-latin-1", header().replace(b"'1.0'?", b"'1.0' encoding='ISO-8859-1'?"), ENCODING),
    (
        "A22-xml-1.1",
        header().replace(b"xml version='1.0'", b"xml version='1.1'"),
        ENCODING | MALFORMED | {"unsupported-version"},
    ),
    ("A23-content-namespace", header(xmlns="jabber:server"), NAMESPACE),
    ("A23-stream-namespace", header(**{"xmlns:stream": "urn:x"}), NAMESPACE | MALFORMED),
    ("A23-no-version", header(version=""), {"unsupported-version"}),
    ("A23-version", header(version="0.9"), {"unsupported-version"}),
    ("A23-no-to", header(to=""), {"host-unknown", "improper-addressing"}),
    ("A23-unknown-to", header(to="unknown.example"), {"host-unknown"}),
    ("A23-address", header(to="192.0.2.1"), {"host-unknown", "improper-addressing"}),
    ("A23-malformed-to", header(to="a b"), {"host-unknown", "improper-addressing"}),
    ("A23-twice", header() + header()[21:], MALFORMED | NAMESPACE),
    ("A24-http", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", MALFORMED | {""}),
    ("A24-tls", bytes.fromhex("16030100c8010000c403036f6f") + bytes(180), MALFORMED | ENCODING | {""}),
    ("A24-ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n", MALFORMED | {""}),
    ("A24-random", bytes(range(128, 256)) * 4, MALFORMED | ENCODING | {""}),
]


@pytest.mark.parametrize(("row", "data", "allowed"), HEADER_ROWS, ids=_ids(HEADER_ROWS))
async def test_header(people: People, row: str, data: bytes, allowed: set[str]) -> None:
    received = await exchange(people.cluster.endpoint(0, "plain"), data)
    assert condition(received) in allowed
    if condition(received):
        assert received.startswith((b"<?xml", b"<stream:stream"))  # RFC 6120 section 4.9.1.2


async def test_a03_cdata_is_text(people: People) -> None:
    one, other = await people.bound(), await people.bound()
    await one.send_raw(f"<message to='{other.jid}'><body><![CDATA[<b/> & ]]></body></message>")
    got = await other.receive()
    body = got.find("{jabber:client}body")
    assert body is not None
    assert body.text == "<b/> & "
    assert len(body) == 0


async def test_a04_what_came_before_is_delivered(people: People) -> None:
    one, other = await people.bound(), await people.bound()
    await one.send_raw(f"<message to='{other.jid}' id='m1'><body>first</body></message><message></presence>")
    assert await refused(one) == "not-well-formed"
    assert (await other.receive()).get("id") == "m1"


async def test_a05_a_valid_sequence_may_be_split(people: People) -> None:
    one, other = await people.bound(), await people.bound()
    text = "ěščř ☃ 𝄞"
    data = f"<message to='{other.jid}'><body>{text}</body></message>".encode()
    for byte in data:
        await one.send_raw(bytes([byte]))
    body = (await other.receive()).find("{jabber:client}body")
    assert body is not None
    assert body.text == text


@pytest.mark.parametrize("vector", [b"\xc0\xbc", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x98"], ids=repr)
async def test_a05_the_receiver_sees_nothing_of_it(people: People, vector: bytes) -> None:
    other = await people.bound()
    head = f"<message to='{other.jid}'><body>".encode()
    data = head + vector + b"</body></message>"
    for split in range(len(head), len(head) + len(vector) + 1):
        one = await people.bound()
        await one.send_raw(data[:split])
        await one.send_raw(data[split:])
        assert await refused(one) in ENCODING
    assert (await other.ping()).get("type") == "result"
    assert not other.inbox


async def test_a12_the_limit_itself_is_allowed(people: People) -> None:
    one, other = await people.bound(), await people.bound()
    frame = f"<message to='{other.jid}'><body></body></message>"
    await one.send_raw(frame.replace("></body", ">" + "x" * (262_144 - len(frame)) + "</body"))
    body = (await other.receive()).find("{jabber:client}body")
    assert body is not None
    assert len(body.text or "") == 262_144 - len(frame)


async def test_a20_long_attributes_are_not_echoed(people: People) -> None:
    client = await people.bound()
    await client.send_raw(f"<iq type='get' id='{'i' * 65_536}'><ping xmlns='urn:xmpp:ping'/></iq>")
    try:
        answer = await client.receive()
    except Exception:
        answer = None
    if answer is None or client.error is not None:
        assert await refused(client) in POLICY | {"bad-format"}
    else:
        assert answer.get("type") == "error"
        assert len(answer.get("id", "")) <= 1024


async def test_a21_one_byte_segments_and_many_stanzas_in_one(people: People) -> None:
    one, other = await people.bound(), await people.bound()
    body = "x" * 2000
    for byte in f"<message to='{other.jid}' id='slow'><body>{body}</body></message>".encode():
        await one.send_raw(bytes([byte]))
    assert (await other.receive()).get("id") == "slow"
    began = time.monotonic()
    await one.send_raw(
        "".join(f"<message to='{other.jid}' id='{n}'><body>x</body></message>" for n in range(1000))
    )
    assert [(await other.receive()).get("id") for _ in range(1000)] == [str(n) for n in range(1000)]
    assert time.monotonic() - began < 10
