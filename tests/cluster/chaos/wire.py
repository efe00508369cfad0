"""From the bytes of a server to elements, one stream at a time."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

CLIENT = "jabber:client"
STREAMS = "http://etherx.jabber.org/streams"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SM = "urn:xmpp:sm:3"
#: What ends a stream, as if it were an element.
CLOSE = f"{{{STREAMS}}}stream"


class WireError(Exception):
    """The server's bytes are not XML."""


class Wire:
    """A parser of one stream (one document)."""

    def __init__(self) -> None:
        self._depth = 0
        self._builder: TreeBuilder | None = None
        self._out: list[Element] = []
        parser = self._parser = expat.ParserCreate("UTF-8", "}")
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def feed(self, data: bytes) -> list[Element]:
        """The first-level elements that are complete now. Raises WireError."""
        try:
            self._parser.Parse(data, False)
        except expat.ExpatError as exc:
            raise WireError(f"{exc}: {data[-200:]!r}") from exc
        out, self._out = self._out, []
        return out

    @property
    def inside(self) -> bool:
        """Whether an element has begun and not ended."""
        return self._depth > 1

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            return
        if self._depth == 2:
            self._builder = TreeBuilder()
        assert self._builder is not None
        self._builder.start(_clark(name), {_clark(key): value for key, value in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._out.append(Element(CLOSE))
            return
        assert self._builder is not None
        self._builder.end(_clark(name))
        if self._depth == 1:
            self._out.append(self._builder.close())
            self._builder = None

    def _text(self, data: str) -> None:
        if self._builder is not None:
            self._builder.data(data)


def _clark(name: str) -> str:
    return "{" + name if "}" in name else name


def opening(domain: str) -> bytes:
    """The header of a client's stream."""
    return f"<stream:stream to='{domain}' version='1.0' xmlns='{CLIENT}' xmlns:stream='{STREAMS}'>".encode()


def local(element: Element) -> str:
    """The name without its namespace."""
    return element.tag.rpartition("}")[2]
