"""What only a real NATS can show: restarts, credentials, TLS, strangers on our subjects."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from rookery.embedded import start_nats
from rookery.embedded.nats import find_nats_server
from rookery.shared import config
from rookery.shared.bus.messages import Acked, DomainsChanged, Kind
from rookery.shared.bus.nats import NatsBus, open_bus

#: Every subject of an installation.
_SUBJECT = re.compile(r"[A-Za-z0-9_-]+\.(ctl|node\.[A-Za-z0-9_-]+)\Z")


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    begin = time.monotonic()
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  from outside
            await trio.sleep(0.005)
    return time.monotonic() - begin


class Pair:
    """An edge that posts and a router that writes down."""

    def __init__(self, settings: config.Bus) -> None:
        self.edge = NatsBus("edge1", settings)
        self.router = NatsBus("router1", settings)
        self.edge.resolver = lambda kind, partition: ("router1", 1)
        self.got: list[int] = []
        self.router.receiver = lambda s, k, p, e, item: self.got.append(item.n)  # type: ignore[union-attr]
        self.posted = 0

    def post(self, count: int = 1) -> None:
        for _ in range(count):
            self.edge.post(Kind.ROUTER, 1, Acked("", 0, self.posted))
            self.posted += 1

    async def complete(self, seconds: float = 10.0) -> float:
        took = await until(lambda: len(self.got) >= self.posted, seconds)
        assert self.got == list(range(self.posted))
        return took


@asynccontextmanager
async def pair(settings: config.Bus) -> AsyncIterator[Pair]:
    async with trio.open_nursery() as nursery:
        both = Pair(settings)
        await nursery.start(both.edge.run)
        await nursery.start(both.router.run)
        yield both
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_killed_nats_loses_nothing_between_living_processes() -> None:
    server = start_nats()
    port, token = server.port, server.token
    try:
        async with pair(config.Bus(url=server.url)) as both:
            both.post(1000)
            await both.complete()
            # In full flight: what is in the server's buffers dies with it.
            for _ in range(200):
                both.post(20)
                await trio.sleep(0.0005)
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            await until(lambda: not both.edge.connected and not both.router.connected)
            both.post(500)
            assert both.edge.congested()
            server.stop()
            server = start_nats(port=port, token=token)
            await until(lambda: both.edge.connected and both.router.connected, 3.0)
            assert await both.complete() < 2.0
            assert both.edge.stats.resets == 0
    finally:
        server.stop()


@pytest.mark.slow
async def test_frozen_nats_is_noticed_and_nothing_is_lost() -> None:
    server = start_nats()
    try:
        async with pair(config.Bus(url=server.url)) as both:
            both.post(10)
            await both.complete()
            os.kill(server.pid, signal.SIGSTOP)
            both.post(10)
            await until(lambda: not both.edge.connected, 20.0)
            os.kill(server.pid, signal.SIGCONT)
            await both.complete(20.0)
    finally:
        os.kill(server.pid, signal.SIGCONT)
        server.stop()


async def test_what_came_for_a_process_that_stood_still_is_thrown_away_and_asked_for_again(
    nats_url: str, bus_prefix: str
) -> None:
    async with pair(config.Bus(url=nats_url, prefix=bus_prefix)) as both:
        both.post(10)
        await both.complete()
        stood: list[float] = []
        both.router.on_frozen = stood.append
        # As after SIGSTOP and SIGCONT: the last tick was long ago, and something has come meanwhile.
        both.router._ticked -= 10.0
        both.post(10)
        await both.complete(10.0)
        assert both.router.connections == 2
        assert both.edge.connections == 1
        assert both.edge.stats.resets == 0, "whoever still counts on it sends again what was not acknowledged"
        assert stood
        assert 9.0 < stood[0] < 11.0


async def test_wrong_token_waits_and_never_tells_the_token(
    nats_url: str, bus_prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = nats_url.rpartition("@")[2]
    bus = NatsBus("edge1", config.Bus(url=f"nats://{address}", token="s3cret-token", prefix=bus_prefix))
    with trio.move_on_after(0.8):
        await bus.run()
    assert not bus.connected
    said = capsys.readouterr()
    assert "s3cret" not in said.out + said.err


async def test_strangers_on_our_subjects_do_no_harm(nats_url: str, bus_prefix: str) -> None:
    """Bytes that are no batch, sent with valid credentials."""
    async with pair(config.Bus(url=nats_url, prefix=bus_prefix)) as both:
        both.post(5)
        await both.complete()
        junk = [
            b"",
            b"\xc1",
            b"\x91" * 10_000,
            b"\xdd\xff\xff\xff\xff",
            b"\xc6\x40\x00\x00\x00",
            os.urandom(500),
        ]
        for payload in junk:
            for subject in (f"{bus_prefix}.node.router1", f"{bus_prefix}.ctl"):
                both.edge.transport.send(subject, payload)
        both.edge.transport.flush()
        await until(lambda: both.router.stats.bad_batches >= 2 * len(junk) - 2)
        both.post(5)
        await both.complete()


async def test_only_our_subjects_appear_on_nats(nats_url: str, bus_prefix: str) -> None:
    """Whatever users put into JIDs, subjects stay inside the grammar."""
    token, _, address = nats_url.removeprefix("nats://").rpartition("@")
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as spy:
        spy.settimeout(2.0)
        spy.sendall(
            f'CONNECT {{"verbose":false,"auth_token":"{token}"}}\r\nSUB {bus_prefix}.> 1\r\nPING\r\n'.encode()
        )
        seen = b""
        while b"PONG" not in seen:
            seen += spy.recv(65_536)
        async with pair(config.Bus(url=nats_url, prefix=bus_prefix)) as both:
            for text in ("a.b*c>d", "a b\r\nPUB x 1\r\ny", "$SYS.$JS"):
                both.edge.post(Kind.ROUTER, 1, Acked(text, 0, both.posted))
                both.posted += 1
            both.edge.announce(DomainsChanged())
            await both.complete()
        seen = b""
        while seen.count(b"MSG ") < 2:
            seen += spy.recv(65_536)
    subjects = re.findall(rb"^MSG (\S+) 1 \d+\r$", seen, re.MULTILINE)
    assert {s.decode() for s in subjects} >= {f"{bus_prefix}.node.router1", f"{bus_prefix}.ctl"}
    assert all(_SUBJECT.match(s.decode()) for s in subjects)


async def test_drain_means_that_the_server_has_everything(nats_url: str, bus_prefix: str) -> None:
    settings = config.Bus(url=nats_url, prefix=bus_prefix)
    async with trio.open_nursery() as nursery:
        heard: list[object] = []
        listener = NatsBus("b1", settings)
        listener.on_control = heard.append
        await nursery.start(listener.run)
        async with open_bus("a1", settings) as bus:
            bus.announce(DomainsChanged())
            assert await bus.drain()
        await until(lambda: heard == [DomainsChanged()])
        nursery.cancel_scope.cancel()


# --- TLS ---


@pytest.fixture
def tls_nats(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A nats-server that demands TLS with user and password: (port, CA file)."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "nats.conf").write_text(
        f'host: "127.0.0.1"\nport: {port}\ntls {{ cert_file: "{tmp_path}/both.pem", key_file: "{tmp_path}/both.pem" }}\n'
        'authorization { user: "u", password: "p" }\n'
    )
    process = subprocess.Popen(
        [str(find_nats_server()), "-c", str(tmp_path / "nats.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.02)
        yield port, tmp_path / "ca.pem"
    finally:
        process.kill()
        process.wait()


async def test_tls_with_password(tls_nats: tuple[int, Path], bus_prefix: str) -> None:
    port, authority = tls_nats
    settings = config.Bus(
        url=f"tls://localhost:{port}", user="u", password="p", ca_file=str(authority), prefix=bus_prefix
    )
    async with pair(settings) as both:
        both.post(5000)
        await both.complete()


async def test_tls_of_an_unknown_authority_is_refused(tls_nats: tuple[int, Path], bus_prefix: str) -> None:
    port, _ = tls_nats
    bus = NatsBus(
        "edge1", config.Bus(url=f"tls://localhost:{port}", user="u", password="p", prefix=bus_prefix)
    )
    with trio.move_on_after(0.8):
        await bus.run()
    assert not bus.connected
