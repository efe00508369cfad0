"""One connection: connect, TLS, WebSocket, then a script, then whatever a scenario makes of its bytes.

`sink(client, data)` gets each chunk once the login is over; until then (and whenever `run` is called) chunks are cut into
elements that go to the script. Nothing here allocates per stanza but the bytes.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from rookery.bench.driver import loop as loops
from rookery.bench.driver import script as scripts
from rookery.bench.driver.bosh import Bosh
from rookery.bench.driver.login import Session
from rookery.bench.driver.scan import split
from rookery.bench.driver.script import Note, OpenStream, Script, ScriptError, Send, StartTls, answer, parse
from rookery.bench.driver.target import Target
from rookery.bench.driver.websocket import Socket, WebSocket

Sink = Callable[["Client", bytes], None]
#: Called with the client and the condition, "" when the script went through.
Outcome = Callable[["Client", str], None]

_CHUNK: Final = 65_536
_AGAIN: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_SKIPPED: Final = (b"<?xml", b"<stream:stream", b"<open")
_CLOSE: Final = (b"</stream:stream", b"<close")


class Client:
    """A connection of one user. `close` ends it without a word, `leave` with a proper end of the stream."""

    __slots__ = (
        "_closed",
        "_fd",
        "_loop",
        "_out",
        "_outcome",
        "_pending",
        "_raw",
        "_recv",
        "_script",
        "_send",
        "_since",
        "_target",
        "_until",
        "_web",
        "gone",
        "hold",
        "marks",
        "session",
        "short",
        "sink",
        "started",
        "tail",
        "ticket",
        "why",
        "xmlns",
    )

    def __init__(self, loop: loops.Loop, target: Target, session: Session, gone: Outcome) -> None:
        self._loop = loop
        self._target = target
        self.session = session
        #: Told when the connection ends outside of a script.
        self.gone = gone
        self.sink: Sink = ignore
        #: The unfinished stanza at the end of the last chunk.
        self.tail = b""
        #: What a scenario keeps with the connection.
        self.hold: Any = None
        #: The TLS session to go on with, where tickets are kept, and whether the server took the last one.
        self.ticket: ssl.SSLSession | None = None
        self.short = False
        #: Nanoseconds of each noted operation of the last script.
        self.marks: dict[str, int] = {}
        self.started = 0
        #: What is known of the last script's failure besides its condition.
        self.why = ""
        #: A namespace declaration that each stanza needs on a WebSocket (RFC 7395 section 3.3.3).
        self.xmlns = b" xmlns='jabber:client'" if target.websocket or target.bosh else b""
        self._closed = True
        self._fd = -1
        self._raw: socket.socket | ssl.SSLSocket | None = None
        self._out = bytearray()
        self._web: WebSocket | Bosh | None = None
        self._script: Script | None = None
        self._outcome: Outcome = gone
        self._since = 0
        self._until: scripts.Until | None = None
        #: How many decrypted bytes TLS keeps.
        self._pending: Callable[[], int] | None = None
        self._recv: Callable[[int], bytes]
        self._send: Callable[[bytes], int]

    @property
    def open(self) -> bool:
        """Whether the connection is there."""
        return not self._closed

    @property
    def busy(self) -> bool:
        """Whether a script is running."""
        return self._script is not None

    # -- connection ------------------------------------------------------------------------------------------------

    def connect(self, script: Script, outcome: Outcome) -> None:
        """Open a new connection and run the script on it; the clock of its parts begins now."""
        target = self._target
        raw = socket.socket(target.family, socket.SOCK_STREAM)
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._raw, self._fd, self._closed, self._pending = raw, raw.fileno(), False, None
        self.tail = b""
        self._out.clear()
        self.marks = {}
        self.started = self._since = self._loop.clock()
        self._script, self._outcome = script, outcome
        code = raw.connect_ex(target.address)
        self._loop.add(self._fd, loops.WRITE, self._on_connect)
        if code not in (0, 115):  # EINPROGRESS
            self._fail(f"connect-{code}")

    def _on_connect(self, _events: int) -> None:
        assert self._raw is not None
        code = self._raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail("connection-refused" if code == 111 else f"connect-{code}")
            return
        self._noted("connect")
        self._loop.change(self._fd, loops.READ)
        self._plug(self._raw)
        if self._target.direct_tls:
            self._handshake()
        else:
            self._connected()

    def _connected(self) -> None:
        """The transport is there: WebSocket next, or the script."""
        if self._target.bosh:
            self._bosh()
            return
        if not self._target.websocket:
            self._begin()
            return
        assert self._raw is not None
        loop, fd = self._loop, self._fd
        web = WebSocket(
            self._raw,
            self._target.domain,
            self._target.path,
            lambda: loop.change(fd, loops.READ | loops.WRITE),
        )
        self._web = web
        web.flush()
        self._plug(web)

        def opened(_events: int) -> None:
            try:
                web.recv(_CHUNK)
            except _AGAIN:
                if web.open:
                    self._begin()
                return
            except OSError:
                pass
            self._fail("websocket")

        self._loop.handlers[self._fd] = opened

    def _bosh(self) -> None:
        assert self._raw is not None
        loop, fd = self._loop, self._fd
        bosh = Bosh(
            loop,
            self._target,
            self._raw,
            self._on_ready,
            lambda: loop.change(fd, loops.READ | loops.WRITE),
        )
        self._web = bosh
        self._plug(bosh)
        self._begin()

    def _begin(self) -> None:
        self._loop.handlers[self._fd] = self._on_ready
        self._advance(None, first=True)

    def _plug(self, transport: Socket) -> None:
        self._recv, self._send = transport.recv, transport.send

    def _handshake(self) -> None:
        assert isinstance(self._raw, socket.socket)
        context = self._target.tls
        assert context is not None
        self._loop.remove(self._fd)
        wrapped = context.wrap_socket(
            self._raw,
            server_hostname=self._target.domain,
            do_handshake_on_connect=False,
            session=self.ticket,
        )
        self._raw, self._fd, self._pending = wrapped, wrapped.fileno(), wrapped.pending
        self._loop.add(self._fd, loops.READ, self._on_handshake)
        self._on_handshake(0)

    def _on_handshake(self, _events: int) -> None:
        assert isinstance(self._raw, ssl.SSLSocket)
        try:
            self._raw.do_handshake()
        except _AGAIN:
            return
        except OSError as error:
            self._fail("tls", getattr(error, "verify_message", "") or getattr(error, "reason", "") or "")
            return
        self._plug(self._raw)
        self.short = bool(self._raw.session_reused)
        if self._target.direct_tls:
            self._noted("tls")
            self._connected()
            return
        self._loop.handlers[self._fd] = self._on_ready
        self._advance(None)

    # -- bytes -----------------------------------------------------------------------------------------------------

    def _on_ready(self, events: int) -> None:
        if events & loops.WRITE:
            self._flush()
        if events == loops.WRITE:
            return
        while True:
            try:
                data = self._recv(_CHUNK)
            except _AGAIN:
                return
            except OSError:
                data = b""
            if not data:
                self._end("closed")
                return
            if self._script is None:
                self.sink(self, data)
            else:
                self._elements(data)
            # TLS keeps decrypted bytes that epoll knows nothing of.
            if self._pending is None or self._closed or not self._pending():
                return

    def write(self, data: bytes) -> None:
        """Send, or keep what the socket does not take now."""
        out = self._out
        if out:
            out += data
            return
        try:
            sent = self._send(data)
        except _AGAIN:
            sent = 0
        except OSError:
            self._end("closed")
            return
        if sent != len(data):
            out += data[sent:]
            self._loop.change(self._fd, loops.READ | loops.WRITE)

    def _flush(self) -> None:
        out = self._out
        try:
            if self._web is not None and not self._web.flush():
                return
            while out:
                del out[: self._send(bytes(out))]
        except _AGAIN:
            return
        except OSError:
            self._end("closed")
            return
        self._loop.change(self._fd, loops.READ)

    # -- scripts ---------------------------------------------------------------------------------------------------

    def run(self, script: Script, outcome: Outcome) -> None:
        """Run another script on the open connection; its elements do not go to the sink."""
        self.marks = {}
        self.started = self._since = self._loop.clock()
        self._script, self._outcome = script, outcome
        self._advance(None, first=True)

    def expire(self) -> None:
        """The script took too long."""
        self._fail("timeout")

    def _elements(self, data: bytes) -> None:
        whole, self.tail = split(self.tail + data)
        for position, element in enumerate(whole):
            if element.startswith(_SKIPPED):
                continue
            if self._script is None:
                # It ended with the element before: the rest belongs to the sink.
                data = b"".join(whole[position:]) + self.tail
                self.tail = b""
                self.sink(self, data)
                return
            if element.startswith(_CLOSE):
                self._end("closed")
                return
            if self._until is not None and not self._until.heeds(element):
                continue
            try:
                parsed = parse(element)
            except ScriptError as error:
                self._fail(error.condition, error.text)
                return
            if parsed.name == "iq" and parsed.get("type") in ("get", "set"):
                self.write(answer(element, self.xmlns))
            else:
                self._advance(parsed)

    def _advance(self, value: Any, first: bool = False) -> None:
        script = self._script
        assert script is not None
        self._until = None
        try:
            step = next(script) if first else script.send(value)
            while step is not None and not isinstance(step, scripts.Until):
                if isinstance(step, Send):
                    self.write(step.data)
                elif isinstance(step, OpenStream):
                    self.tail = b""
                    self.write(self._target.header)
                elif isinstance(step, Note):
                    self._noted(step.operation)
                elif isinstance(step, StartTls):
                    self._handshake()
                    return
                if self._script is None:
                    return
                step = script.send(None)
            self._until = step
        except StopIteration:
            self._finish("")
        except ScriptError as error:
            self._fail(error.condition, error.text)

    def _noted(self, operation: str) -> None:
        now = self._loop.clock()
        self.marks[operation] = now - self._since
        self._since = now

    def _finish(self, condition: str) -> None:
        outcome, self._script = self._outcome, None
        outcome(self, condition)

    def _fail(self, condition: str, why: str = "") -> None:
        self.why = why
        self.close()
        self._finish(condition)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _end(self, condition: str) -> None:
        if self._closed:
            return
        self.close()
        if self._script is not None:
            self._finish(condition)
        else:
            self.gone(self, condition)

    def leave(self) -> None:
        """End the stream properly, then the connection; one that is still being made just ends."""
        if not self._closed and not self.busy:
            try:
                self._send(self._target.farewell)
            except OSError:
                pass
        self.close()

    def close(self) -> None:
        """End the connection at once."""
        if not self._closed:
            self._closed = True
            assert self._raw is not None
            if self._target.tickets and isinstance(self._raw, ssl.SSLSocket):
                self.ticket = self._raw.session or self.ticket
            if isinstance(self._web, Bosh):
                self._web.close()
            self._web = None
            self._loop.remove(self._fd)
            self._raw.close()


def ignore(_client: Client, _data: bytes) -> None:
    """A sink for those who only listen."""
