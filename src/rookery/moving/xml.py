"""A file of XEP-0227, read piece by piece: hosts, users, and the elements in them. No document types, no entities, bounded.

The structure is followed by expat's handlers; what is inside a user becomes elements, one at a time. Archives and waiting messages are
taken apart further, so that memory has one message of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Final, NamedTuple
from xml.parsers import expat

from rookery.moving.records import MovingError
from rookery.shared.xmpp.parse import attribute_key, split_name
from rookery.shared.xmpp.xml import Element

PIE: Final = "urn:xmpp:pie:0"
MAM: Final = "urn:xmpp:pie:0#mam"
XINCLUDE: Final = "http://www.w3.org/2001/XInclude"
#: Bytes of one element in a user, elements within each other, attributes of one, files that include each other.
ELEMENT_BYTES: Final = 64 * 1024 * 1024
DEPTH: Final = 128
ATTRIBUTES: Final = 256
_INCLUDES: Final = 4
_PIECE: Final = 1 << 16


class Host(NamedTuple):
    """A host begins."""

    jid: str


class User(NamedTuple):
    """A user begins, with the attributes of its element."""

    attrs: dict[str, str]


class Part(NamedTuple):
    """An element of a user, or of what is in it taken apart: `inside` is then the name of that."""

    element: Element
    inside: str = ""


class Extra(NamedTuple):
    """An element of a host that is no user."""

    element: Element


class End(NamedTuple):
    """A user is complete."""


class _Include(NamedTuple):
    href: str


Event = Host | User | Part | Extra | End | _Include
#: Opens a file by its path relative to the first one; raises MovingError.
Open = Callable[[str], Iterator[bytes]]
_LEVELS: Final = {
    "": ("server-data", "host", "user"),
    "server-data": ("host",),
    "host": ("user",),
    "user": (),
}
_APART: Final = frozenset({(PIE, "offline-messages"), (MAM, "archive")})


def _refused(*_args: object) -> None:
    raise MovingError("document types and entities are refused")


class _Parser:
    """One file; `inside` is where its root stands: "" for the first file, else the element that includes it."""

    def __init__(self, inside: str) -> None:
        self.events: list[Event] = []
        self._places = [inside]
        self._open: list[Element] = []
        self._began = 0
        self._depth = 0
        self._parser = parser = expat.ParserCreate(None, " ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = _refused
        parser.EntityDeclHandler = _refused
        parser.SkippedEntityHandler = _refused

    def feed(self, data: bytes, final: bool) -> None:
        """Parse a piece. Raises MovingError."""
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            raise MovingError(f"line {error.lineno}: not XML: {expat.ErrorString(error.code)}") from None
        if self._open and self._parser.CurrentByteIndex - self._began > ELEMENT_BYTES:
            raise MovingError(f"an element has more than {ELEMENT_BYTES} bytes")

    def _start(self, name: str, attrs: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH or len(attrs) > ATTRIBUTES:
            raise MovingError(
                f"line {self._parser.CurrentLineNumber}: elements are nested too deep, or have too many attributes"
            )
        uri, local = split_name(name)
        place = self._places[-1]
        if not self._open:
            if uri == PIE and local in _LEVELS.get(place, ()):
                self._structure(local, attrs)
                return
            if (uri, local) == (XINCLUDE, "include") and place in ("server-data", "host", "user"):
                if "href" not in attrs or attrs.keys() & {"parse", "xpointer"}:
                    raise MovingError("an include names a file by href, and nothing else")
                self.events.append(_Include(attrs["href"]))
                self._places.append("include")
                return
            if place == "":
                raise MovingError("this is no file of XEP-0227: its first element is not <server-data/>")
            if place == "user" and (uri, local) in _APART:
                self._places.append(local)
                return
            self._began = self._parser.CurrentByteIndex
        element = Element(uri, local)
        if attrs:
            element.attrs = {attribute_key(key): value for key, value in attrs.items()}
        if self._open:
            self._open[-1].children.append(element)
        self._open.append(element)

    def _structure(self, local: str, attrs: dict[str, str]) -> None:
        self._places.append(local)
        if local == "host":
            self.events.append(Host(attrs.get("jid", "")))
        elif local == "user":
            self.events.append(User(attrs))

    def _end(self, _name: str) -> None:
        self._depth -= 1
        if not self._open:
            if self._places.pop() == "user":
                self.events.append(End())
            return
        element = self._open.pop()
        if not self._open:
            place = self._places[-1]
            if place in ("host", "server-data"):
                self.events.append(Extra(element))
            elif place != "include":
                self.events.append(Part(element, "" if place == "user" else place))

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].children.append(text)


def events(open_: Open, name: str) -> Iterator[Event]:
    """All that a file and those that it includes say, in order. Raises MovingError."""
    yield from _file(open_, name, "", 0)


def _file(open_: Open, name: str, inside: str, level: int) -> Iterator[Event]:
    if level > _INCLUDES:
        raise MovingError(f"files include each other more than {_INCLUDES} times")
    parser = _Parser(inside)
    place = inside
    for piece in open_(name):
        for at in range(0, len(piece), _PIECE):
            parser.feed(piece[at : at + _PIECE], False)
            place = yield from _drained(parser, open_, name, place, level)
    parser.feed(b"", True)
    yield from _drained(parser, open_, name, place, level)


def _drained(parser: _Parser, open_: Open, name: str, place: str, level: int) -> Generator[Event, None, str]:
    found, parser.events = parser.events, []
    for event in found:
        match event:
            case _Include(href):
                folder = name.rpartition("/")[0]
                yield from _file(
                    open_, f"{folder}/{href}" if folder else href, place or "server-data", level + 1
                )
                continue
            case Host():
                place = "host"
            case User():
                place = "user"
            case End():
                place = "host"
            case _:
                pass
        yield event
    return place
