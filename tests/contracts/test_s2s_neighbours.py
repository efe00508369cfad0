"""Bad neighbours on real sockets: whatever one server does, its stream ends in bounded time and memory, and a good one beside it is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from tests.contracts.s2s_lab import Lab, Recorded, Server, lab, message, until

_HEADER = (
    b"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'"
    b" from='bad.example' to='a.example' id='1' version='1.0'>"
)
_FEATURES = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
_PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
Play = Callable[[trio.SocketStream], Awaitable[None]]


async def says_nothing(_stream: trio.SocketStream) -> None:
    """It accepts, and that is all."""
    await trio.sleep_forever()


async def stalls_in_tls(stream: trio.SocketStream) -> None:
    """It wants TLS, and then does not shake hands."""
    await stream.send_all(_HEADER + _FEATURES)
    await stream.receive_some()
    await stream.send_all(_PROCEED)
    await trio.sleep_forever()


async def speaks_no_end(stream: trio.SocketStream) -> None:
    """Features that never end."""
    await stream.send_all(_HEADER + b"<stream:features>")
    while True:
        await stream.send_all(b"<mechanism>" + b"x" * 4096 + b"</mechanism>")


async def drips(stream: trio.SocketStream) -> None:
    """A byte now and then keeps nobody waiting for ever."""
    for byte in _HEADER * 100:
        await stream.send_all(bytes((byte,)))
        await trio.sleep(0.05)


async def is_no_server_of_xmpp(stream: trio.SocketStream) -> None:
    """It speaks first, and something else."""
    await stream.send_all(b"SSH-2.0-x\r\n")
    await trio.sleep_forever()


async def hangs_up(_stream: trio.SocketStream) -> None:
    """It closes at once."""


async def outcome(here: Lab, play: Play) -> tuple[Recorded, Recorded, float]:
    """A stream to a server that plays so, one to a good server that is opened after it, and how long the first one took to end."""
    async with trio.open_nursery() as nursery:

        async def serve(stream: trio.SocketStream) -> None:
            try:
                await play(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            await stream.aclose()

        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        good = here.server("good", "good.example")
        ours = here.server(
            "a",
            "a.example",
            routes=(f"bad.example=127.0.0.1:{port}", good.way("good.example")),
            negotiate_seconds=1.0,
            connect_seconds=1.0,
        )
        bad, well = Recorded(), Recorded()
        began = trio.current_time()
        ours.streams.open("bad.example", "a.example", bad)
        ours.streams.open("good.example", "a.example", well)
        await until(lambda: well.opened)
        await until(lambda: bad.troubles, 10)
        took = trio.current_time() - began
        nursery.cancel_scope.cancel()
    return bad, well, took


@pytest.mark.parametrize(
    ("play", "kinds"),
    [
        (says_nothing, {"timeout"}),
        (stalls_in_tls, {"timeout", "tls"}),
        (speaks_no_end, {"stream", "policy"}),
        (drips, {"timeout", "stream"}),
        (is_no_server_of_xmpp, {"stream", "closed"}),
        (hangs_up, {"stream", "closed"}),
    ],
)
async def test_who_is_no_good_server(tmp_path: Path, play: Play, kinds: set[str]) -> None:
    async with lab(tmp_path) as here:
        bad, well, took = await outcome(here, play)
        assert (bad.opened, well.troubles) == (0, [])
        assert bad.troubles[0].kind in kinds
        assert took < 5.0


async def two(here: Lab, **settings: object) -> tuple[Server, Server, Recorded, object]:
    there = here.server("b", "b.example", **settings)
    ours = here.server("a", "a.example", routes=(there.way("b.example"),))
    owner = Recorded()
    link = ours.streams.open("b.example", "a.example", owner)
    await until(lambda: owner.opened or owner.troubles)
    assert owner.troubles == []
    return there, ours, owner, link


async def test_a_stanza_that_is_too_large_ends_its_stream_alone(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        there, ours, owner, link = await two(here, stanza_bytes=10_000)
        link.send(message("romeo@a.example/x", "juliet@b.example", "good"))  # type: ignore[attr-defined]
        link.send(message("romeo@a.example/x", "juliet@b.example", "x" * 20_000))  # type: ignore[attr-defined]
        await until(lambda: owner.troubles)
        assert owner.troubles[0].text.startswith("the other side says policy-violation")
        assert [stanza.id for stanza in there.taken] == ["good"]
        again = Recorded()
        ours.streams.open("b.example", "a.example", again)
        await until(lambda: again.opened)


async def test_who_does_not_read_is_given_up_and_takes_bounded_memory(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        there, ours, owner, link = await two(here)
        there.inboxes[0].inlet.hold()
        sent = 0
        while not owner.troubles and sent < 2000:
            link.send(message("romeo@a.example/x", "juliet@b.example", "y" * 60_000))  # type: ignore[attr-defined]
            sent += 1
            await trio.lowlevel.checkpoint()
        assert owner.troubles
        assert owner.troubles[0].kind == "limit"
        assert link.waiting < ours.config.s2s.outbox_bytes + 100_000  # type: ignore[attr-defined]
