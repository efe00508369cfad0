"""The server's side of a WebSocket (RFC 6455) on a channel: whole text messages in and out, no task and no timer while it is quiet.

wsproto is the framing. To its peer a `WebSocket` is a `Transport` whose writes are messages; to its channel it is the peer. What one client
may make us do is bounded: the size of a message, its fragments, frames in a turn, and frames that carry no message.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.utilities import generate_accept_token

from rookery.shared.bucket import Bucket
from rookery.shared.net.channel import Channel
from rookery.shared.net.timers import NEVER
from rookery.shared.net.transport import UNPARSED, Peer
from rookery.shared.observe.exchange import Request, Response

#: Frames looked at in one turn, and fragments that one message may have.
TURN_FRAMES: Final = 64
FRAGMENTS: Final = 1024
#: Pings and pongs a second, and how many may come at once.
CONTROL_RATE: Final = 10.0
CONTROL_BURST: Final = 100.0
#: A goodbye that the client does not answer is not waited for longer.
CLOSE_SECONDS: Final = 2.0
#: Close codes (RFC 6455 section 7.4.1).
NORMAL: Final = 1000
UNSUPPORTED: Final = 1003
POLICY: Final = 1008
TOO_BIG: Final = 1009


def accept(request: Request, subprotocol: str) -> Response | list[tuple[str, str]]:
    """The headers of our 101, or the refusal of a request that is no opening handshake for `subprotocol` (RFC 6455 section 4.2)."""
    headers = request.headers
    if "websocket" not in _list(headers.get("upgrade", "")):
        return Response(426, b"this is a WebSocket endpoint\n", headers=(("Upgrade", "websocket"),))
    if headers.get("sec-websocket-version") != "13":
        return Response(426, b"the version is 13\n", headers=(("Sec-WebSocket-Version", "13"),))
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    if subprotocol not in offered:
        return Response(400, f"the subprotocol is {subprotocol}\n".encode())
    key = headers.get("sec-websocket-key", "")
    try:
        valid = len(b64decode(key, validate=True)) == 16
    except ValueError:
        valid = False
    if request.method != "GET" or "upgrade" not in _list(headers.get("connection", "")) or not valid:
        return Response(400, b"this is no opening handshake\n")
    return [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", generate_accept_token(key.encode()).decode()),
        ("Sec-WebSocket-Protocol", subprotocol),
    ]


def _list(value: str) -> set[str]:
    return {each.strip().lower() for each in value.split(",")}


class WebSocket:
    """See the module's text. `left` is called when the socket is closed."""

    __slots__ = (
        "_channel", "_closing", "_control", "_deadline", "_fragments", "_frames", "_left", "_limit", "_lost", "_peer", "_text", "wake_slot",
    )  # fmt: skip
    _peer: Peer

    def __init__(self, channel: Channel, max_message: int, left: Callable[[], None]) -> None:
        self._channel = channel
        self._frames = Connection(ConnectionType.SERVER)
        self._limit = max_message
        self._left = left
        #: The message whose end has not come, and how many fragments of it have.
        self._text: bytearray | None = None
        self._fragments = 0
        self._control: Bucket | None = None
        #: Our close frame is sent: what still comes is only looked through for the client's.
        self._closing = False
        #: The peer knows that it is over.
        self._lost = False
        self._deadline = NEVER
        self.wake_slot = 0

    def begin(self, peer: Peer, rest: bytes) -> None:
        """Take the channel over; `rest` came behind the opening handshake."""
        self._peer = peer
        self._channel.peer = self
        if rest:
            self.on_data(rest)

    # --- Transport: for the peer ---

    @property
    def open(self) -> bool:
        """False once it is closed."""
        return self._channel.open

    @property
    def held(self) -> int:
        """The reasons not to read."""
        return self._channel.held

    @property
    def queued(self) -> int:
        """Bytes ever queued, with framing."""
        return self._channel.queued

    @property
    def since(self) -> float:
        """Since when a write waits for the client."""
        return self._channel.since

    @property
    def waiting(self) -> int:
        """Bytes queued and not sent."""
        return self._channel.waiting

    def write(self, data: bytes) -> None:
        """Queue one message."""
        if not self._closing:
            self._send(TextMessage(data=data.decode()))

    def finish(self) -> None:
        """Send everything, then the close frame, and wait for the client's."""
        self._close(NORMAL)

    def abort(self, reason: str) -> None:
        """Close now."""
        self._channel.abort(reason)

    def hold(self, reason: int) -> None:
        """Stop reading."""
        if not self._closing:
            self._channel.hold(reason)

    def release(self, reason: int) -> None:
        """Read again when no other reason is left, first what is here already."""
        channel = self._channel
        channel.release(reason)
        if channel.held == UNPARSED:
            channel.again()

    def again(self) -> None:
        """Continue in the next turn."""
        self._channel.again()

    def secure(self, domain: str) -> bool:
        """There is no STARTTLS on a WebSocket (RFC 7395 section 3.9)."""
        return False

    # --- Peer: for the channel ---

    def on_data(self, data: bytes) -> None:
        """Bytes of frames."""
        if self._frames.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            self._frames.receive_data(data)
            self._look()

    def on_again(self) -> None:
        """The next turn has come: first for the peer's leftovers, then for ours."""
        if not self._lost:
            self._peer.on_again()
        if self._channel.open and self._channel.held == UNPARSED:
            self._look()

    def on_secure(self, binding: bytes | None) -> None:
        """TLS was begun long before."""

    def on_progress(self, drained: bool) -> None:
        """Queued bytes left."""
        if not self._lost:
            self._peer.on_progress(drained)

    def on_lost(self, reason: str) -> None:
        """The socket is closed."""
        self._tell(reason)
        self._left()

    def on_timer(self, now: float) -> float:
        """The client had time enough to say goodbye."""
        if not self._channel.open:
            return NEVER
        if now >= self._deadline:
            self._channel.abort("closed")
            return NEVER
        return self._deadline

    # --- frames ---

    def _look(self) -> None:
        """Handle the frames that are here, as many as a turn allows."""
        channel = self._channel
        left = TURN_FRAMES
        for event in self._events():
            self._handle(event)
            left -= 1
            if not channel.open:
                return
            if not left or channel.held & ~UNPARSED:
                channel.hold(UNPARSED)
                if channel.held == UNPARSED:
                    channel.again()
                return
        channel.release(UNPARSED)

    def _events(self) -> Iterator[Event]:
        if self._frames.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            yield from self._frames.events()

    def _handle(self, event: Event) -> None:
        if isinstance(event, CloseConnection):
            self._closed(event)
        elif self._closing:
            pass
        elif isinstance(event, TextMessage):
            self._collect(event)
        elif isinstance(event, BytesMessage):
            # RFC 7395 section 3.2: there are only text messages.
            self._give_up(UNSUPPORTED)
        elif isinstance(event, (Ping, Pong)):
            now = self._channel.reactor.now
            if self._control is None:
                self._control = Bucket(CONTROL_RATE, CONTROL_BURST, now)
            if self._control.take(1.0, now):
                self._give_up(POLICY)
            elif isinstance(event, Ping):
                self._send(event.response())

    def _collect(self, event: TextMessage) -> None:
        """Put the parts of a message together: what is not whole yet costs no more than its bytes."""
        data = event.data.encode()
        text = self._text
        if (0 if text is None else len(text)) + len(data) > self._limit or (
            not event.frame_finished and self._announced() > self._limit
        ):
            self._give_up(TOO_BIG)
        elif event.message_finished:
            if text is not None:
                data = bytes(text) + data
                self._text, self._fragments = None, 0
            self._peer.on_data(data)
        else:
            if text is None:
                text = self._text = bytearray()
            text += data
            self._fragments += event.frame_finished
            if self._fragments >= FRAGMENTS:
                self._give_up(POLICY)

    def _announced(self) -> int:
        """The length of the frame that has come in part: what is too long is refused before its bytes are waited for."""
        # (events do not tell it, and an extension that is asked would cost every frame)
        header = self._frames._proto._frame_decoder.header
        return 0 if header is None else header.payload_len

    def _send(self, event: TextMessage | Ping | Pong | CloseConnection) -> None:
        self._channel.write(bytes(self._frames.send(event)))

    # --- the end ---

    def _tell(self, reason: str) -> None:
        if not self._lost:
            self._lost = True
            self._peer.on_lost(reason)

    def _close(self, code: int) -> None:
        """Say goodbye; from here on only the client's goodbye is waited for, whatever held the reading up."""
        if self._closing or not self._channel.open:
            return
        self._closing = True
        self._text = None
        if self._frames.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            self._send(CloseConnection(code=code))
        self._deadline = self._channel.reactor.clock() + CLOSE_SECONDS
        self._channel.reactor.at(self, self._deadline)
        self.release(self._channel.held & ~UNPARSED)

    def _give_up(self, code: int) -> None:
        """The client broke a rule of the framing: its peer hears of it at once."""
        self._close(code)
        self._tell("websocket")

    def _closed(self, event: CloseConnection) -> None:
        """The client's close frame, the answer to ours, or frames that cannot be read."""
        reason = "closed" if self._closing else "eof"
        self._close(event.code)
        # Nothing of the framing comes after this: send what is queued, and wait for the other side to close.
        self._channel.finish()
        self._tell(reason)
