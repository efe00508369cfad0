"""TLS of the port of the files: what passes is whole in both directions, and ends are told apart."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trustme

from rookery.shared.net.secured import Secured

DATA = bytes(range(256)) * 8192  # 2 MiB


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Secured, trio.SSLStream[trio.SocketStream]]]:
    """Our side after its handshake, and the client's."""
    authority, server, client = (
        trustme.CA(),
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        ssl.create_default_context(),
    )
    authority.issue_cert("files.example").configure_cert(server)
    authority.configure_trust(client)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    async with listener, await trio.open_tcp_stream("127.0.0.1", port) as raw:
        theirs = trio.SSLStream(raw, client, server_hostname="files.example", https_compatible=True)
        ours = Secured(await listener.accept(), server)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.do_handshake)
                nursery.start_soon(theirs.do_handshake)
            try:
                yield ours, theirs
            finally:
                await trio.aclose_forcefully(ours)


async def test_all_of_it_comes_both_ways_at_once() -> None:
    async with connected() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send_all, DATA)
        nursery.start_soon(ours.send_all, DATA)
        for stream in (ours, theirs):
            got = bytearray()
            while len(got) < len(DATA):
                piece = await stream.receive_some(100_000)
                assert 0 < len(piece) <= 100_000
                got += piece
            assert got == DATA


async def test_an_end_is_an_end() -> None:
    async with connected() as (ours, theirs):
        # (a goodbye, not a cut: a client can tell that nothing is missing)
        theirs._https_compatible = False
        await ours.send_all(b"heard")
        await ours.send_eof()
        assert [await theirs.receive_some(), await theirs.receive_some()] == [b"heard", b""]


async def test_a_client_that_says_nothing_more() -> None:
    async with connected() as (ours, theirs):
        await theirs.send_all(b"last")
        await theirs.transport_stream.send_eof()
        assert [await ours.receive_some(), await ours.receive_some()] == [b"last", b""]


async def test_a_client_that_is_gone() -> None:
    async with connected() as (ours, theirs):
        await trio.aclose_forcefully(theirs)

        async def say() -> None:
            while True:
                await ours.send_all(DATA)

        with pytest.raises(trio.BrokenResourceError):
            await say()
        await ours.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await ours.receive_some()
