"""The proxy of `bench record` on real sockets: what passes is what was said, and the tape has what was heard."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from rookery.bench.recording.between import Between, Plain
from rookery.bench.recording.proxy import Recording
from rookery.bench.recording.tape import Renamer

BOUND = b"<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>ann@x.example/r</jid></bind></iq>"
SAID = (
    b"<stream:stream to='x.example' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    b"<presence/><message to='bob@x.example'><body>one</body></message>"
)
BETWEEN = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='a.example' to='b.example'>"
    b"<message from='ann@a.example/r' to='bob@b.example' type='chat'><body>one</body></message>"
    b"<message from='room@muc.a.example/x' to='bob@b.example' type='groupchat'><body>no</body></message>"
    b"<message from='ann@a.example/r' to='bob@b.example'><body>two</body></message>"
    b"<iq from='a.example' to='b.example' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"
)


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[Recording, io.StringIO, int, list[bytes]]]:
    """A proxy to a server that greets each client with BOUND; what that hears is in the list."""
    tape, heard, ports = io.StringIO(), list[bytes](), list[int]()

    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(BOUND)
        while data := await stream.receive_some():
            heard.append(data)

    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
        )
        target = listeners[0].socket.getsockname()[:2]
        made = Recording(tape, "seed")
        there = trio.Event()

        def ready(port: int) -> None:
            ports.append(port)
            there.set()

        nursery.start_soon(made.serve, ("127.0.0.1", 0), target, ready)
        await there.wait()
        yield made, tape, ports[0], heard
        nursery.cancel_scope.cancel()


async def test_bytes_pass_both_ways_and_messages_are_written_without_names_and_words() -> None:
    async with recording() as (made, tape, port, heard):
        client = await trio.open_tcp_stream("127.0.0.1", port)
        assert await client.receive_some() == BOUND
        for place in range(0, len(SAID), 17):
            await client.send_all(SAID[place : place + 17])
        with trio.fail_after(5):
            while b"".join(heard) != SAID:  # noqa: ASYNC110  a test may poll
                await trio.sleep(0.01)
        await client.aclose()
        with trio.fail_after(5):
            while not made.passed:  # noqa: ASYNC110  the end of the connection
                await trio.sleep(0.01)
        lines = tape.getvalue().splitlines()
        assert (made.messages, made.passed, made.sealed, len(lines)) == (1, 1, 0, 2)
        assert not any(word in tape.getvalue() for word in ("ann", "bob", "one"))


async def test_a_server_that_is_away_ends_the_connection_of_the_client() -> None:
    async with recording() as (made, _tape, _port, _heard):
        there, ports = trio.Event(), list[int]()

        def ready(port: int) -> None:
            ports.append(port)
            there.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.serve, ("127.0.0.1", 0), ("127.0.0.1", 1), ready)
            await there.wait()
            client = await trio.open_tcp_stream("127.0.0.1", ports[0])
            with trio.fail_after(5):
                assert await client.receive_some() == b""
            nursery.cancel_scope.cancel()


def test_messages_of_people_are_heard_between_servers_however_they_come() -> None:
    renamer = Renamer("seed")
    for size in (1, 7, 10_000):
        one = Between(renamer)
        events = [
            event
            for place in range(0, len(BETWEEN), size)
            for event in one.hear(BETWEEN[place : place + size], 5)
        ]
        assert [event.body for event in events] == [renamer.body("one"), renamer.body("two")]
        assert {(event.sender, event.receiver) for event in events} == {
            (renamer.person("ann@a.example"), renamer.person("bob@b.example"))
        }
        assert one.passed == 2


def test_the_word_that_begins_tls_is_kept_back_however_it_comes() -> None:
    said = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
    for size in (1, 3, 1000):
        plain = Plain()
        plain.from_client(BETWEEN[:60])
        plain.from_client(BETWEEN[60:200])
        assert (plain.from_, plain.to) == ("a.example", "b.example")
        whole = said + b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        passed = b"".join(plain.from_server(whole[at : at + size]) for at in range(0, len(whole), size))
        assert passed == said
        assert plain.ready
