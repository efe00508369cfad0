"""How a stream looks on its transport: over TCP (RFC 6120 section 4), in WebSocket messages (RFC 7395), in bodies of BOSH (XEP-0206)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from rookery.shared.xmpp import header, ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


class Framing(Protocol):
    """Writes what is not a stanza of a bound session. Each result is one message on a WebSocket."""

    #: For `Stanza.encode`: the namespace that every message has to declare, "" over TCP.
    xmlns: str
    websocket: bool

    def open(self, domain: str, to: str, id: str) -> bytes:
        """The stream header of our side."""

    def features(self, features: Iterable[Element]) -> bytes:
        """Stream features."""

    def element(self, element: Element) -> bytes:
        """Any other first-level element."""

    def stanza(self, stanza: Stanza) -> bytes:
        """A stanza before there is a session."""

    def error(self, error: StreamError) -> bytes:
        """A stream error."""

    def close(self) -> bytes:
        """The end of the stream."""


class TcpFraming:
    """One XML document for the whole stream."""

    xmlns = ""
    websocket = False

    def open(self, domain: str, to: str, id: str) -> bytes:
        """`<stream:stream>`."""
        return header.stream_header(from_=domain, to=to, id=id)

    def features(self, features: Iterable[Element]) -> bytes:
        """`<stream:features/>`."""
        return header.stream_features(features)

    def element(self, element: Element) -> bytes:
        """Inside the stream its default namespace is known."""
        return element.encode(ns.CLIENT)

    def stanza(self, stanza: Stanza) -> bytes:
        """As it is."""
        return stanza.encode()

    def error(self, error: StreamError) -> bytes:
        """`<stream:error/>`."""
        return header.stream_error(error)

    def close(self) -> bytes:
        """`</stream:stream>`."""
        return header.CLOSE


class WebSocketFraming:
    """Each element is a document of its own."""

    xmlns = ns.CLIENT
    websocket = True

    def open(self, domain: str, to: str, id: str) -> bytes:
        """`<open/>`."""
        return header.ws_open(from_=domain, to=to, id=id)

    def features(self, features: Iterable[Element]) -> bytes:
        """`<stream:features/>`."""
        return header.ws_features(features)

    def element(self, element: Element) -> bytes:
        """With its namespace declared."""
        return element.encode("")

    def stanza(self, stanza: Stanza) -> bytes:
        """With its namespace declared."""
        return stanza.encode(ns.CLIENT)

    def error(self, error: StreamError) -> bytes:
        """`<stream:error/>`."""
        return header.ws_error(error)

    def close(self) -> bytes:
        """`<close/>`."""
        return header.ws_close()


class BoshFraming(WebSocketFraming):
    """The same elements inside of bodies, which begin and end the stream themselves (XEP-0206 section 3)."""

    def open(self, domain: str, to: str, id: str) -> bytes:
        """Nothing: the answer that creates the session says it."""
        return b""

    def close(self) -> bytes:
        """Nothing: the last answer says it."""
        return b""


TCP: Final = TcpFraming()
WEBSOCKET: Final = WebSocketFraming()
BOSH: Final = BoshFraming()
