"""One TCP connection of a client, from its first byte to its last: the handshake, and what breaks it."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from tests.cluster.chaos.wire import BIND, CLIENT, CLOSE, SASL, SM, STREAMS, Wire, WireError, local, opening
from tests.cluster.chaos.world import World

if TYPE_CHECKING:
    from tests.cluster.chaos.client import Client

DOMAIN: Final = "localhost"
#: Longest time that one attempt to log in may take.
LOGIN_SECONDS: Final = 20.0
_IQ = f"{{{CLIENT}}}iq"
_MESSAGE = f"{{{CLIENT}}}message"
_PRESENCE = f"{{{CLIENT}}}presence"


class Stream:
    """One TCP connection, from its first byte to its last."""

    def __init__(self, client: Client, world: World, port: int, secret: str) -> None:
        self._client = client
        self._world = world
        self.port = port
        self._secret = secret
        self._wire = Wire()
        self._out = b""
        self._sent = 0
        self._cut = world.cut()
        self._step: Callable[[Element], None] = self._features
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open = True
        self._timer = world.loop.after(LOGIN_SECONDS, self._late)
        code = self._sock.connect_ex(("127.0.0.1", port))
        if code not in (0, errno.EINPROGRESS):
            world.loop.after(0, lambda: self.close("refused"))
            return
        self.write(opening(self._client.domain))

    def _late(self) -> None:
        if not self._client.silent:
            self.close(f"login took {LOGIN_SECONDS} s in {self._step.__name__}")

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return not self._open

    # --- bytes ---

    def write(self, data: bytes) -> None:
        """Queue bytes."""
        if not self._open:
            return
        if self._cut and not self._client.up and self._sent + len(self._out) + len(data) >= self._cut:
            data = data[: self._cut - self._sent - len(self._out)]
            self._world.loop.after(0.002, lambda: self.close("cut"))
        self._out += data
        self._watch()

    def _watch(self) -> None:
        if not self._client.silent:
            self._world.loop.watch(self._sock, self, write=bool(self._out))

    def silence(self, on: bool) -> None:
        """Stop, or go on, reading and writing."""
        if not self._open:
            return
        if on:
            self._world.loop.forget(self._sock)
        else:
            self._watch()

    def writable(self) -> None:
        """Write what is queued."""
        try:
            sent = self._sock.send(self._out)
        except BlockingIOError:
            return
        except OSError as exc:
            self.close(type(exc).__name__)
            return
        self._sent += sent
        self._out = self._out[sent:]
        if not self._out:
            self._watch()

    def readable(self) -> None:
        """Parse what has come."""
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as exc:
            self.close(type(exc).__name__)
            return
        if not data:
            self.close("closed")
            return
        try:
            elements = self._wire.feed(data)
        except WireError as exc:
            self._world.ledger.violation(self._world.loop.now, self._client.index, f"not XML: {exc}")
            self.close("not XML")
            return
        for element in elements:
            if not self._open:
                return
            if element.tag == CLOSE:
                self.close("stream closed")
            elif element.tag == f"{{{STREAMS}}}error":
                self.close(f"error {local(element[0]) if len(element) else ''}")
            else:
                self._step(element)

    def close(self, why: str, *, abort: bool = False) -> None:
        """End the connection; `abort` resets it."""
        if not self._open:
            return
        self._open = False
        self._timer.cancel()
        self._world.loop.forget(self._sock)
        if abort:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()
        self._client.lost(self, why)

    def end(self) -> None:
        """Close the stream as RFC 6120 section 4.4 says."""
        self.write(b"</stream:stream>")
        self._world.loop.after(1.0, lambda: self.close("left"))

    def cut_in_stanza(self, data: bytes, keep: int) -> None:
        """Write the first bytes of a stanza and break the connection."""
        try:
            self._sock.send(self._out + data[:keep])
        except OSError:
            pass
        self.close("cut in a stanza", abort=self._world.rng.random() < 0.5)

    # --- the handshake ---

    def _next(self, step: Callable[[Element], None], data: bytes) -> None:
        self._step = step
        self.write(data)

    def _features(self, element: Element) -> None:
        if element.find(f"{{{SASL}}}mechanisms") is not None:
            self._next(
                self._authenticated,
                f"<auth xmlns='{SASL}' mechanism='PLAIN'>{self._secret}</auth>".encode(),
            )
        elif element.find(f"{{{BIND}}}bind") is not None:
            self._bind()
        else:
            self.close("no mechanisms")

    def _authenticated(self, element: Element) -> None:
        if element.tag != f"{{{SASL}}}success":
            self.close(f"authentication: {local(element[0]) if len(element) else local(element)}")
            return
        self._wire = Wire()
        self._next(self._features, opening(self._client.domain))

    def _bind(self) -> None:
        chain = self._client.chain
        if chain is not None and chain.previd:
            resume = f"<resume xmlns='{SM}' previd='{chain.previd}' h='{chain.received}'/>"
            self._next(self._resumed, resume.encode())
            return
        bind = f"<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>r</resource></bind></iq>"
        self._next(self._bound, bind.encode())

    def _bound(self, element: Element) -> None:
        jid = element.findtext(f"{{{BIND}}}bind/{{{BIND}}}jid")
        if element.tag != _IQ or element.get("type") != "result" or not jid:
            self.close("binding refused")
            return
        self._client.bound(jid)
        if self._world.managed:
            self._next(self._enabled, f"<enable xmlns='{SM}' resume='true'/>".encode())
        else:
            self._begin()
            self._client.ready()

    def _enabled(self, element: Element) -> None:
        if element.tag in (_IQ, _MESSAGE, _PRESENCE):
            return  # before the server counts
        if element.tag != f"{{{SM}}}enabled":
            self.close(f"enabling: {local(element)}")
            return
        assert self._client.chain is not None
        self._client.chain.previd = element.get("id", "")
        self._begin()
        self._client.ready()

    def _resumed(self, element: Element) -> None:
        client = self._client
        if element.tag == f"{{{SM}}}resumed":
            self._begin()
            client.resumed(int(element.get("h", "")))
        elif element.tag == f"{{{SM}}}failed":
            reason = local(element[0]) if len(element) else ""
            client.refusals.append(f"resume: {reason}")
            if reason == "item-not-found":
                h = element.get("h")
                if h is not None:
                    client.acknowledged(int(h), "failed")
                client.abandon()
                self._bind()
            else:
                self.close(f"resume: {reason}")

    def _begin(self) -> None:
        self._cut = 0
        self._timer.cancel()
        self._step = self._client.handle
