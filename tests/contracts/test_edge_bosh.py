"""BOSH at the HTTP port of an edge, on sockets: sessions, answers, what is refused (XEP-0124, XEP-0206)."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
import trio
from tests.stories.bosh import NS, BoshTransport

from rookery.shared.bus.messages import Acked, Unbind
from rookery.shared.config import Limits

from .edge_lab import DOMAIN, Lab, running
from .test_edge_websocket import edge

ORIGIN = "https://chat.example.org"
OPEN = f"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{DOMAIN}' version='1.0'/>".encode()
CLOSE = b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
BIND = b"<iq type='set' id='b' xmlns='jabber:client'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    limits = Limits(preauth_seconds=2, exempt_nets=())
    async with running(tmp_path, edge=edge(websocket_origins=(ORIGIN,)), limits=limits) as lab:
        yield lab


def transport(lab: Lab, *, tls: bool = True) -> BoshTransport:
    context = lab.client_context(["http/1.1"]) if tls else None
    return BoshTransport("127.0.0.1", [lab.edge.ports["http"]], "/http-bind", context, DOMAIN)


async def login(lab: Lab, user: str) -> BoshTransport:
    one = transport(lab)
    await one.send(OPEN)
    await until(one, b"features>")
    secret = b64encode(f"\0{user}\0secret".encode())
    await one.send(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + secret + b"</auth>")
    await until(one, b"<success")
    await one.send(OPEN)
    await until(one, b"features>")
    await one.send(BIND)
    await until(one, b"<jid>")
    return one


async def until(one: BoshTransport, part: bytes) -> bytes:
    with trio.fail_after(5):
        while True:
            frame = await one.receive()
            if part in frame or not frame:
                assert frame, one.answers
                return frame


async def happens(what: Callable[[], object]) -> None:
    with trio.fail_after(5):
        while not what():  # noqa: ASYNC110  a test may poll
            await trio.sleep(0.01)


async def said(one: BoshTransport, body: str, headers: str = "") -> tuple[int, Element | None]:
    """What one document is answered with."""
    await one.post(body.encode(), headers)
    with trio.fail_after(5):
        status, document = await one.response()
    return status, fromstring(document) if document.startswith(b"<body") else None


def first(more: str = f"to='{DOMAIN}'", rid: int = 100) -> str:
    return f"<body xmlns='{NS}' rid='{rid}' ver='1.11' {more}/>"


async def test_two_clients_talk(lab: Lab) -> None:
    alice, bob = await login(lab, "alice"), await login(lab, "bob")
    created = alice.answers[0]
    assert created["requests"] == "2"
    assert created["hold"] == "1"
    assert created["wait"] == "5"
    assert created["{urn:xmpp:xbosh}restartlogic"] == "true"
    assert created["from"] == DOMAIN
    assert "no-store" in alice.headers["cache-control"]
    assert "text/xml" in alice.headers["content-type"]
    await alice.send(f"<message to='bob@{DOMAIN}'><body>hi</body></message>".encode())
    assert b"hi" in await until(bob, b"<message")
    # The client has shown that it has the answer with the message once it asks again.
    assert not lab.router.of(Acked)
    await bob.ask()
    await happens(lambda: lab.router.of(Acked))
    await alice.send(CLOSE)
    await happens(
        lambda: (alice.answers[-1].get("type") == "terminate") or alice._ended or lab.router.of(Unbind)
    )
    assert not await alice.receive()
    assert alice.answers[-1]["type"] == "terminate"


async def test_a_stream_error_is_told(lab: Lab) -> None:
    one = await login(lab, "alice")
    await one.send(b"<foo xmlns='jabber:client'/>")
    assert b"unsupported-stanza-type" in await until(one, b"<error")
    assert one.answers[-1] == {"type": "terminate", "condition": "remote-stream-error"}


#: First requests, and why they are refused.
REFUSED = [
    (first("to='nowhere.example'"), "host-unknown"),
    (first("to='\u2028'"), "host-unknown"),
    (first(""), "improper-addressing"),
    (first(f"to='{DOMAIN}' wait='x'"), "bad-request"),
    (first(f"to='{DOMAIN}' hold='256'"), "bad-request"),
    (first(f"to='{DOMAIN}' content='text/html'"), "bad-request"),
    (first(f"to='{DOMAIN}' type='terminate'"), "bad-request"),
    (first(rid=0), "bad-request"),
    (first(rid=2**53), "bad-request"),
    (f"<body xmlns='{NS}' to='{DOMAIN}'/>", "bad-request"),
    (f"<body xmlns='{NS}' rid='1' sid='x'/>", "item-not-found"),
    (f"<body xmlns='{NS}' rid='1' sid='x.edge1'/>", "item-not-found"),
    (f"<body xmlns='{NS}' rid='1' sid='x.edge2'/>", "item-not-found"),
    (f"<body xmlns='{NS}' rid='1' to='{DOMAIN}'>text</body>", "bad-request"),
    ("<!DOCTYPE x [<!ENTITY e 'e'>]><body/>", "bad-request"),
    ("", "bad-request"),
    ("<body/>", "bad-request"),
    (f"<body xmlns='{NS}' rid='1' to='{DOMAIN}'><a>{'x' * 15_000}</a></body>", "policy-violation"),
]


async def test_bad_first_requests(lab: Lab) -> None:
    one = transport(lab)
    for body, condition in REFUSED:
        status, answer = await said(one, body)
        assert status == 200
        assert answer is not None
        assert (answer.get("type"), answer.get("condition")) == ("terminate", condition), body
    assert not lab.edge.connections


async def test_who_may_ask(lab: Lab) -> None:
    assert (await said(transport(lab), first(), "Origin: https://evil.example\r\n"))[0] == 403
    one = transport(lab)
    status, answer = await said(one, first(), f"Origin: {ORIGIN}\r\n")
    assert status == 200
    assert answer is not None
    assert one.headers["access-control-allow-origin"] == ORIGIN
    # The session is one over TLS: who does not use it cannot even end it.
    sid = answer.get("sid")
    assert (await said(transport(lab, tls=False), f"<body xmlns='{NS}' rid='101' sid='{sid}'/>"))[0] == 403
    assert lab.edge.connections == 1
    # It has not authenticated in time.
    await happens(lambda: not lab.edge.connections)


async def test_sizes_and_methods(lab: Lab) -> None:
    assert (await said(transport(lab), "x" * 300_000))[0] == 413
    stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["http"])
    await stream.send_all(
        b"GET /http-bind HTTP/1.1\r\nHost: example.org\r\n\r\n"
        b"OPTIONS /http-bind HTTP/1.1\r\nHost: example.org\r\nOrigin: %b\r\nConnection: close\r\n\r\n"
        % ORIGIN.encode()
    )
    got = b""
    with trio.fail_after(5):
        while data := await stream.receive_some(65536):
            got += data
    assert got.startswith(b"HTTP/1.1 405")
    assert b"204 No Content" in got
    assert b"Access-Control-Allow-Methods: POST" in got
    assert ORIGIN.encode() in got


async def test_repeats_and_windows(lab: Lab) -> None:
    one = await login(lab, "alice")
    last = one.rid - 1
    again = f"<body xmlns='{NS}' rid='{last}' sid='{one.sid}'/>"
    status, answer = await said(one, again)
    assert status == 200
    assert answer is not None
    assert answer[0].tag == "{jabber:client}iq"
    status, answer = await said(one, f"<body xmlns='{NS}' rid='{last + 3}' sid='{one.sid}'/>")
    assert answer is not None
    assert answer.get("condition") == "item-not-found"
    await happens(lambda: lab.router.of(Unbind))
    status, answer = await said(one, f"<body xmlns='{NS}' rid='{last + 1}' sid='{one.sid}'/>")
    assert answer is not None
    assert answer.get("condition") == "item-not-found"


async def test_sessions_that_never_ask_again(tmp_path: Path) -> None:
    """A session counts like a connection of its address, of which each may have so many."""
    limits = Limits(connections_per_ip=5, connections_per_ip_per_second=1000, exempt_nets=())
    async with running(tmp_path, edge=edge(), limits=limits) as lab:
        one = transport(lab, tls=False)
        statuses = [(await said(one, first()))[0] for _ in range(20)]
        assert statuses == [200] * 4 + [429] * 16
        assert lab.edge.connections == 4


async def test_host_meta_tells_of_it(lab: Lab) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["http"])
    head = "GET /.well-known/host-meta.json HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"
    await stream.send_all(head.encode())
    got = b""
    with trio.fail_after(5):
        while data := await stream.receive_some(65536):
            got += data
    links = {one["rel"]: one["href"] for one in json.loads(got.partition(b"\r\n\r\n")[2])["links"]}
    assert links["urn:xmpp:alt-connections:xbosh"] == "http://example.org/http-bind"
