"""Connecting out: TCP, TLS with and without verification, STARTTLS, what both sides know of each other."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
import trio
import trustme
from tests.unit.net.rig import NAME, Recorder, Rig, rig, wait_for

from rookery.shared.net.channel import Channel
from rookery.shared.net.dial import Address, dial
from rookery.shared.net.identity import Identity
from rookery.shared.net.trust import Trust, client_context


class Accepting:
    """A listening socket whose connections become channels, secured at once if wanted."""

    def __init__(self, lab: Rig, *, tls: bool) -> None:
        self.lab = lab
        self.tls = tls
        self.peers: list[Recorder] = []
        self.channels: list[Channel] = []
        self.names: list[str | None] = []
        lab.server.sni_callback = self._named
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self.sock.getsockname()[:2])

    def _named(self, sock: object, name: str | None, context: ssl.SSLContext) -> None:
        self.names.append(name)

    async def run(self) -> None:
        listening = trio.socket.from_stdlib_socket(self.sock)
        while True:
            accepted, _ = await listening.accept()
            sock = socket.socket(fileno=accepted.detach())
            sock.setblocking(False)
            peer = Recorder()
            channel = Channel(self.lab.reactor, sock, peer, self.lab.terms)
            self.peers.append(peer)
            self.channels.append(channel)
            if self.tls:
                channel.accept_tls(self.lab.server)


def authorities(lab: Rig, folder: Path) -> Path:
    path = folder / "ca.pem"
    lab.authority.cert_pem.write_to_path(path)
    return path


async def connected(lab: Rig, address: Address) -> tuple[Channel, Recorder]:
    peer, done = Recorder(), list[bool]()
    channel = dial(lab.reactor, address, peer, lab.terms, lambda: done.append(True))
    assert not done
    await wait_for(lambda: done or peer.lost)
    return channel, peer


async def test_a_verified_server_with_its_name_and_its_protocol(tmp_path: Path) -> None:
    async with rig() as lab:
        lab.server.set_alpn_protocols(["xmpp-server"])
        server = Accepting(lab, tls=True)
        lab.nursery.start_soon(server.run)
        context = client_context(Trust(authorities(lab, tmp_path)), ("xmpp-server",))
        channel, peer = await connected(lab, server.address)
        channel.offer_tls(context, NAME)
        await wait_for(lambda: peer.secure)
        assert (channel.alpn, server.names) == ("xmpp-server", [NAME])
        assert channel.certificate() is not None
        channel.write(b"a" * 300_000)
        await wait_for(lambda: server.peers[0].data == b"a" * 300_000)
        server.channels[0].write(b"b" * 300_000)
        await wait_for(lambda: peer.data == b"b" * 300_000)
        assert server.channels[0].certificate() is None
        channel.finish()
        await wait_for(lambda: server.peers[0].lost == ["eof"] and peer.lost)


@pytest.mark.parametrize(
    ("name", "known", "trust"),
    [("other.example", True, Trust()), (NAME, False, Trust()), (NAME, False, Trust(name=False))],
)
async def test_a_server_that_cannot_be_trusted(tmp_path: Path, name: str, known: bool, trust: Trust) -> None:
    async with rig() as lab:
        server = Accepting(lab, tls=True)
        lab.nursery.start_soon(server.run)
        mine = authorities(lab, tmp_path)
        if not known:
            trustme.CA().cert_pem.write_to_path(mine)
        channel, peer = await connected(lab, server.address)
        channel.offer_tls(client_context(trust._replace(authorities=mine)), name)
        await wait_for(lambda: peer.lost)
        assert (peer.lost, peer.secure) == (["untrusted"], [])
        assert "untrusted" in lab.terms.failures


@pytest.mark.parametrize("trust", [Trust(name=False), Trust(chain=False)])
async def test_what_is_not_verified_is_there_to_be_looked_at(tmp_path: Path, trust: Trust) -> None:
    async with rig() as lab:
        server = Accepting(lab, tls=True)
        lab.nursery.start_soon(server.run)
        context = client_context(trust._replace(authorities=authorities(lab, tmp_path)))
        channel, peer = await connected(lab, server.address)
        channel.offer_tls(context, "other.example")
        await wait_for(lambda: peer.secure)
        assert channel.certificate() is not None


async def test_starttls_on_what_was_clear_text_and_a_certificate_of_ours(tmp_path: Path) -> None:
    async with rig() as lab:
        issued = lab.authority.issue_cert("client.example")
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
        lab.authority.configure_trust(lab.server)
        lab.server.verify_mode = ssl.CERT_OPTIONAL
        server = Accepting(lab, tls=False)
        lab.nursery.start_soon(server.run)
        channel, peer = await connected(lab, server.address)
        channel.write(b"<starttls/>")
        await wait_for(lambda: server.peers and server.peers[0].data == b"<starttls/>")
        server.channels[0].write(b"<proceed/>")
        assert server.channels[0].secure("")
        await wait_for(lambda: peer.data == b"<proceed/>")
        identity = Identity(tmp_path / "chain.pem", tmp_path / "key.pem")
        channel.offer_tls(client_context(Trust(authorities(lab, tmp_path)), identity=identity), NAME)
        await wait_for(lambda: peer.secure and server.peers[0].secure)
        assert server.channels[0].certificate() is not None
        channel.write(b"secret")
        await wait_for(lambda: server.peers[0].data == b"<starttls/>secret")


async def test_what_is_written_before_there_is_a_connection_waits_for_it() -> None:
    async with rig() as lab:
        server = Accepting(lab, tls=False)
        lab.nursery.start_soon(server.run)
        channel = dial(lab.reactor, server.address, Recorder(), lab.terms, lambda: None)
        channel.write(b"early")
        await wait_for(lambda: server.peers and server.peers[0].data == b"early")


async def test_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = Address(*closed.getsockname()[:2])
    async with rig() as lab:
        _, peer = await connected(lab, address)
        assert peer.lost == ["refused"]


async def test_an_attempt_that_is_given_up() -> None:
    async with rig() as lab:
        server = Accepting(lab, tls=False)
        peer = Recorder()
        called = list[bool]()
        channel = dial(lab.reactor, server.address, peer, lab.terms, lambda: called.append(True))
        channel.abort("timeout")
        await trio.sleep(0.02)
        assert (peer.lost, called) == (["timeout"], [])
        server.sock.close()


async def test_a_name_is_no_address() -> None:
    async with rig() as lab:
        with pytest.raises(ValueError, match="address"):
            dial(lab.reactor, Address("localhost", 1), Recorder(), lab.terms, lambda: None)
