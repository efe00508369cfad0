"""What an operator changes under a running cluster: certificates, domains; and the door: PROXY protocol, limits, time limits."""

from __future__ import annotations

import ipaddress
import ssl
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio
import trustme
from tests.cluster.harness import Cluster
from tests.cluster.people import People, condition, exchange, header
from tests.stories.client import Client, Endpoint

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path, trustme.CA]]:
    """A cluster whose certificates are ours, as in production."""
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certify(authority, directory, "localhost")
    environment = {
        "ROOKERY_TLS__DIRECTORY": str(directory),
        "ROOKERY_TLS__RELOAD_INTERVAL": "0.3",
        "ROOKERY_CHANNEL_BINDING__TYPE": "tls-server-end-point",
    }
    pem = authority.cert_pem.bytes().decode()
    with Cluster(domains=["localhost"], environment=environment, authority=pem) as running:
        yield running, directory, authority


def certify(authority: trustme.CA, directory: Path, domain: str) -> bytes:
    """Put a new certificate where an edge finds it; return it in DER."""
    leaf = authority.issue_cert(domain)
    target = directory / domain
    target.mkdir(exist_ok=True)
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    for name, data in (("privkey.pem", leaf.private_key_pem.bytes()), ("fullchain.pem", chain)):
        part = target / f"{name}.new"
        part.write_bytes(data)
        part.rename(target / name)
    return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())


async def until_served(end: Endpoint, domain: str, certificate: bytes) -> None:
    """Wait until an edge shows this certificate. Raises trio.TooSlowError."""
    assert end.tls is not None
    with trio.fail_after(20):
        while True:
            tcp = await trio.open_tcp_stream(end.host, end.port)
            stream = trio.SSLStream(tcp, end.tls, server_hostname=domain)
            try:
                await stream.do_handshake()
                if stream.getpeercert(binary_form=True) == certificate:
                    return
            finally:
                await trio.aclose_forcefully(stream)
            await trio.sleep(0.1)


async def test_a_new_certificate_is_served_without_restart(
    changing: tuple[Cluster, Path, trustme.CA],
) -> None:
    cluster, directory, authority = changing
    user, password = cluster.add_users(1)[0]
    ends = [cluster.endpoint(index, "tls") for index in range(2)]
    before = Client(ends[0], "localhost")
    await before.login(user, password)
    pids = cluster.pids("edge")
    new = certify(authority, directory, "localhost")
    for end in ends:
        await until_served(end, "localhost", new)
    # Channel binding goes with the new certificate, and streams that began under the old one go on.
    after = Client(ends[1], "localhost")
    await after.connect()
    await after.authenticate(user, password, "SCRAM-SHA-256-PLUS")
    await after.bind()
    assert (await before.ping()).get("type") == "result"
    assert cluster.pids("edge") == pids
    for client in (before, after):
        await client.drop()


async def test_a_domain_is_added_while_it_runs(changing: tuple[Cluster, Path, trustme.CA]) -> None:
    cluster, directory, authority = changing
    ends = [cluster.endpoint(index) for index in range(2)]
    data = header("hot.localhost")
    assert condition(await exchange(Endpoint("127.0.0.1", ends[0].port, "plain"), data)) == "host-unknown"
    certify(authority, directory, "hot.localhost")
    cluster.cli("domain", "add", "hot.localhost")
    (user, password), (local, local_password) = (
        cluster.import_users([("hot", "hot.localhost")])[0],
        cluster.add_users(1)[0],
    )
    hot = Client(ends[0], "hot.localhost")
    with trio.fail_after(20):
        while True:
            try:
                await hot.login(user, password)
                break
            except Exception:  # not known to that edge yet
                await hot.drop()
                hot = Client(ends[0], "hot.localhost")
                await trio.sleep(0.1)
    other = Client(ends[1], "localhost")
    await other.login(local, local_password)
    await other.send(f"<message to='{hot.jid}' id='m'><body>x</body></message>")
    got = await hot.receive()
    assert (got.get("id"), got.get("from")) == ("m", other.jid)
    for client in (hot, other):
        await client.drop()


# --- the door ------------------------------------------------------------------------------------------------------


def proxied(source: str, port: int = 40_000) -> bytes:
    """A PROXY protocol version 2 header for a client at `source` (haproxy's proxy-protocol.txt, section 2.2)."""
    address = ipaddress.ip_address(source)
    family, target = (0x11, "127.0.0.1") if address.version == 4 else (0x21, "::1")
    body = address.packed + ipaddress.ip_address(target).packed + struct.pack("!HH", port, 5222)
    return b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", 0x21, family, len(body)) + body


@pytest.fixture(scope="module")
def guarded() -> Iterator[Cluster]:
    """One edge behind a balancer on loopback, with small limits: what it counts is whom the balancer names."""
    environment = {
        "ROOKERY_EDGE__PROXY_PROTOCOL_NETS": "127.0.0.0/8",
        "ROOKERY_LIMITS__CONNECTIONS_PER_IP": "5",
        "ROOKERY_LIMITS__CONNECTIONS_PER_IP_PER_SECOND": "1000",
        "ROOKERY_LIMITS__PREAUTH_SECONDS": "2",
        "ROOKERY_LIMITS__TLS_SECONDS": "1",
    }
    with Cluster(edges=1, routers=1, workers=1, environment=environment) as running:
        yield running


