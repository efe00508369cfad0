"""The proxy's port on real sockets: two clients talk through it, and nobody else does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from rookery.shared.config import Config
from rookery.shared.xeps.socks5_bytestreams import Options
from rookery.workers.proxy.port import Port
from rookery.workers.proxy.socks import reply

HASH = "b" * 40


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    options = Options(host=("127.0.0.1",), port=0, wait_seconds=1, idle_seconds=2, bytes_per_second=4_000_000)
    one = Port(Config(socks5_bytestreams=options))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        with trio.fail_after(5):
            while not one.number:  # noqa: ASYNC110  a test may poll
                await trio.sleep(0.01)
        yield one
        nursery.cancel_scope.cancel()


async def connect(port: Port, name: str = HASH) -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", port.number)
    await stream.send_all(b"\x05\x01\x00")
    assert await exactly(stream, 2) == b"\x05\x00"
    await stream.send_all(b"\x05\x01\x00\x03\x28" + name.encode() + b"\0\0")
    return stream


async def exactly(stream: trio.SocketStream, size: int) -> bytes:
    got = b""
    with trio.fail_after(5):
        while len(got) < size:
            data = await stream.receive_some(size - len(got))
            if not data:
                break
            got += data
    return got


async def joined(port: Port) -> trio.SocketStream:
    stream = await connect(port)
    assert await exactly(stream, 47) == reply(0, HASH)
    return stream


async def test_two_clients_talk(port: Port) -> None:
    target, requester = await joined(port), await joined(port)
    third = await connect(port)
    assert (await exactly(third, 47))[1] == 2
    await trio.sleep(0.05)
    port.activate(HASH, "alice@example.org")
    data = bytes(range(256)) * 2000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(requester.send_all, data)
        assert await exactly(target, len(data)) == data
    await target.send_all(b"thanks")
    assert await exactly(requester, 6) == b"thanks"
    await requester.send_eof()
    assert await exactly(target, 1) == b""
    await target.send_all(b"still")
    assert await exactly(requester, 5) == b"still"
    await target.aclose()
    assert await exactly(requester, 1) == b""


async def test_what_is_not_activated_is_closed(port: Port) -> None:
    one = await joined(port)
    with trio.fail_after(3):
        assert await one.receive_some(1) == b""


async def test_two_processes_have_two_ports() -> None:
    ports = [Port(Config(socks5_bytestreams=Options(host=("127.0.0.1",), port=27_711))) for _ in range(2)]
    async with trio.open_nursery() as nursery:
        for one in ports:
            nursery.start_soon(one.run)
        with trio.fail_after(5):
            while not all(one.number for one in ports):  # noqa: ASYNC110  a test may poll
                await trio.sleep(0.01)
        assert ports[0].number != ports[1].number
        nursery.cancel_scope.cancel()
