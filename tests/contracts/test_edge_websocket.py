"""The HTTP port of an edge: XMPP over WebSocket (RFC 7395), host-meta (XEP-0156), who may open what."""

from __future__ import annotations

import json
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    open_websocket,
    wrap_client_stream,
)

from rookery.shared.bus.messages import Unbind
from rookery.shared.config import Edge, Limits
from rookery.shared.net import handshakes
from rookery.shared.net.proxy import encode
from rookery.shared.xmpp.stanza import Stanza

from .edge_lab import DOMAIN, Lab, running

FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
OPEN = f"<open xmlns='{FRAMING}' to='{DOMAIN}' version='1.0'/>"
PATH = "/xmpp-websocket"


def edge(**fields: object) -> Edge:
    plain = {
        "host": ("127.0.0.1",),
        "c2s_port": 0,
        "c2s_tls_port": 0,
        "http_port": 0,
        "allow_plaintext": True,
    }
    return Edge(**{**plain, **fields})  # type: ignore[arg-type]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running(tmp_path, edge=edge(websocket_origins=("https://chat.example.org",))) as lab:
        yield lab


@asynccontextmanager
async def websocket(
    lab: Lab,
    *,
    tls: bool = True,
    headers: dict[str, str] | None = None,
    protocols: tuple[str, ...] = ("xmpp",),
) -> AsyncIterator[WebSocketConnection]:
    extra = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    port = lab.edge.ports["http"]
    if tls:
        # The name in SNI and certificate is the domain's; the address is ours.
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        wrapped = trio.SSLStream(
            stream, lab.client_context(["http/1.1"]), server_hostname=DOMAIN, https_compatible=True
        )

        async with trio.open_nursery() as nursery:
            connection = await wrap_client_stream(
                nursery, wrapped, DOMAIN, PATH, subprotocols=protocols, extra_headers=extra
            )
            yield connection
            nursery.cancel_scope.cancel()
    else:
        async with open_websocket(
            "127.0.0.1", port, PATH, use_ssl=False, subprotocols=protocols, extra_headers=extra
        ) as ws:
            yield ws


async def get(ws: WebSocketConnection) -> str:
    with trio.fail_after(5):
        message = await ws.get_message()
    assert isinstance(message, str)
    return message