async def opened(end: Endpoint, first: bytes) -> tuple[trio.SocketStream, bytes]:
    """Connect, send `first`, return the stream and what came at first (b"" when it was closed)."""
    stream = await trio.open_tcp_stream(end.host, end.port)
    try:
        await stream.send_all(first)
        with trio.fail_after(10):
            return stream, bytes(await stream.receive_some(4096))
    except trio.BrokenResourceError:
        return stream, b""


async def close(streams: Sequence[trio.SocketStream]) -> None:
    """Let them go."""
    for stream in streams:
        await stream.aclose()


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (["192.0.2.1"] * 6, "192.0.2.2"),
        ([f"2001:db8:1:2::{number}" for number in range(1, 7)], "2001:db8:1:3::1"),
    ],
    ids=["IPv4", "a /64 of IPv6"],
)
async def test_connections_of_one_address_are_limited(guarded: Cluster, same: list[str], other: str) -> None:
    end = guarded.endpoint(0, "plain")
    held: list[trio.SocketStream] = []
    answers = []
    for source in same:
        stream, answer = await opened(end, proxied(source) + header())
        held.append(stream)
        answers.append(b"features" in answer)
    assert answers == [True] * 5 + [False]
    stream, answer = await opened(end, proxied(other) + header())
    assert b"features" in answer
    await close([*held, stream])
    # Room again when they have gone.
    with trio.fail_after(10):
        while True:
            stream, answer = await opened(end, proxied(same[0]) + header())
            await stream.aclose()
            if b"features" in answer:
                break


@pytest.mark.parametrize(
    "first",
    [
        header(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + header(),
        proxied("192.0.2.9")[:-3] + b"\xff" * 40,
        b"\r\n\r\n\x00\r\nQUIT\nX",
    ],
    ids=["none", "version 1", "truncated", "wrong"],
)
async def test_a_balancer_must_say_whom_it_brings(guarded: Cluster, first: bytes) -> None:
    received = await exchange(guarded.endpoint(0, "plain"), first)
    assert b"features" not in received


async def test_a_proxy_header_of_others_is_no_stream(cluster: Cluster) -> None:
    received = await exchange(cluster.endpoint(0, "plain"), proxied("192.0.2.7") + header())
    assert b"features" not in received


async def test_slow_strangers_are_sent_away(guarded: Cluster) -> None:
    end = guarded.endpoint(0, "plain")

    async def slow(source: str, data: bytes) -> float:
        began = trio.current_time()
        stream = await trio.open_tcp_stream(end.host, end.port)
        async with stream:
            await stream.send_all(proxied(source))
            async with trio.open_nursery() as nursery:

                async def drip() -> None:
                    try:
                        for byte in data:
                            await stream.send_all(bytes([byte]))
                            await trio.sleep(0.25)
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        return

                nursery.start_soon(drip)
                try:
                    with trio.fail_after(15):
                        while await stream.receive_some(4096):
                            pass
                except trio.BrokenResourceError:
                    pass
                nursery.cancel_scope.cancel()
        return trio.current_time() - began

    for number, data in enumerate((header(), b" " * 200, b"")):
        assert await slow(f"192.0.2.{20 + number}", data) < 8


async def test_stalled_handshakes_are_ended(guarded: Cluster) -> None:
    end = guarded.endpoint(0, "tls")
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    first = hello.read()
    for number, part in enumerate((first, first[:20], b"")):
        began = trio.current_time()
        stream, _ = await opened(end, proxied(f"192.0.2.{40 + number}") + part)
        with trio.fail_after(15):
            try:
                while await stream.receive_some(65536):
                    pass
            except trio.BrokenResourceError:
                pass
        await stream.aclose()
        assert trio.current_time() - began < 6


async def test_guesses_from_one_address_are_limited(guarded: Cluster) -> None:
    """Twenty wrong passwords of one address in ten minutes; the account itself is not locked out."""
    people = People(guarded, iter(guarded.add_users(2)))
    user, password = people.account()
    refused = 0
    for _ in range(30):
        stream = await trio.open_tcp_stream("127.0.0.1", guarded.endpoint(0).port)
        await stream.send_all(proxied("198.51.100.1"))
        client = Behind(guarded.endpoint(0), "localhost", stream)
        try:
            await client.connect()
            await client.authenticate(user, "wrong")
        except Exception as exc:
            refused += "not-authorized" not in str(exc)
        await client.drop()
    assert refused >= 5
    stream = await trio.open_tcp_stream("127.0.0.1", guarded.endpoint(0).port)
    await stream.send_all(proxied("198.51.100.2"))
    client = Behind(guarded.endpoint(0), "localhost", stream)
    await client.login(user, password)
    await client.drop()


class Behind(Client):
    """A client whose TCP connection is there already (a balancer made it)."""

    def __init__(self, endpoint: Endpoint, domain: str, stream: trio.SocketStream) -> None:
        super().__init__(endpoint, domain)
        self._stream = stream

    async def _open(self) -> None:
        from tests.stories.transport import TcpTransport

        self._transport = TcpTransport(self._stream)
