"""A small XMPP client for tests, independent of the server's code: plain TCP, STARTTLS, direct TLS (ALPN), WebSocket and BOSH.

It logs in with SCRAM (or PLAIN), binds a resource and then only passes stanzas on: what a script does not say, it does not do.
A `hook` may take elements away before they are seen.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import secrets
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

import trio
from tests.stories.bosh import BoshTransport
from tests.stories.elements import CLIENT, STREAM, StreamReader, fragments, serialise
from tests.stories.transport import TcpTransport, Transport, WebSocketTransport

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
Mode = Literal["starttls", "tls", "websocket", "bosh", "plain"]
#: Modes in which each element is a document of its own.
FRAMED = ("websocket", "bosh")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens for one mode; `path` is the WebSocket's. BOSH may also use the `others` among the ports."""

    host: str
    port: int
    mode: Mode
    tls: ssl.SSLContext | None = None
    path: str = "/xmpp-websocket"
    others: tuple[int, ...] = ()


def tls_context(authority: str, mode: Mode) -> ssl.SSLContext | None:
    """A context that trusts the CA in the PEM text `authority` and says what this mode says in ALPN (XEP-0368)."""
    if mode == "plain":
        return None
    context = ssl.create_default_context(cadata=authority)
    if mode != "starttls":
        context.set_alpn_protocols(["xmpp-client" if mode == "tls" else "http/1.1"])
    return context


class LoginError(Exception):
    """The server refused: the condition and where it was refused."""


class StreamEndError(Exception):
    """The connection ended while something was awaited."""


