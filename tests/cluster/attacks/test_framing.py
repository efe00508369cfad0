"""XML and framing: RFC 6120 sections 4.9.3, 11 and 13.12."""

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
    ("comment", b"<!-- hello -->", RESTRICTED),
    ("comment-inside", b"<message><body><!-- hello --></body></message>", RESTRICTED),
    ("instruction", b"<?php x?>", RESTRICTED),
    ("entity", b"<message><body>&hello;</body></message>", RESTRICTED | {"not-well-formed"}),
    ("doctype", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", RESTRICTED | {"not-well-formed"}),
    ("mismatch", b"<message></presence>", {"not-well-formed"}),
    ("attribute", b"<message a=1/>", {"not-well-formed"}),
    ("ampersand", b"<message><body>a & b</body></message>", {"not-well-formed"}),
    ("twice", b"<message a='1' a='2'/>", {"not-well-formed"}),
    ("overlong", b"<message><body>\xc0\xbc</body></message>", ENCODING),
    ("overlong-3", b"<message><body>\xe0\x80\xbc</body></message>", ENCODING),
    ("continuation", b"<message><body>\x80</body></message>", ENCODING),
    ("surrogate", b"<message><body>\xed\xa0\x80</body></message>", ENCODING),
    ("too-high", b"<message><body>\xf4\x90\x80\x80</body></message>", ENCODING),
    ("five-bytes", b"<message><body>\xf8\x88\x80\x80\x80</body></message>", ENCODING),
    ("latin-1", b"<message><body>caf\xe9</body></message>", ENCODING),
    ("nul", b"<message><body>\x00</body></message>", MALFORMED),
    ("control", b"<message><body>\x01</body></message>", MALFORMED),
    ("escape", b"<message><body>\x1b</body></message>", MALFORMED),
    ("reference-nul", b"<message><body>&#0;</body></message>", MALFORMED),
    ("reference-control", b"<message><body>&#x1f;</body></message>", MALFORMED),
    ("reference-ffff", b"<message><body>&#xffff;</body></message>", MALFORMED),
    ("ffff", b"<message><body>\xef\xbf\xbf</body></message>", MALFORMED),
    ("nested", b"<message><stream:stream/></message>", MALFORMED | NAMESPACE | RESTRICTED),
    ("second", b"<stream:stream to='localhost'/>", MALFORMED | NAMESPACE),
    ("separator", b"<message xmlns='jabber:client message'/>", NAMESPACE | MALFORMED),
    ("none", b"<message xmlns=''/>", NAMESPACE),
    ("server", b"<message xmlns='jabber:server'/>", NAMESPACE),
    ("xml", b"<message xmlns:xml='urn:x'/>", MALFORMED | NAMESPACE),
    ("prefix", b"<foo:message/>", {"not-well-formed", "bad-namespace-prefix"}),
    ("attribute-prefix", b"<message foo:a='1'/>", {"not-well-formed", "bad-namespace-prefix"}),
    ("text", b"hello", MALFORMED),
    ("bom", b"\xef\xbb\xbf<presence/>", MALFORMED),
    ("declaration", b"<?xml version='1.0'?>", MALFORMED | RESTRICTED),
]
BOUND_ROWS = [
    ("client", b"<foo/>", {"unsupported-stanza-type"}),
    ("foreign", b"<foo xmlns='urn:x'/>", {"unsupported-stanza-type"}),
    ("one-more", b"<message><body>%s</body></message>" % (b"x" * 262_144), POLICY),
    ("text", b"<message><body>" + b"x" * 1_000_000, POLICY),
    ("attribute", b"<message a='" + b"x" * 1_000_000, POLICY),
    ("name", b"<" + b"x" * 1_000_000, POLICY | NAMESPACE),
    ("depth", b"<message>" + b"<a>" * 70, POLICY),
    ("deep", b"<message>" + b"<a>" * 10_000, POLICY),
    ("attributes", b"<message" + b"".join(b" a%d=''" % n for n in range(300)) + b"/>", POLICY),
    (
        "namespaces",
        b"<message" + b"".join(b" xmlns:a%d='urn:%d'" % (n, n) for n in range(10_000)) + b"/>",
        POLICY,
    ),
    ("children", b"<message>" + b"<a/>" * 5_000 + b"</message>", POLICY),
    ("many-children", b"<message>" + b"<a/>" * 60_000 + b"</message>", POLICY),
]
PREAUTH_ROWS = [
    (
        "unknown",
        b"<foo xmlns='urn:x'/>",
        {"unsupported-stanza-type", "not-authorized", "policy-violation"},
    ),
    (
        "bytes",
        b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + b"A" * 10_001,
        POLICY,
    ),
    ("elements", b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + b"<a/>" * 33, POLICY),
    ("depth", b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" + b"<a>" * 9, POLICY),
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


@pytest.mark.parametrize("row", ["comment-inside", "overlong", "nul", "server", "text", "second"])
async def test_websocket(people: People, row: str) -> None:
    data = next(bytes_ for name, bytes_, _ in STREAM_ROWS if name == row)
    client = await people.bound(mode="websocket")
    await client.send_raw(
        data.decode("latin-1") if row != "overlong" else "<message><body>\u00c0&#xd800;</body></message>"
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
        "billion-laughs",
        b"<?xml version='1.0'?><!DOCTYPE s [<!ENTITY a 'aaaaaaaaaa'>"
        + b"".join(
            b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10 if n else b"&a;" * 10) for n in range(9)
        )
        + b"]>"
        + header()[21:],
        RESTRICTED,
    ),
    (
        "external",
        b"<?xml version='1.0'?><!DOCTYPE s SYSTEM 'file:///etc/passwd'>" + header()[21:],
        RESTRICTED,
    ),
    ("utf-16", header().decode().encode("utf-16"), ENCODING | {""}),
    ("utf-32", header().decode().encode("utf-32"), ENCODING | {""}),
    ("latin-1", header().replace(b"'1.0'?", b"'1.0' encoding='ISO-8859-1'?"), ENCODING),
    (
        "xml-1.1",
        header().replace(b"xml version='1.0'", b"xml version='1.1'"),
        ENCODING | MALFORMED | {"unsupported-version"},
    ),
    ("content-namespace", header(xmlns="jabber:server"), NAMESPACE),
    ("stream-namespace", header(**{"xmlns:stream": "urn:x"}), NAMESPACE | MALFORMED),
    ("no-version", header(version=""), {"unsupported-version"}),
    ("version", header(version="0.9"), {"unsupported-version"}),
    ("no-to", header(to=""), {"host-unknown", "improper-addressing"}),
    ("unknown-to", header(to="unknown.example"), {"host-unknown"}),
    ("address", header(to="192.0.2.1"), {"host-unknown", "improper-addressing"}),
    ("malformed-to", header(to="a b"), {"host-unknown", "improper-addressing"}),
    ("twice", header() + header()[21:], MALFORMED | NAMESPACE),
    ("http", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", MALFORMED | {""}),
    ("tls", bytes.fromhex("16030100c8010000c403036f6f") + bytes(180), MALFORMED | ENCODING | {""}),
    ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n", MALFORMED | {""}),
    ("random", bytes(range(128, 256)) * 4, MALFORMED | ENCODING | {""}),
]


@pytest.mark.parametrize(("row", "data", "allowed"), HEADER_ROWS, ids=_ids(HEADER_ROWS))
async def test_header(people: People, row: str, data: bytes, allowed: set[str]) -> None:
    received = await exchange(people.cluster.endpoint(0, "plain"), data)
    assert condition(received) in allowed
    if condition(received):
        assert received.startswith((b"<?xml", b"<stream:stream"))  # RFC 6120 section 4.9.1.2


async def test_cdata_is_text(people: People) -> None:
    one, other = await people.bound(), await people.bound()
    await one.send_raw(f"<message to='{other.jid}'><body><![CDATA[<b/> & ]]></body></message>")
    got = await other.receive()
    body = got.find("{jabber:client}body")
    assert body is not None
    assert body.text == "<b/> & "
    assert len(body) == 0


async def test_what_came_before_is_delivered(people: People) -> None:
    one, other = await people.bound(), await people.bound()
    await one.send_raw(f"<message to='{other.jid}' id='m1'><body>first</body></message><message></presence>")
    assert await refused(one) == "not-well-formed"
    assert (await other.receive()).get("id") == "m1"


async def test_a_valid_sequence_may_be_split(people: People) -> None:
    one, other = await people.bound(), await people.bound()
    text = "ěščř ☃ 𝄞"
    data = f"<message to='{other.jid}'><body>{text}</body></message>".encode()
    for byte in data:
        await one.send_raw(bytes([byte]))
    body = (await other.receive()).find("{jabber:client}body")
    assert body is not None
    assert body.text == text


@pytest.mark.parametrize("vector", [b"\xc0\xbc", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x98"], ids=repr)
async def test_the_receiver_sees_nothing_of_it(people: People, vector: bytes) -> None:
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


async def test_the_limit_itself_is_allowed(people: People) -> None:
    one, other = await people.bound(), await people.bound()
    frame = f"<message to='{other.jid}'><body></body></message>"
    await one.send_raw(frame.replace("></body", ">" + "x" * (262_144 - len(frame)) + "</body"))
    body = (await other.receive()).find("{jabber:client}body")
    assert body is not None
    assert len(body.text or "") == 262_144 - len(frame)


async def test_long_attributes_are_not_echoed(people: People) -> None:
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


async def test_one_byte_segments_and_many_stanzas_in_one(people: People) -> None:
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
