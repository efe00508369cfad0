"""A BOSH transport under the stories' client (XEP-0124), written from the XEP: what goes in and out are the frames of RFC 7395.

Each request goes to the next of the given ports, so a server of many processes is asked at all of them.
"""

from __future__ import annotations

import secrets
import ssl
from collections import deque
from collections.abc import Sequence
from xml.etree.ElementTree import fromstring
from xml.sax.saxutils import quoteattr

import trio
from tests.stories.elements import serialise

NS = "http://jabber.org/protocol/httpbind"
FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
XBOSH = "urn:xmpp:xbosh"


class BoshTransport:
    """One session. `answers` are the attributes of all bodies that came, in order; `headers` those of the last."""

    def __init__(
        self, host: str, ports: Sequence[int], path: str, context: ssl.SSLContext | None, name: str
    ) -> None:
        self._where = host, tuple(ports), path, context, name
        self._idle: dict[int, list[trio.abc.Stream]] = {}
        self._frames: deque[bytes] = deque()
        #: Requests without an answer, in their order: port and stream.
        self._asked: deque[tuple[int, trio.abc.Stream]] = deque()
        self.rid = secrets.randbelow(2**32) + 1
        self._turn = 0
        self.sid = ""
        self.answers: list[dict[str, str]] = []
        self.headers: dict[str, str] = {}
        self._ended = False
        self._answering = trio.Lock()

    async def send(self, data: bytes) -> None:
        """Say one frame. Raises trio.BrokenResourceError."""
        if self._ended:
            raise trio.BrokenResourceError("the session is over")
        node = fromstring(data)
        if node.tag == f"{{{FRAMING}}}open":
            to = quoteattr(node.get("to", ""))
            self._frames.append(f"<open xmlns='{FRAMING}' from={to} version='1.0'/>".encode())
            if self.sid:
                await self.ask(f" to={to} xmpp:restart='true' xmlns:xmpp='{XBOSH}'")
            else:
                more = f" to={to} wait='5' hold='1' ver='1.11' xml:lang='en' xmpp:version='1.0' xmlns:xmpp='{XBOSH}'"
                await self.ask(more)
                await self.answer()
                self.sid = self.answers[-1].get("sid", "")
        elif node.tag == f"{{{FRAMING}}}close":
            await self.ask(" type='terminate'")
        else:
            await self.ask("", data)

    async def receive(self) -> bytes:
        """One frame; b"" at the end. Polls while there is none."""
        while not self._frames and not self._ended:
            if not self._asked:
                await self.ask()
            await self.answer()
        return self._frames.popleft() if self._frames else b""

    async def ask(self, attributes: str = "", payload: bytes = b"") -> None:
        """Send one request; its answer comes with `answer`. No more are under way than a client may have (section 11)."""
        while len(self._asked) > 1:
            await self.answer(over=1)
        rid, self.rid = self.rid, self.rid + 1
        sid = f" sid={quoteattr(self.sid)}" if self.sid else ""
        await self.post(f"<body xmlns='{NS}' rid='{rid}'{sid}{attributes}>".encode() + payload + b"</body>")

    async def answer(self, over: int = 0) -> None:
        """Take the answer to the oldest request if there are more than `over`. Raises trio.BrokenResourceError."""
        async with self._answering:
            if len(self._asked) <= over:
                return
            status, document = await self.response()
            self._took(status, document)

    def _took(self, status: int, document: bytes) -> None:
        if status != 200:
            self._ended = True
            raise trio.BrokenResourceError(f"HTTP {status}")
        root = fromstring(document)
        self.answers.append(dict(root.attrib))
        self._frames.extend([serialise(child, "").encode() for child in root])
        if root.get("type") == "terminate":
            self._ended = True

    async def post(self, body: bytes, headers: str = "") -> None:
        """Send one document."""
        host, ports, path, context, name = self._where
        port = ports[self._turn % len(ports)]
        self._turn += 1
        idle = self._idle.setdefault(port, [])
        if idle:
            stream = idle.pop()
        else:
            stream = await trio.open_tcp_stream(host, port)
            if context is not None:
                stream = trio.SSLStream(stream, context, server_hostname=name, https_compatible=True)
        head = f"POST {path} HTTP/1.1\r\nHost: {name}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self._asked.append((port, stream))
        await stream.send_all(head.encode() + body)

    async def response(self) -> tuple[int, bytes]:
        """The answer to the oldest request: status and document."""
        port, stream = self._asked[0]
        got = b""
        while b"\r\n\r\n" not in got:
            got += await _some(stream)
        top, _, rest = got.partition(b"\r\n\r\n")
        lines = top.decode().split("\r\n")
        self.headers = {
            key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])
        }
        size = int(self.headers.get("content-length", "0"))
        while len(rest) < size:
            rest += await _some(stream)
        self._asked.popleft()
        self._idle[port].append(stream)
        return int(lines[0].split()[1]), rest

    async def abort(self) -> None:
        """Close all sockets."""
        self._ended = True
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
            idle = [one for each in self._idle.values() for one in each]
            for stream in [*idle, *(one for _, one in self._asked)]:
                await trio.aclose_forcefully(stream)


async def _some(stream: trio.abc.Stream) -> bytes:
    data = bytes(await stream.receive_some(65536))
    if not data:
        raise trio.BrokenResourceError("closed by the server")
    return data