async def login(ws: WebSocketConnection, user: str) -> None:
    await ws.send_message(OPEN)
    assert (await get(ws)).startswith(f"<open xmlns='{FRAMING}'")
    assert "<mechanism>PLAIN</mechanism>" in await get(ws)
    text = b64encode(f"\0{user}\0secret".encode()).decode()
    await ws.send_message(f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{text}</auth>")
    assert (await get(ws)).startswith("<success ")
    await ws.send_message(OPEN)
    assert (await get(ws)).startswith("<open ")
    assert "xmpp-bind" in await get(ws)
    await ws.send_message(
        "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
        "<resource>web</resource></bind></iq>"
    )
    assert (await get(ws)).startswith("<iq xmlns='jabber:client' type='result'")


@pytest.mark.parametrize("tls", [True, False])
async def test_a_browser_and_a_tcp_client_talk(lab: Lab, tls: bool) -> None:
    bob = await lab.login("bob")
    async with websocket(lab, tls=tls, headers={"Origin": "https://chat.example.org"}) as ws:
        assert ws.subprotocol == "xmpp"
        await login(ws, "alice")
        await ws.send_message(
            f"<message xmlns='jabber:client' to='bob@{DOMAIN}/r' id='1'><body>hi</body></message>"
        )
        assert await bob.until("</message>") == (
            f"<message from='alice@{DOMAIN}/web' to='bob@{DOMAIN}/r' id='1'><body>hi</body></message>"
        )
        await bob.send(
            "".join(f"<message to='alice@{DOMAIN}/web' id='{n}'><body>ü</body></message>" for n in range(100))
        )
        for n in range(100):
            assert await get(ws) == (
                f"<message xmlns='jabber:client' from='bob@{DOMAIN}/r' to='alice@{DOMAIN}/web' id='{n}'>"
                "<body>ü</body></message>"
            )
        await ws.send_message(f"<close xmlns='{FRAMING}'/>")
        assert await get(ws) == f"<close xmlns='{FRAMING}'/>"
        with pytest.raises(ConnectionClosed) as closed, trio.fail_after(5):
            await ws.get_message()
        assert closed.value.reason.code == 1000
    with trio.fail_after(5):
        while not lab.router.of(Unbind):  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert lab.edge.connections == 1


async def test_a_browser_that_vanishes_is_unbound(lab: Lab) -> None:
    async with websocket(lab, tls=False) as ws:
        await login(ws, "alice")
        await trio.aclose_forcefully(ws._stream)
    with trio.fail_after(5):
        while lab.edge.connections or not lab.router.of(Unbind):  # noqa: ASYNC110
            await trio.sleep(0.01)


WRONG = {
    "binary": (OPEN.encode(), None, 1003),
    "a TCP header": ("<stream:stream xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'/>", "<stream:error", 1000),
    "two elements": (OPEN + OPEN, "<stream:error", 1000),
    "white space": (" ", "<stream:error", 1000),
    "half an element": ("<message", "<stream:error", 1000),
    "an unknown host": (OPEN.replace(DOMAIN, "nowhere.example"), "host-unknown", 1000),
    "a stanza first": ("<message xmlns='jabber:client'/>", "bad-format", 1000),
}  # fmt: skip


@pytest.mark.parametrize(("message", "expected", "code"), WRONG.values(), ids=WRONG.keys())
async def test_wrong_messages(lab: Lab, message: str | bytes, expected: str | None, code: int) -> None:
    async with websocket(lab, tls=False) as ws:
        await ws.send_message(message)
        seen = ""
        with pytest.raises(ConnectionClosed) as closed, trio.fail_after(5):  # noqa: PT012  until it is closed
            while True:
                seen += str(await ws.get_message())
        assert closed.value.reason.code == code
        if expected is None:
            assert seen == ""
        else:
            assert seen.startswith(f"<open xmlns='{FRAMING}'")
            assert expected in seen
            assert seen.endswith(f"<close xmlns='{FRAMING}'/>")


async def test_a_message_that_is_too_long_closes_the_connection(tmp_path: Path) -> None:
    async with (
        running(tmp_path, edge=edge(), limits=Limits(stanza_bytes=20_000)) as lab,
        websocket(lab, tls=False) as ws,
    ):
        await login(ws, "alice")
        await ws.send_message("x" * 20_001)
        with pytest.raises(ConnectionClosed) as closed, trio.fail_after(5):
            await ws.get_message()
        assert closed.value.reason.code == 1009


async def test_little_is_read_before_authentication(lab: Lab) -> None:
    async with websocket(lab, tls=False) as ws:
        await ws.send_message(f"<auth xmlns='x'>{'x' * 10_000}</auth>")
        assert (await get(ws)).startswith("<open")
        assert "<policy-violation " in await get(ws)


async def test_compression_is_not_spoken(lab: Lab) -> None:
    async with websocket(lab, tls=False, headers={"Sec-WebSocket-Extensions": "permessage-deflate"}) as ws:
        assert not any(name.lower() == b"sec-websocket-extensions" for name, _ in ws.handshake_headers)


@pytest.mark.parametrize(
    ("headers", "protocols", "status"),
    [
        ({"Origin": "https://evil.example"}, ("xmpp",), 403),
        ({"Origin": "null"}, ("xmpp",), 403),
        ({}, (), 400),
        ({}, ("chat",), 400),
    ],
)
async def test_who_may_not_open(
    lab: Lab, headers: dict[str, str], protocols: tuple[str, ...], status: int
) -> None:
    with pytest.raises(ConnectionRejected) as rejected:
        async with websocket(lab, tls=False, headers=headers, protocols=protocols):
            pass
    assert rejected.value.status_code == status


async def test_in_clear_nobody_may_open(tmp_path: Path) -> None:
    async with running(tmp_path, edge=edge(allow_plaintext=False)) as lab:
        with pytest.raises(ConnectionRejected) as rejected:
            async with websocket(lab, tls=False):
                pass
        assert rejected.value.status_code == 403
        async with websocket(lab, tls=True) as ws:
            await login(ws, "alice")


async def test_a_proxy_that_ends_tls_names_the_client(tmp_path: Path) -> None:
    behind = edge(allow_plaintext=False, http_proxy_nets=("127.0.0.0/8",))
    async with running(tmp_path, edge=behind, limits=Limits(connections_per_ip=1)) as lab:
        forwarded = {"X-Forwarded-For": "203.0.113.9, 192.0.2.7", "X-Forwarded-Proto": "https"}
        async with websocket(lab, tls=False, headers=forwarded) as ws:
            await login(ws, "alice")
            assert [connection.host for connection in lab.edge._door.connections] == ["192.0.2.7"]
            with pytest.raises(ConnectionRejected) as rejected:
                async with websocket(lab, tls=False, headers=forwarded):
                    pass
            assert rejected.value.status_code == 429
        with pytest.raises(ConnectionRejected):
            async with websocket(lab, tls=False, headers={"X-Forwarded-Proto": "http"}):
                pass


async def test_nobody_else_may_claim_to_be_forwarded(lab: Lab) -> None:
    async with websocket(lab, tls=False, headers={"X-Forwarded-For": "192.0.2.7"}) as ws:
        await login(ws, "alice")
        assert [connection.host for connection in lab.edge._door.connections] == ["127.0.0.1"]


async def test_a_balancer_names_the_client_here_too(tmp_path: Path) -> None:
    async with running(tmp_path, edge=edge(proxy_protocol_nets=("127.0.0.0/8",))) as lab:
        stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["http"])
        await stream.send_all(encode(("192.0.2.7", 1), ("127.0.0.1", 1)))
        await stream.send_all(
            b"GET /.well-known/host-meta HTTP/1.1\r\nHost: chat.example.org\r\nConnection: close\r\n\r\n"
        )
        assert b"200 OK" in await stream.receive_some()
        await stream.aclose()


