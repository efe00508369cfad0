"""What comes before a stream's own bytes."""

from __future__ import annotations

import socket
import ssl

import pytest
import trio
import trio.lowlevel
from tests.unit.net.rig import NAME, Recorder, Terms, rest, rig, wait_for

from rookery.shared.net.hello import NO_APPLICATION_PROTOCOL
from rookery.shared.net.proxy import encode
from rookery.shared.net.stages import Alpn, FirstByte, ProxyHeader

HEADER = encode(("192.0.2.7", 1), ("127.0.0.1", 2))


@pytest.mark.parametrize("cuts", [[len(HEADER)], [1] * len(HEADER), [16, 5]])
async def test_a_proxy_header_is_taken_and_nothing_behind_it(cuts: list[int]) -> None:
    async with rig() as lab:
        peer, named = Recorder(), list[str]()
        channel, other = await lab.accepted(peer)
        channel.begin(ProxyHeader(lambda host: named.append(host) is None))
        data, at = HEADER + b"hello", 0
        for cut in cuts:
            await other.send_all(data[at : at + cut])
            await trio.lowlevel.checkpoint()
            at += cut
        await other.send_all(data[at:])
        await wait_for(lambda: peer.data == b"hello")
        assert named == ["192.0.2.7"]


@pytest.mark.parametrize(
    ("sent", "reason"), [(b"<stream:stream ", "proxy"), (HEADER, "limit"), (HEADER[:5], "eof")]
)
async def test_who_is_not_let_in_behind_a_balancer(sent: bytes, reason: str) -> None:
    async with rig() as lab:
        peer = Recorder()
        channel, other = await lab.accepted(peer)
        channel.begin(ProxyHeader(lambda host: False))
        await other.send_all(sent)
        if reason == "eof":
            await other.send_eof()
        assert await rest(other) == b""
        assert (peer.lost, peer.data) == ([reason], b"")


async def test_the_first_byte_tells_tls_from_clear_text() -> None:
    async with rig() as lab:
        plain, secret, begun = Recorder(), Recorder(), list[str]()
        for peer in (plain, secret):
            channel, other = await lab.accepted(peer)
            channel.begin(FirstByte(lambda: lab.server, lambda: begun.append("plain")))
            stream: trio.abc.Stream = other
            if peer is secret:
                stream = trio.SSLStream(other, lab.client_context(), server_hostname=NAME)
            await stream.send_all(b"GET / HTTP/1.1")
            await wait_for(lambda peer=peer: peer.data == b"GET / HTTP/1.1")  # type: ignore[misc]
            assert channel.tls is (peer is secret)
        assert begun == ["plain"]
        assert (plain.secure, secret.secure) == ([], [b"binding"])


async def test_tls_without_a_certificate_is_closed_and_counted() -> None:
    async with rig() as lab:
        lab.terms = Terms(lab.pool, None)
        peer = Recorder()
        channel, other = await lab.accepted(peer)
        channel.begin(FirstByte(lambda: None, lambda: None))
        await other.send_all(b"\x16\x03\x01")
        await wait_for(lambda: peer.lost == ["tls"])
        assert lab.terms.failures == ["handshake"]


@pytest.mark.parametrize(("offered", "chosen"), [(("xmpp-client",), "xmpp-client"), ((), "")])
async def test_alpn_is_chosen_or_not_asked_for(offered: tuple[str, ...], chosen: str) -> None:
    async with rig() as lab:
        lab.server.set_alpn_protocols(["xmpp-client"])
        peer = Recorder()
        channel, other = await lab.accepted(peer)
        channel.begin(Alpn(lab.server, b"xmpp-client"))
        stream = trio.SSLStream(other, lab.client_context(*offered), server_hostname=NAME)
        await stream.do_handshake()
        await wait_for(lambda: peer.secure)
        assert channel.alpn == chosen


async def test_whoever_speaks_another_protocol_is_told_so() -> None:
    async with rig() as lab:
        peer = Recorder()
        channel, other = await lab.accepted(peer)
        channel.begin(Alpn(lab.server, b"xmpp-client"))
        raw = other.socket
        outgoing = client_hello(lab.client_context("h2", "http/1.1"))
        for at in range(0, len(outgoing), 100):  # a ClientHello that trickles in is waited for
            await raw.send(outgoing[at : at + 100])
            await trio.lowlevel.checkpoint()
        assert await rest(other) == NO_APPLICATION_PROTOCOL
        assert (peer.lost, lab.terms.failures) == (["alpn"], ["alpn"])


async def test_a_silent_client_of_a_tls_port_does_not_spin() -> None:
    async with rig() as lab:
        peer = Recorder()
        channel, other = await lab.accepted(peer)
        channel.begin(Alpn(lab.server, b"xmpp-client"))
        outgoing = client_hello(lab.client_context())
        await other.send_all(outgoing[:50])
        await trio.sleep(0.05)
        turns = lab.reactor.turns
        await trio.sleep(0.1)
        assert lab.reactor.turns - turns < 3
        assert channel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == len(outgoing)


def client_hello(context: ssl.SSLContext) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()