class Client:
    """One connection. `jid` is the full JID once it is bound; `inbox` holds what came and was not taken."""

    def __init__(self, endpoint: Endpoint, domain: str) -> None:
        self.endpoint = endpoint
        self.domain = domain
        self.jid = ""
        self.inbox: deque[Element] = deque()
        self.features: Element | None = None
        self.header: dict[str, str] | None = None
        self.ended = False
        self.error: Element | None = None
        #: Called for each element; True means that it was dealt with.
        self.hook: Callable[[Element], bool] | None = None
        self._transport: Transport | None = None
        self._reader = StreamReader()
        self._sending = trio.Lock()
        self._running = False
        self._news = trio.Event()
        self._ids = itertools.count(1)

    # -- connection ------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the transport and the stream, and do STARTTLS if the mode is that. Raises OSError, LoginError."""
        end = self.endpoint
        await self._open()
        if end.mode == "tls":
            assert end.tls is not None
            await self._tcp.start_tls(end.tls, self.domain)
        await self.open_stream()
        if end.mode == "starttls":
            assert end.tls is not None
            await self.send_raw(f"<starttls xmlns='{TLS}'/>")
            answer = await self.receive()
            if answer.tag != f"{{{TLS}}}proceed":
                raise LoginError(f"STARTTLS refused: {answer.tag}")
            await self._tcp.start_tls(end.tls, self.domain)
            await self.open_stream()

    async def _open(self) -> None:
        end = self.endpoint
        if end.mode == "websocket":
            self._transport = await WebSocketTransport.open(
                end.host, end.port, end.path, end.tls, self.domain
            )
        elif end.mode == "bosh":
            ports = (end.port, *end.others)
            self._transport = BoshTransport(end.host, ports, "/http-bind", end.tls, self.domain)
        else:
            self._transport = await TcpTransport.open(end.host, end.port)

    @property
    def _tcp(self) -> TcpTransport:
        assert isinstance(self._transport, TcpTransport)
        return self._transport

    async def open_stream(self, to: str | None = None) -> Element:
        """Send a stream header and return the features that answer it."""
        self._reader = StreamReader()
        name = quoteattr(to or self.domain)
        if self.endpoint.mode in FRAMED:
            await self.send_raw(
                f"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to={name} version='1.0' xml:lang='en'/>"
            )
        else:
            await self.send_raw(
                f"<?xml version='1.0'?><stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAM}'"
                f" to={name} version='1.0' xml:lang='en'>"
            )
        features = await self.receive()
        if features.tag != f"{{{STREAM}}}features":
            raise LoginError(f"no stream features but {features.tag}")
        self.features = features
        return features

    def mechanisms(self) -> list[str]:
        """What the features offer."""
        assert self.features is not None
        return [node.text or "" for node in self.features.iter(f"{{{SASL}}}mechanism")]

    async def authenticate(self, user: str, password: str, mechanism: str | None = None) -> None:
        """Authenticate with `mechanism`, else the best on offer, and restart the stream. Raises LoginError."""
        offered = self.mechanisms()
        known = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")
        for name in (mechanism,) if mechanism else known:
            if mechanism or (name in offered and self._can_bind(name)):
                break
        else:
            raise LoginError(f"no common mechanism in {offered}")
        if name == "PLAIN":
            await self._sasl("auth", f"\0{user}\0{password}", name)
            await self._outcome()
        else:
            await self._scram(str(name), user, password)
        await self.open_stream()

    def _can_bind(self, mechanism: str) -> bool:
        return not mechanism.endswith("-PLUS") or self.endpoint.mode in ("tls", "starttls")

    async def _sasl(self, element: str, data: str, mechanism: str | None = None) -> None:
        text = base64.b64encode(data.encode()).decode() or "="
        name = f" mechanism={quoteattr(mechanism)}" if mechanism else ""
        await self.send_raw(f"<{element} xmlns='{SASL}'{name}>{text}</{element}>")

    async def _outcome(self, expected: str = "success") -> str:
        answer = await self.receive()
        if answer.tag != f"{{{SASL}}}{expected}":
            condition = next((child.tag.rpartition("}")[2] for child in answer), answer.tag)
            raise LoginError(condition)
        return base64.b64decode(answer.text or "").decode()

    async def _scram(self, mechanism: str, user: str, password: str) -> None:
        digest = "sha1" if "SHA-1" in mechanism else "sha256"
        gs2, binding = "n,,", b""
        if mechanism.endswith("-PLUS"):
            gs2, binding = "p=tls-server-end-point,,", hashlib.sha256(self._tcp.certificate()).digest()
        nonce = secrets.token_urlsafe(18)
        first = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        await self._sasl("auth", gs2 + first, mechanism)
        challenge = await self._outcome("challenge")
        fields = dict(item.split("=", 1) for item in challenge.split(","))
        if not fields["r"].startswith(nonce):
            raise LoginError("the server's nonce does not extend ours")
        salted = _salted(digest, password, fields["s"], int(fields["i"]))
        last = f"c={base64.b64encode(gs2.encode() + binding).decode()},r={fields['r']}"
        signed = f"{first},{challenge},{last}".encode()
        key = hmac.digest(salted, b"Client Key", digest)
        signature = hmac.digest(hashlib.new(digest, key).digest(), signed, digest)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        await self._sasl("response", f"{last},p={base64.b64encode(proof).decode()}")
        verifier = hmac.digest(hmac.digest(salted, b"Server Key", digest), signed, digest)
        if await self._outcome() != f"v={base64.b64encode(verifier).decode()}":
            raise LoginError("the server does not know the password")

    async def bind(self, resource: str | None = None) -> str:
        """Bind a resource (the server's choice when None) and return the full JID. Raises LoginError."""
        wish = f"<resource>{resource}</resource>" if resource else ""
        answer = await self.request(f"<iq type='set' id='bind'><bind xmlns='{BIND}'>{wish}</bind></iq>")
        jid = answer.find(f"{{{BIND}}}bind/{{{BIND}}}jid")
        if answer.get("type") != "result" or jid is None:
            raise LoginError(f"bind refused: {serialise(answer)}")
        self.jid = jid.text or ""
        return self.jid

    async def login(self, user: str, password: str, resource: str | None = None) -> str:
        """All of it: connect, authenticate, bind."""
        await self.connect()
        await self.authenticate(user, password)
        return await self.bind(resource)

    # -- stanzas ---------------------------------------------------------------------------------------------------

    async def send_raw(self, data: str | bytes) -> None:
        """Send these bytes as they are. Raises StreamEndError."""
        assert self._transport is not None
        try:
            async with self._sending:
                await self._transport.send(data.encode() if isinstance(data, str) else data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as exc:
            raise StreamEndError("the connection is gone") from exc

    async def send(self, node: Element | str) -> None:
        """Send one element (or the elements of an XML text)."""
        for one in fragments(node) if isinstance(node, str) else [node]:
            if self.endpoint.mode in FRAMED:
                await self.send_raw(serialise(one, ""))
            else:
                await self.send_raw(serialise(one))

    async def run(self) -> None:
        """Read until the end, beside the task that takes from the inbox."""
        self._running = True
        try:
            while True:
                await self._read()
                self._news.set()
                self._news = trio.Event()
        except StreamEndError:
            self.ended = True
        finally:
            self._running = False
            self._news.set()

    async def pump(self) -> None:
        """Wait until something was read. Raises StreamEndError at the end."""
        if self._running:
            await self._news.wait()
        else:
            await self._read()

    async def _read(self) -> None:
        """Read once from the transport into the inbox. Raises StreamEndError at the end."""
        if self.ended:
            raise StreamEndError("the stream has ended")
        assert self._transport is not None
        try:
            data = await self._transport.receive()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            data = b""
        if not data:
            self.ended = True
            raise StreamEndError("the stream has ended")
        for node in self._reader.feed(data) if self._tcp_like else fragments(data.decode()):
            self._arrived(node)
        if self._tcp_like:
            self.header = self._reader.header
            self.ended = self.ended or self._reader.closed

    @property
    def _tcp_like(self) -> bool:
        return self.endpoint.mode not in FRAMED

    def _arrived(self, node: Element) -> None:
        if node.tag == "{urn:ietf:params:xml:ns:xmpp-framing}open":
            self.header = dict(node.attrib)
            return
        if node.tag == "{urn:ietf:params:xml:ns:xmpp-framing}close":
            self.ended = True
            return
        if node.tag == f"{{{STREAM}}}error":
            self.error = node
        if self.hook is None or not self.hook(node):
            self.inbox.append(node)

    async def receive(self, timeout: float = 20.0) -> Element:
        """Take the next element. Raises StreamEndError, trio.TooSlowError."""
        with trio.fail_after(timeout):
            while not self.inbox:
                await self.pump()
        return self.inbox.popleft()

    async def request(self, stanza: str, timeout: float = 35.0) -> Element:
        """Send an iq that has an id and take its answer; everything else stays in the inbox."""
        node = fragments(stanza)[0]
        await self.send(node)
        return await self.answer(node.attrib["id"], timeout)

    async def answer(self, id: str, timeout: float = 35.0) -> Element:
        """Take the iq result or error with this id. Raises StreamEndError, trio.TooSlowError."""
        with trio.fail_after(timeout):
            while True:
                for node in self.inbox:
                    if node.get("id") == id and node.get("type") in ("result", "error"):
                        self.inbox.remove(node)
                        return node
                await self.pump()

    async def ping(self, to: str | None = None, timeout: float = 35.0) -> Element:
        """Ping the server (or `to`) and return the answer."""
        address = f" to={quoteattr(to)}" if to else ""
        id = f"ping-{next(self._ids)}"
        return await self.request(
            f"<iq type='get' id='{id}'{address}><ping xmlns='urn:xmpp:ping'/></iq>", timeout
        )

    # -- the end ---------------------------------------------------------------------------------------------------

    async def disconnect(self) -> None:
        """Close the stream, wait for the server to do so too, close the transport."""
        if self._transport is None:
            return
        with trio.move_on_after(10):
            try:
                if self._tcp_like:
                    await self.send_raw("</stream:stream>")
                else:
                    await self.send_raw("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")
                while True:
                    await self.pump()
            except StreamEndError:
                pass
        await self.drop()

    async def drop(self) -> None:
        """Let the connection go without a word."""
        self.ended = True
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.abort()

    async def wait_end(self, timeout: float = 20.0) -> None:
        """Wait until the server has ended the connection. Raises trio.TooSlowError."""
        with trio.fail_after(timeout):
            while True:
                try:
                    await self.pump()
                except StreamEndError:
                    return


@lru_cache(maxsize=256)
def _salted(digest: str, password: str, salt: str, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac(digest, password.encode(), base64.b64decode(salt), iterations)
