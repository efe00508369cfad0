"""A session of BOSH (XEP-0124, XEP-0206) with the face of a non-blocking socket: `recv` and `send`.

Two HTTP connections that stay open, as a browser has them: one request waits at the server, the other says what there is to say. Both are
read here, and answers taken in the order of their requests. What is sent and received is framed as on a WebSocket (RFC 7395).
"""

from __future__ import annotations

import random
import re
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from rookery.bench.driver import loop as loops
from rookery.bench.driver.target import Target

NS: Final = "http://jabber.org/protocol/httpbind"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_BODY: Final = re.compile(rb"\A\s*(?:<\?xml[^>]*>\s*)?<body((?:[^>\"']+|\"[^\"]*\"|'[^']*')*?)(/?)>")
_SID: Final = re.compile(rb" sid=['\"]([^'\"]*)")
_ENDED: Final = re.compile(rb" type=['\"]terminate['\"]")
_XMPP: Final = "xmlns:xmpp='urn:xmpp:xbosh'"
_WAIT: Final = 60


class _Half:
    """One of the two connections."""

    __slots__ = ("asked", "got", "out", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        #: Whether a request is under way; what came of its answer; what the socket did not take.
        self.asked = False
        self.got = b""
        self.out = b""


class Bosh:
    """Made with one connected socket; `ready` is called when the other one can be read, `blocked` when only `flush` will send."""

    def __init__(
        self,
        loop: loops.Loop,
        target: Target,
        sock: socket.socket,
        ready: Callable[[int], None],
        blocked: Callable[[], None],
    ) -> None:
        self._loop, self._target = loop, target
        self._ready, self._blocked = ready, blocked
        self._halves = [_Half(sock)]
        self._asked: deque[_Half] = deque()
        self._rid = random.randrange(1, 1 << 32)
        self._sid = ""
        self._queue: list[bytes] = []
        self._to = f"to='{target.domain}'"

    # --- what is said ---

    def send(self, data: bytes, /) -> int:
        """Say elements; they are taken whole and wait for a connection that is free."""
        if data.startswith(b"<open"):
            if self._sid:
                self._ask(self._free(), f" {self._to} xmpp:restart='true' {_XMPP}", b"")
            else:
                self._ask(
                    self._halves[0],
                    f" {self._to} wait='{_WAIT}' hold='1' ver='1.6' xml:lang='en' content='text/xml; charset=utf-8' xmpp:version='1.0' {_XMPP}",
                    b"",
                )
            return len(data)
        if data.startswith(b"<close"):
            self._ask(self._free(), " type='terminate'", b"")
            return len(data)
        self._queue.append(data)
        self._say()
        return len(data)

    def _free(self) -> _Half:
        """A connection without a request; for what is said once, a busy one otherwise."""
        for half in self._halves:
            if not half.asked:
                return half
        if len(self._halves) == 1:
            return self._second()
        return self._halves[1]

    def _second(self) -> _Half:
        raw = socket.socket(self._target.family, socket.SOCK_STREAM)
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.connect_ex(self._target.address)
        half = _Half(raw)
        self._halves.append(half)
        self._loop.add(raw.fileno(), loops.READ | loops.WRITE, self._on_second)
        return half

    def _on_second(self, events: int) -> None:
        half = self._halves[1]
        if events & loops.WRITE:
            self._push(half, b"")
            if not half.out:
                self._loop.change(half.sock.fileno(), loops.READ)
        if events & ~loops.WRITE:
            self._ready(loops.READ)

    def _say(self) -> None:
        """Send what waits, or ask for more where nothing else does."""
        if not self._sid or not (self._queue or not self._asked):
            return
        half = next((one for one in self._halves if not one.asked), None)
        if half is None and len(self._halves) == 1:
            half = self._second()
        if half is not None:
            said, self._queue = b"".join(self._queue), []
            self._ask(half, "", said)

    def _ask(self, half: _Half, attributes: str, said: bytes) -> None:
        rid, self._rid = self._rid, self._rid + 1
        sid = f" sid='{self._sid}'" if self._sid else ""
        body = f"<body xmlns='{NS}' rid='{rid}'{sid}{attributes}>".encode() + said + b"</body>"
        head = (
            f"POST {self._target.path} HTTP/1.1\r\nHost: {self._target.domain}\r\n"
            f"Content-Type: text/xml; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        half.asked = True
        self._asked.append(half)
        self._push(half, head.encode() + body)

    def _push(self, half: _Half, data: bytes) -> None:
        data = half.out + data
        try:
            sent = half.sock.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        half.out = data[sent:]
        if not half.out:
            return
        if half is self._halves[0]:
            self._blocked()
        else:
            self._loop.change(half.sock.fileno(), loops.READ | loops.WRITE)

    def flush(self) -> bool:
        """Send what the first connection did not take; whether nothing is left."""
        self._push(self._halves[0], b"")
        return not self._halves[0].out

    # --- what is heard ---

    def recv(self, size: int, /) -> bytes:
        """The elements of whole answers; b"" at the end. Raises BlockingIOError when there are none yet, OSError."""
        closed = False
        for half in self._halves:
            if half.out and half is not self._halves[0]:
                continue  # it is being connected
            try:
                while data := half.sock.recv(size):
                    half.got += data
                closed = True
            except BlockingIOError:
                pass
        text: list[bytes] = []
        while self._asked and (document := _answer(self._asked[0])) is not None:
            half = self._asked.popleft()
            half.asked = False
            match = _BODY.match(document)
            if match is None or _ENDED.search(match[1]):
                return b"".join(text)
            if not self._sid:
                found = _SID.search(match[1])
                self._sid = found[1].decode() if found else ""
            if not match[2]:
                text.append(document[match.end() : document.rindex(b"</body")])
        if closed:
            return b"".join(text)
        self._say()
        if not (heard := b"".join(text)):
            raise BlockingIOError
        return heard

    def close(self) -> None:
        """End the second connection; the first one is its client's."""
        for half in self._halves[1:]:
            self._loop.remove(half.sock.fileno())
            half.sock.close()


def _answer(half: _Half) -> bytes | None:
    """The document of a whole answer, None while it is not there; an answer other than 200 is an empty one."""
    head, separator, rest = half.got.partition(b"\r\n\r\n")
    found = _LENGTH.search(head + b"\r\n")
    size = int(found[1]) if found else 0
    if not separator or len(rest) < size:
        return None
    half.got = rest[size:]
    return rest[:size] if b" 200" in head[:16] else b""
