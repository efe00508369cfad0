"""One pass over a peer's XML: expat's handlers write stanzas in canonical form while they parse (RFC 6120 section 11).

`Reader` is the hardened core that every entry point shares; `shared.xmpp.stream` makes a TCP stream parser and a WebSocket
frame parser of it. What expat accepts and XMPP forbids is refused here: comments, processing instructions, document types,
entities, nested stream elements, text between stanzas. Limits are checked while bytes come in, so memory stays bounded
by `StreamLimits.bytes` whatever a peer sends. Names are compared by namespace, never by prefix.
"""

from __future__ import annotations

from typing import Any, Final
from xml.parsers import expat

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.events import Event, StreamLimits
from rookery.shared.xmpp.longtag import LongTag
from rookery.shared.xmpp.names import NAMES, Name, check_uri
from rookery.shared.xmpp.parse import attribute_key, parse_element, split_name
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element, escape_attr, escape_text

#: A parser is replaced at the next stanza boundary after this many bytes: expat never forgets a name or a prefix.
RENEW_BYTES: Final = 65_536
#: A start tag that is incomplete after this many bytes goes to a LongTag: expat would scan it again with every piece.
HOLD_BYTES: Final = 1024
#: Pieces of text that one unfinished stanza may have before they are joined.
PIECES: Final = 512
#: Longest `id` and `xml:lang` of a stanza in characters (RFC 6120 leaves them open; a reply has to echo the id).
MAX_ID: Final = 1023
MAX_LANG: Final = 255

_GT: Final = ">"
_XML_LANG: Final = f"{ns.XML} lang"
_new_stanza: Final = tuple.__new__

_CONDITIONS: Final = {
    expat.errors.codes[message]: condition
    for message, condition in (
        (expat.errors.XML_ERROR_UNDEFINED_ENTITY, "restricted-xml"),
        (expat.errors.XML_ERROR_RECURSIVE_ENTITY_REF, "restricted-xml"),
        (expat.errors.XML_ERROR_BINARY_ENTITY_REF, "restricted-xml"),
        (expat.errors.XML_ERROR_ATTRIBUTE_EXTERNAL_ENTITY_REF, "restricted-xml"),
        (expat.errors.XML_ERROR_UNBOUND_PREFIX, "bad-namespace-prefix"),
        (expat.errors.XML_ERROR_UNDECLARING_PREFIX, "bad-namespace-prefix"),
        # The codes 38 to 40 (reserved prefixes and names) have no constant in every pyexpat.
        (expat.errors.XML_ERROR_UNKNOWN_ENCODING, "unsupported-encoding"),
        (expat.errors.XML_ERROR_INCORRECT_ENCODING, "unsupported-encoding"),
        (expat.errors.XML_ERROR_NO_MEMORY, "resource-constraint"),
    )
} | {
    38: "bad-namespace-prefix",
    39: "bad-namespace-prefix",
    40: "bad-namespace-prefix",
    43: "policy-violation",
}


class Renew(Exception):  # noqa: N818  not an error: it leaves expat at a stanza boundary
    """The parser has seen enough names or bytes: the rest goes to a new one."""


class Finished(Exception):  # noqa: N818  not an error: nothing after the end of the stream is looked at
    """The stream's end tag was read."""


def _restricted(*_args: object) -> None:
    raise StreamError(
        "restricted-xml", "comments, processing instructions, document types and entities are not allowed"
    )


def declaration(version: str, encoding: str | None, _standalone: int) -> None:
    """Check an XML declaration (RFC 6120 sections 11.5 and 11.6). Raises StreamError."""
    if encoding is not None and encoding.upper() != "UTF-8":
        raise StreamError("unsupported-encoding", "the encoding is UTF-8")
    if version != "1.0":
        raise StreamError("not-well-formed", "the version of XML is 1.0")