async def test_drain_says_goodbye(lab: Lab) -> None:
    async with websocket(lab) as ws:
        await login(ws, "alice")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lab.edge.drain, 5.0)
            assert "<system-shutdown " in await get(ws)
            assert "<close " in await get(ws)
            with pytest.raises(ConnectionClosed):
                await ws.get_message()


async def test_a_slow_browser_holds_nobody_up(lab: Lab) -> None:
    async with websocket(lab, tls=False) as ws:
        await login(ws, "alice")
        body = b"<body>" + b"x" * 50_000 + b"</body>"
        for n in range(50):
            stanza = Stanza.build("message", to=f"alice@{DOMAIN}/web", id=str(n)).replace(inner=body)
            lab.router.deliver(f"alice@{DOMAIN}/web", stanza)
        for n in range(50):
            assert f"id='{n}'" in await get(ws)


# --- the floor of all ports -------------------------------------------------------------------------------------------


async def test_expensive_handshakes_are_done_by_threads(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[str] = []

    def expensive(sock: ssl.SSLSocket) -> handshakes.Step:
        where.append(threading.current_thread().name)
        began = time.thread_time()
        while time.thread_time() - began < 0.005:
            pass
        return step(sock)

    step = handshakes.step
    monkeypatch.setattr(handshakes, "step", expensive)
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(partial(fetch, lab, "/.well-known/host-meta", tls=True))
    assert len(where) >= 8
    # The first one tells that they are expensive.
    assert sum(not name.startswith("tls-") for name in where) <= 1


async def test_a_client_has_time_for_its_handshake_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, edge=edge(), limits=Limits(tls_seconds=0.4)) as lab:
        for said in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
            stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["http"])
            if said:
                await stream.send_all(said)
            with trio.fail_after(3):
                assert await stream.receive_some() == b""
            await stream.aclose()
        assert (await fetch(lab, "/.well-known/host-meta", tls=True))[0].startswith("HTTP/1.1 200")


async def test_no_client_of_this_port_is_left(tmp_path: Path) -> None:
    limits = Limits(exempt_nets=(), connections_per_ip=2, connections_per_ip_per_second=100)
    async with running(tmp_path, edge=edge(), limits=limits) as lab:
        for round_ in range(12):
            stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["http"])
            if round_ % 3:
                await stream.send_all(
                    b"\x16\x03" if round_ % 2 else b"GET /.well-known/host-meta HTTP/1.1\r\n"
                )
            await stream.aclose()
            await wait_for(lambda: not lab.edge._web._clients)
        async with websocket(lab, tls=False), websocket(lab, tls=False):
            with pytest.raises((trio.BrokenResourceError, ValueError)):
                await fetch_strictly(lab)
        await wait_for(lambda: lab.edge.connections == 0)
        await wait_for(lambda: len(lab.edge._reactor._sources) == 3)
        assert len(lab.edge._door._keeper) == 1
        async with websocket(lab, tls=False), websocket(lab, tls=False):
            pass


async def fetch_strictly(lab: Lab) -> None:
    """Raises when the port closes without an answer."""
    head, _ = await fetch(lab, "/.well-known/host-meta")
    if not head:
        raise ValueError("no answer")


async def wait_for(condition: Callable[[], object]) -> None:
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_a_balancer_names_the_client_before_tls(tmp_path: Path) -> None:
    behind = edge(proxy_protocol_nets=("127.0.0.0/8",), allow_plaintext=False)
    async with running(tmp_path, edge=behind, limits=Limits(connections_per_ip=1)) as lab:
        stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["http"])
        await stream.send_all(encode(("192.0.2.7", 1), ("127.0.0.1", 1)))
        wrapped = trio.SSLStream(stream, lab.client_context(), server_hostname=DOMAIN, https_compatible=True)
        async with trio.open_nursery() as nursery:
            ws = await wrap_client_stream(nursery, wrapped, DOMAIN, PATH, subprotocols=("xmpp",))
            await login(ws, "alice")
            assert [connection.host for connection in lab.edge._door.connections] == ["192.0.2.7"]
            second = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["http"])
            await second.send_all(encode(("192.0.2.7", 2), ("127.0.0.1", 1)))
            with trio.fail_after(3):
                assert await second.receive_some() == b""
            nursery.cancel_scope.cancel()


