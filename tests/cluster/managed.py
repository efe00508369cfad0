"""A device that follows XEP-0198 over plain TCP: it counts, keeps what is not acknowledged, and resumes where it is told to."""

from __future__ import annotations

import base64
import re
from collections import deque
from collections.abc import Callable

import trio

SM = "urn:xmpp:sm:3"
_HEADER = (
    "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
_NEXT = re.compile(
    rb"<(?:(message|presence|iq)\b[^>]*?(?:/>|>.*?</\1>)|(a|r|enabled|resumed)\b[^>]*/>|(failed)\b.*?</failed>|(/?stream:\w+)[^>]*>)",
    re.DOTALL,
)
_BODY = re.compile(rb"<body>(.*?)</body>")


class Refused(Exception):  # noqa: N818  says what happened
    """The server said `<failed/>`, or closed the stream before it was ready."""


class Device:
    """One session over its connections. `bodies` are the messages that it has processed, each once per number."""

    def __init__(self, user: str, password: str, resource: str = "d") -> None:
        self.bare = f"{user}@localhost"
        self._secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        self._resource = resource
        self.token = ""
        self.sent = 0
        self.acked = 0
        self.queue: deque[bytes] = deque()
        self.received = 0
        self.bodies: list[str] = []
        self.answers: list[bytes] = []
        self.errors: list[bytes] = []
        #: Answer each <r/> of the server.
        self.acknowledges = True
        self.stream: trio.SocketStream | None = None
        self._seen = b""

    # --- beginning ---

    async def login(self, port: int) -> None:
        """Connect, authenticate, bind, and make the stream resumable."""
        await self._authenticate(port)
        await self._write(
            f"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{self._resource}</resource></bind></iq>"
        )
        await self._until(rb"<jid>.*?</iq>")
        await self._write(f"<enable xmlns='{SM}' resume='true'/>")
        enabled = await self._until(rb"<(enabled|failed)[^>]*/?>")
        found = re.search(rb" id='([^']+)'", enabled)
        if found is None:
            raise Refused(enabled)
        self.token = found[1].decode()

    async def _authenticate(self, port: int) -> None:
        self._seen = b""
        self.stream = await trio.open_tcp_stream("127.0.0.1", port)
        await self._write(_HEADER)
        await self._until(rb"</stream:features>")
        await self._write(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{self._secret}</auth>"
        )
        await self._until(rb"<success[^>]*/>")
        await self._write(_HEADER)
        await self._until(rb"</stream:features>")

    async def resume(self, port: int, h: int | None = None, token: str | None = None) -> int:
        """Go on at another edge and send again what was not handled; returns the server's h. Raises Refused."""
        await self._authenticate(port)
        number = self.received if h is None else h
        await self._write(f"<resume xmlns='{SM}' h='{number}' previd='{token or self.token}'/>")
        answer = await self._until(rb"<resumed[^>]*/>|<failed.*?</failed>|<stream:error.*?</stream:error>")
        if b"<resumed" not in answer:
            raise Refused(answer)
        found = re.search(rb" h='(\d+)'", answer)
        assert found is not None
        handled = int(found[1])
        self._handled(handled)
        for data in list(self.queue):
            await self._write(data)
        return handled

    # --- a session ---

    async def send(self, stanza: str) -> None:
        """Send a stanza; it is kept until the server has handled it."""
        self.sent += 1
        self.queue.append(stanza.encode())
        await self._write(stanza)

    async def chat(self, to: str, body: str) -> None:
        """Send a message and ask for its acknowledgement."""
        await self.send(f"<message to='{to}' type='chat' id='{body}'><body>{body}</body></message>")
        await self._write(f"<r xmlns='{SM}'/>")

    async def pump(self, until: Callable[[], bool], seconds: float = 20.0) -> None:
        """Process what comes until the condition holds. Raises EOFError when the server closes."""
        with trio.fail_after(seconds):
            while not until():
                await self._process()

    def has(self, stanzas: int) -> bool:
        """Whether so many stanzas have come."""
        return self.received >= stanzas

    async def idle(self, seconds: float) -> None:
        """Process what comes for so long."""
        with trio.move_on_after(seconds):
            while True:
                await self._process()

    def stanza(self, data: bytes) -> None:
        """A stanza came; for those who look at more than bodies."""

    async def _process(self) -> None:
        found = _NEXT.search(self._seen)
        if found is None:
            await self._more()
            return
        self._seen = self._seen[found.end() :]
        kind, number, failed, other = found[1], found[2], found[3], found[4]
        if kind:
            self.received += 1
            self.stanza(found[0])
            if kind == b"message" and (body := _BODY.search(found[0])) is not None:
                self.bodies.append(body[1].decode())
            elif kind == b"iq":
                self.answers.append(found[0])
        elif number == b"a":
            h = re.search(rb" h='(\d+)'", found[0])
            assert h is not None
            self._handled(int(h[1]))
        elif number == b"r" and self.acknowledges:
            await self._write(f"<a xmlns='{SM}' h='{self.received}'/>")
        elif failed or other:
            self.errors.append(found[0] + self._seen[:200])

    def _handled(self, h: int) -> None:
        assert self.acked <= h <= self.sent, (self.acked, h, self.sent)
        for _ in range(h - self.acked):
            self.queue.popleft()
        self.acked = h

    # --- bytes ---

    def cut(self) -> None:
        """The connection breaks, as a network does it."""
        if self.stream is not None:
            self.stream.socket.close()
            self.stream = None
        self._seen = b""

    async def _write(self, text: str | bytes) -> None:
        assert self.stream is not None
        await self.stream.send_all(text if isinstance(text, bytes) else text.encode())

    async def _more(self) -> None:
        assert self.stream is not None
        data = bytes(await self.stream.receive_some(65536))
        if not data:
            raise EOFError(self._seen)
        self._seen += data

    async def _until(self, pattern: bytes) -> bytes:
        with trio.fail_after(15):
            while (found := re.search(pattern, self._seen, re.DOTALL)) is None:
                await self._more()
        self._seen = self._seen[found.end() :]
        return found[0]