class Reader:
    """Feeds expat, keeps the account of what a first-level element costs, and writes stanzas; subclasses handle the root.

    Depth 0 is outside the root, 1 directly in it. `_start` is the byte index where the unfinished first-level element
    (or a piece of its start tag) begins; indices count from the creation of the parser.
    """

    __slots__ = (
        "_attributes",
        "_attrs",
        "_base",
        "_count",
        "_dead",
        "_declarations",
        "_depth",
        "_elements",
        "_entry",
        "_events",
        "_fed",
        "_held",
        "_levels",
        "_limits",
        "_max",
        "_names",
        "_out",
        "_parser",
        "_payloads",
        "_renew_at",
        "_stack",
        "_start",
        "_tail",
        "content_ns",
    )

    def __init__(self, limits: StreamLimits, *, content_ns: str = ns.CLIENT) -> None:
        self.content_ns = content_ns
        self._names = NAMES[content_ns]
        self._parser: Any = None
        self._dead = False
        self._depth = 0
        self._fed = 0
        self._start = 0
        self._tail = b""
        self._held: LongTag | None = None
        self._renew_at = 0
        #: Where a parser that was made inside the root begins.
        self._base = 0
        self._events: list[Event] = []
        self._out: list[str] = []
        self._stack: list[Name] = []
        self._payloads: list[tuple[str, str]] = []
        self._attrs: dict[str, str] = {}
        self._entry: Name = ("", "", "", "", "", ("", ""), False)
        self._elements = 0
        #: Namespace declarations in the current first-level element: each may have its memory in expat, so they count like elements.
        self._declarations = 0
        self.limits = limits

    @property
    def limits(self) -> StreamLimits:
        """What a first-level element may cost; settable at any time, for instance after authentication."""
        return self._limits

    @limits.setter
    def limits(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._max = limits.bytes
        self._count = limits.elements
        self._levels = limits.depth
        self._attributes = limits.attributes

    @property
    def ended(self) -> bool:
        """Whether feeding gives no more events: after StreamClosed, StreamError or `close()`."""
        return self._dead

    def close(self) -> None:
        """Free expat's memory; feeding ends. Parser and handlers refer to each other, so dropping the object alone is late."""
        self._dead = True
        self._parser = None
        self._held = None
        self._tail = b""
        self._out = []
        self._stack = []

    # --- the parser --------------------------------------------------------------------------------------------------

    def _create(self) -> Any:
        parser = expat.ParserCreate("UTF-8", " ")
        if hasattr(parser, "SetReparseDeferralEnabled"):
            # Deferral would keep a complete stanza back until more bytes come.
            parser.SetReparseDeferralEnabled(False)
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        parser.StartNamespaceDeclHandler = self._on_declaration
        parser.CharacterDataHandler = self._on_text
        parser.StartCdataSectionHandler = self._on_cdata
        parser.CommentHandler = _restricted
        parser.ProcessingInstructionHandler = _restricted
        parser.StartDoctypeDeclHandler = _restricted
        parser.EntityDeclHandler = _restricted
        parser.SkippedEntityHandler = _restricted
        return parser

    def _reopen(self) -> None:
        """Make a parser that stands directly inside the root, as the old one did, and set `_fed` and `_depth`."""
        raise NotImplementedError

    def _consume(self, data: bytes) -> None:
        """Parse `data`. Raises StreamError, Finished or ExpatError; events before that are in `_events`."""
        while data:
            room = self._start + self._max - self._fed
            if room <= 0:
                raise StreamError("policy-violation", f"an element may have {self._max} bytes")
            piece = data if len(data) <= room else data[:room]
            parser = self._parser
            try:
                parser.Parse(piece, False)
            except Renew:
                known = self._tail + data
                data = known[self._renew_at - (self._fed - len(self._tail)) :]
                self._reopen()
                continue
            self._fed += len(piece)
            position = parser.CurrentByteIndex
            pending = self._fed - position
            if self._depth <= 1:
                self._start = position if self._depth else 0
            elif len(self._out) > PIECES:
                self._out = ["".join(self._out[:-1]), self._out[-1]]
            if (pending or self._depth != 1) and self._fed - self._start >= self._max:
                raise StreamError("policy-violation", f"an element may have {self._max} bytes")
            if pending:
                self._tail = (self._tail + piece)[-pending:]
                if pending > HOLD_BYTES and self._depth:
                    self._hold()
            elif self._tail:
                self._tail = b""
            if piece is data:
                return
            data = data[len(piece) :]
            if self._held is not None:
                data = self._collect(data)

    def _hold(self) -> None:
        """Collect a long start tag outside expat until it is complete."""
        if self._tail[:1] != b"<" or self._tail[1:2] in (b"!", b"?"):
            _restricted()
        self._held = LongTag(self._tail)

    def _collect(self, data: bytes) -> bytes:
        """Add to the held tag; return what expat shall have now: nothing until the tag is complete or too long."""
        held = self._held
        assert held is not None
        size = self._fed - len(self._tail) - self._start
        if not held.add(data) and size + len(held) < self._max:
            return b""
        self._held = None
        return held.rest()

    def _run(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        self._events = events
        try:
            if self._held is not None:
                data = self._collect(data)
            self._consume(data)
        except Finished:
            self.close()
        except StreamError as error:
            self.close()
            # A traceback would keep this reader and the bytes alive.
            events.append(error.with_traceback(None))
        except expat.ExpatError as malformed:
            self.close()
            events.append(StreamError(_CONDITIONS.get(malformed.code, "not-well-formed")))
        self._events = []
        return events

    # --- handlers ----------------------------------------------------------------------------------------------------

    def _on_root(self, name: str, attrs: dict[str, str]) -> None:
        raise NotImplementedError

    def _on_root_end(self) -> None:
        raise NotImplementedError

    def _on_start(self, name: str, attrs: dict[str, str]) -> None:
        depth = self._depth
        if depth < 2:
            if depth:
                self._first(name, attrs)
            else:
                self._on_root(name, attrs)
            self._depth = depth + 1
            return
        entry = self._names[name]
        uri, _, here, elsewhere, _, payload, _ = entry
        stack = self._stack
        out = self._out
        out.append(here if uri == stack[-1][0] else elsewhere)
        if attrs:
            self._write_attributes(attrs)
        out.append(_GT)
        stack.append(entry)
        if depth == 2:
            self._payloads.append(payload)
        self._elements += 1
        if self._elements > self._count:
            raise StreamError("policy-violation", f"a stanza may have {self._count} elements")
        if depth > self._levels:
            raise StreamError("policy-violation", f"elements may be nested {self._levels} deep")
        if uri in ns.STREAM_LEVEL:
            raise StreamError("bad-format", "stream elements are not part of stanzas")
        self._depth = depth + 1

    def _write_attributes(self, attrs: dict[str, str]) -> None:
        if len(attrs) > self._attributes:
            raise StreamError("policy-violation", f"an element may have {self._attributes} attributes")
        out = self._out
        prefixes = 0
        for key, value in attrs.items():
            if " " not in key:
                out.append(f" {key}='{escape_attr(value)}'")
                continue
            uri, name = split_name(key)
            if uri == ns.XML:
                out.append(f" xml:{name}='{escape_attr(value)}'")
                continue
            out.append(
                f" xmlns:a{prefixes}='{escape_attr(check_uri(uri))}' a{prefixes}:{name}='{escape_attr(value)}'"
            )
            prefixes += 1

    def _on_declaration(self, _prefix: str | None, _uri: str | None) -> None:
        self._declarations += 1
        if self._declarations > self._count:
            raise StreamError("policy-violation", f"a stanza may declare {self._count} namespaces")

    def _first(self, name: str, attrs: dict[str, str]) -> None:
        """The start of a first-level element: is it allowed here at all?"""
        parser = self._parser
        start = parser.CurrentByteIndex
        # A new parser has to take what comes first, however many names its start tag has.
        if (start > RENEW_BYTES or len(parser.intern) > self._limits.names) and start != self._base:
            self._renew_at = start
            self._declarations = 0
            raise Renew
        entry = self._names[name]
        if isinstance(entry[6], str):
            raise StreamError(entry[6])
        if len(attrs) > self._attributes:
            raise StreamError("policy-violation", f"an element may have {self._attributes} attributes")
        self._start = start
        self._entry = entry
        self._attrs = attrs
        self._stack.append(entry)
        self._elements = 1

    def _on_end(self, _name: str) -> None:
        depth = self._depth = self._depth - 1
        if depth > 1:
            entry = self._stack.pop()
            out = self._out
            if out[-1] is _GT:
                out[-1] = "/>"
            else:
                out.append(entry[4])
        elif depth:
            self._stack.pop()
            self._emit()
        else:
            self._on_root_end()

    def _on_text(self, text: str) -> None:
        if self._depth > 1:
            self._out.append(escape_text(text))
        elif text.strip(" \t\r\n"):
            raise StreamError("bad-format", "text between stanzas")

    def _on_cdata(self) -> None:
        # Even an empty section is text, and a parser that stands inside of one could not hibernate.
        if self._depth <= 1:
            raise StreamError("bad-format", "text between stanzas")

    def _emit(self) -> None:
        """Append the event of the first-level element that has just ended."""
        uri, name, _, head, tail, _, is_stanza = self._entry
        attrs = self._attrs
        inner = "".join(self._out)
        if is_stanza:
            pop = attrs.pop
            to = pop("to", "")
            from_ = pop("from", "")
            type_ = pop("type", "")
            id_ = pop("id", "")
            lang = pop(_XML_LANG, "") if attrs.get(_XML_LANG) else ""  # an empty one: see NO_LANG
            if len(id_) > MAX_ID or len(lang) > MAX_LANG:
                raise StreamError("policy-violation", "id or xml:lang is too long")
            more = self._keyed(attrs) if attrs else ()
            payloads = tuple(self._payloads)
            # Stanza's own constructor is a Python function around this call.
            event = _new_stanza(Stanza, (name, type_, to, from_, id_, lang, more, payloads, inner.encode()))
            self._events.append(event)
        else:
            element = Element(uri, name, dict(self._keyed(attrs)))
            if inner:
                element.children = parse_element(f"{head}>{inner}{tail}".encode()).children
            self._events.append(element)
        self._out = []
        self._payloads = []
        self._attrs = {}
        self._declarations = 0

    @staticmethod
    def _keyed(attrs: dict[str, str]) -> tuple[tuple[str, str], ...]:
        for key in attrs:
            check_uri(split_name(key)[0])
        return tuple([(attribute_key(key), value) for key, value in attrs.items()])