async def test_bytes_that_are_no_text_end_the_socket(lab: Lab) -> None:
    async with websocket(lab, tls=False) as ws:
        await login(ws, "alice")
        await ws._stream.send_all(b"\x81\x82\x00\x00\x00\x00\xff\xfe")
        with pytest.raises(ConnectionClosed) as closed, trio.fail_after(5):
            await ws.get_message()
        assert closed.value.reason.code == 1007
    await wait_for(lambda: lab.edge.connections == 0)


async def test_messages_of_one_client_are_limited_like_its_stanzas(tmp_path: Path) -> None:
    limits = Limits(exempt_nets=(), stanzas_per_second=100, stanzas_burst=10)
    async with running(tmp_path, edge=edge(), limits=limits) as lab:
        bob = await lab.login("bob")
        async with websocket(lab, tls=False) as ws:
            await login(ws, "alice")
            start = trio.current_time()
            for n in range(100):
                await ws.send_message(
                    f"<message xmlns='jabber:client' to='bob@{DOMAIN}/r' id='{n}'><body>x</body></message>"
                )
            text = await bob.until("id='99'.*</message>")
            assert [int(part.partition("'")[0]) for part in text.split(" id='")[1:]] == list(range(100))
            assert 0.5 < trio.current_time() - start < 3.0


# --- host-meta --------------------------------------------------------------------------------------------------------


async def fetch(
    lab: Lab, path: str, host: str = "chat.example.org:5443", *, tls: bool = False
) -> tuple[str, str]:
    stream: trio.abc.Stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["http"])
    if tls:
        stream = trio.SSLStream(stream, lab.client_context(), server_hostname=DOMAIN, https_compatible=True)
    await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    data = b""
    while chunk := await stream.receive_some():
        data += chunk
    await stream.aclose()
    head, _, body = data.decode().partition("\r\n\r\n")
    return head, body


async def test_host_meta(lab: Lab) -> None:
    head, body = await fetch(lab, "/.well-known/host-meta", tls=True)
    assert "Access-Control-Allow-Origin: *" in head
    assert "application/xrd+xml" in head
    assert (
        "rel='urn:xmpp:alt-connections:websocket' href='wss://chat.example.org:5443/xmpp-websocket'" in body
    )
    head, body = await fetch(lab, "/.well-known/host-meta.json")
    assert "application/json" in head
    link, bosh = json.loads(body)["links"]
    assert bosh["href"] == "http://chat.example.org:5443/http-bind"
    assert link == {
        "rel": "urn:xmpp:alt-connections:websocket",
        "href": "ws://chat.example.org:5443/xmpp-websocket",
    }


async def test_where_tls_is_required_nobody_is_sent_elsewhere(tmp_path: Path) -> None:
    async with running(tmp_path, edge=edge(allow_plaintext=False)) as lab:
        _, body = await fetch(lab, "/.well-known/host-meta")
        assert "href='wss://chat.example.org:5443/xmpp-websocket'" in body
        assert "href='https://chat.example.org:5443/http-bind'" in body
        stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["http"])
        await stream.send_all(
            f"GET {PATH} HTTP/1.1\r\nHost: chat.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n".encode()
        )
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 403")
        await stream.aclose()


async def test_host_meta_of_a_domain_that_is_not_hosted(lab: Lab) -> None:
    for host in ("evil.example", "notexample.org", "example.org.evil", "[::1]:80", "a..b"):
        assert (await fetch(lab, "/.well-known/host-meta", host=host))[0].startswith("HTTP/1.1 404"), host
    for host in ("example.org", "EXAMPLE.org:443", "web.other.example"):
        assert (await fetch(lab, "/.well-known/host-meta", host=host))[0].startswith("HTTP/1.1 200"), host


async def test_host_meta_of_the_configuration(tmp_path: Path) -> None:
    async with running(tmp_path, edge=edge(websocket_url="wss://chat.example.org/ws")) as lab:
        assert "href='wss://chat.example.org/ws'" in (await fetch(lab, "/.well-known/host-meta"))[1]


@pytest.mark.parametrize("path", ["/", "/metrics", "/admin", "/xmpp-websocket/../metrics", "/.well-known/"])
async def test_nothing_else_is_here(lab: Lab, path: str) -> None:
    assert (await fetch(lab, path))[0].startswith("HTTP/1.1 404")


async def test_a_plain_request_to_the_endpoint(lab: Lab) -> None:
    assert (await fetch(lab, PATH))[0].startswith("HTTP/1.1 426")


async def test_a_bad_host_is_not_reflected(lab: Lab) -> None:
    head, body = await fetch(lab, "/.well-known/host-meta", "evil'><x>")
    assert head.startswith("HTTP/1.1 400")
    assert "evil" not in body
