"""WebSocket frames on a channel: messages whole and in order, and what a hostile client gets."""

from __future__ import annotations

import os
import struct
from base64 import b64encode

import pytest
import trio
from tests.unit.net.rig import Recorder, Rig, rig, wait_for
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, Pong, TextMessage

from rookery.shared.net import websocket
from rookery.shared.net.transport import SHAPED
from rookery.shared.net.websocket import FRAGMENTS, WebSocket, accept
from rookery.shared.observe.exchange import Request, Response

LIMIT = 100_000


class Messages(Recorder):
    """A peer that keeps whole messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[bytes] = []

    def on_data(self, data: bytes) -> None:
        self.messages.append(data)


class Client:
    """The other side: wsproto for what is right, raw bytes for what is not."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.frames = Connection(ConnectionType.CLIENT)

    async def send(self, event: Event) -> None:
        await self.stream.send_all(self.frames.send(event))

    async def text(self, data: str, *, finished: bool = True) -> None:
        await self.send(TextMessage(data=data, message_finished=finished))

    async def events(self) -> list[Event]:
        """All events until the server closes or has said goodbye."""
        seen: list[Event] = []
        with trio.fail_after(5):
            while not any(isinstance(event, CloseConnection) for event in seen):
                data = await self.stream.receive_some(65_536)
                if not data:
                    break
                self.frames.receive_data(bytes(data))
                seen += self.frames.events()
        return seen

    async def code(self) -> int:
        last = (await self.events())[-1]
        assert isinstance(last, CloseConnection)
        return int(last.code)


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A masked frame with no check whatever."""
    mask = os.urandom(4)
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    return bytes([(0x80 if fin else 0) | opcode]) + length + mask + body


async def opened(lab: Rig) -> tuple[Messages, WebSocket, Client, list[bool]]:
    peer, left = Messages(), list[bool]()
    channel, other = await lab.accepted(Recorder())
    socket = WebSocket(channel, LIMIT, lambda: left.append(True))
    socket.begin(peer, b"")
    return peer, socket, Client(other), left


async def test_messages_come_whole_and_in_order() -> None:
    async with rig() as lab:
        peer, socket, client, left = await opened(lab)
        for n in range(300):  # more than a turn takes
            await client.text(f"<{n}>")
        await client.text("ü" * 40_000)
        await client.text("a", finished=False)
        await client.text("b", finished=False)
        await client.send(Ping(payload=b"?"))
        await client.text("c")
        wanted = [f"<{n}>".encode() for n in range(300)] + ["ü".encode() * 40_000, b"abc"]
        await wait_for(lambda: peer.messages == wanted)
        socket.write("ä".encode())
        socket.finish()
        events = await client.events()
        assert [type(event) for event in events] == [Pong, TextMessage, CloseConnection]
        assert events[-1].code == websocket.NORMAL  # type: ignore[attr-defined]
        await client.send(events[-1].response())  # type: ignore[attr-defined]
        await wait_for(lambda: peer.lost == ["closed"])
        await client.stream.aclose()
        await wait_for(lambda: left)


async def test_bytes_that_trickle_in() -> None:
    async with rig() as lab:
        peer, _, client, _ = await opened(lab)
        data = frame(1, "grüße".encode()) + frame(1, b"x" * 200)
        for at in range(len(data)):
            await client.stream.send_all(data[at : at + 1])
            if at % 50 == 0:
                await trio.sleep(0.001)
        await wait_for(lambda: peer.messages == ["grüße".encode(), b"x" * 200])


async def test_a_held_socket_gives_nothing_and_loses_nothing() -> None:
    async with rig() as lab:
        _, socket, client, _ = await opened(lab)

        class Holding(Messages):
            def on_data(self, data: bytes) -> None:
                super().on_data(data)
                if data == b"2":
                    socket.hold(SHAPED)

        holding = Holding()
        socket.begin(holding, b"")
        for n in range(200):
            await client.text(str(n))
        await wait_for(lambda: len(holding.messages) == 3)
        await trio.sleep(0.02)
        assert len(holding.messages) == 3
        socket.release(SHAPED)
        await wait_for(lambda: holding.messages == [str(n).encode() for n in range(200)])
        assert socket.held == 0


HOSTILE = {
    "no UTF-8": (frame(1, b"\xff\xfe"), 1007),
    "half a character at the end": (frame(1, "ü".encode()[:1]), 1007),
    "no UTF-8 in a later fragment": (frame(1, b"a", fin=False) + frame(0, b"\xc3\x28"), 1007),
    "too big": (frame(1, b"a" * 60_000, fin=False) + frame(0, b"a" * 60_000), 1009),
    "a length of 8 MiB and a few bytes": (b"\x81\xff" + struct.pack("!Q", 8 << 20) + b"abcd" + b"abc", 1009),
    "a length of 2^62 and one byte": (b"\x81\xff" + struct.pack("!Q", 2**62) + b"abcd" + b"a", 1009),
    "a huge length": (b"\x81\xff" + struct.pack("!Q", 2**62) + b"abcd" + b"a" * (LIMIT + 9), 1009),
    "binary": (frame(2, b"a"), 1003),
    "no mask": (b"\x81\x01a", 1002),
    "reserved bits": (b"\xc1" + frame(1, b"a")[1:], 1002),
    "an unknown opcode": (frame(5, b"a"), 1002),
    "a lonely continuation": (frame(0, b"a"), 1002),
    "a message within a message": (frame(1, b"a", fin=False) + frame(1, b"b"), 1002),
    "a ping in fragments": (frame(9, b"a", fin=False), 1002),
    "empty fragments": (frame(1, fin=False) + frame(0, fin=False) * 10_000, 1008),
    "many pings": (frame(9, b"a") * 10_000, 1008),
    "many pongs": (frame(10) * 10_000, 1008),
    "a close code that does not exist": (frame(8, struct.pack("!H", 999)), 1002),
}


@pytest.mark.parametrize(("data", "code"), HOSTILE.values(), ids=HOSTILE.keys())
async def test_what_hostile_frames_get(data: bytes, code: int) -> None:
    async with rig() as lab:
        peer, _, client, left = await opened(lab)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send, client.stream, data)
            assert await client.code() == code
            nursery.cancel_scope.cancel()
        assert peer.lost
        await client.stream.aclose()
        await wait_for(lambda: left and not lab.reactor._sources)
        assert peer.messages == []


async def _send(stream: trio.SocketStream, data: bytes) -> None:
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        pass


async def test_fragments_below_the_bound_are_a_message() -> None:
    async with rig() as lab:
        peer, _, client, _ = await opened(lab)
        await client.stream.send_all(frame(1, b"a", fin=False) + frame(0, b"b", fin=False) * (FRAGMENTS - 2))
        await client.stream.send_all(frame(0, b"c"))
        await wait_for(lambda: peer.messages == [b"a" + b"b" * (FRAGMENTS - 2) + b"c"])


async def test_a_flood_of_frames_takes_many_short_turns() -> None:
    async with rig() as lab:
        peer, _, client, _ = await opened(lab)
        turns = lab.reactor.turns
        await client.stream.send_all(frame(1, b"a") * 1_000)
        await wait_for(lambda: len(peer.messages) == 1_000)
        assert lab.reactor.turns - turns >= 1_000 // websocket.TURN_FRAMES


async def test_the_clients_goodbye_is_answered_with_its_code() -> None:
    async with rig() as lab:
        peer, _, client, _ = await opened(lab)
        await client.send(CloseConnection(code=1001))
        assert await client.code() == 1001
        assert peer.lost == ["eof"]


async def test_a_goodbye_without_an_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.1)
    async with rig() as lab:
        peer, socket, _, left = await opened(lab)
        socket.hold(SHAPED)
        socket.finish()
        socket.write(b"nothing comes after the goodbye")
        await wait_for(lambda: left)
        assert peer.lost == ["closed"]


RIGHT = {
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
    "sec-websocket-protocol": "chat, xmpp",
}


def test_the_opening_handshake_of_rfc_6455() -> None:
    answer = accept(Request("GET", "/", {}, RIGHT), "xmpp")
    assert isinstance(answer, list)
    assert dict(answer) == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol": "xmpp",
    }


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("upgrade", "h2c", 426),
        ("sec-websocket-version", "8", 426),
        ("sec-websocket-protocol", "chat", 400),
        ("sec-websocket-protocol", "", 400),
        ("connection", "close", 400),
        ("sec-websocket-key", "", 400),
        ("sec-websocket-key", b64encode(b"short").decode(), 400),
        ("sec-websocket-key", "not base64!", 400),
    ],
)
def test_no_opening_handshake(name: str, value: str, status: int) -> None:
    answer = accept(Request("GET", "/", {}, {**RIGHT, name: value}), "xmpp")
    assert isinstance(answer, Response)
    assert answer.status == status
