"""Parsers of XMPP streams: over TCP (RFC 6120 section 4) and over WebSocket (RFC 7395).

Both are pure: bytes in, events out. The last event of a list may be a StreamError instance; after it, and after
StreamClosed, a parser returns no more events.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.events import Event, StreamClosed, StreamLimits, StreamOpened
from rookery.shared.xmpp.reader import Finished, Reader, declaration
from rookery.shared.xmpp.xml import Element, escape_attr

__all__ = ["Event", "FrameParser", "StreamClosed", "StreamLimits", "StreamOpened", "StreamParser"]

#: What a stream header with everything before it may have.
HEADER_BYTES: Final = 4096
HEADER_ATTRIBUTES: Final = 32

#: The name of a root as it is written, with its prefix.
ROOT_NAME: Final = re.compile(rb"<([^\s/>]+)")
_XML_LANG: Final = f"{ns.XML} lang"
_PROLOGUE: Final = re.compile(
    rb"<\?xml[ \t\r\n]+version=(['\"])1\.0\1([ \t\r\n]+encoding=(['\"])[Uu][Tt][Ff]-8\3)?[ \t\r\n]*\?>[ \t\r\n]*"
)


class StreamParser(Reader):
    """The parser of one TCP stream; a stream restart needs a new one (RFC 6120 section 4.3.3).

    `close()` it when the connection ends. `hibernate()` frees expat's memory while nothing is on the way.
    """

    __slots__ = ("_declared", "_header", "_replay")

    def __init__(self, limits: StreamLimits, *, content_ns: str = ns.CLIENT) -> None:
        super().__init__(limits, content_ns=content_ns)
        self._declared: list[tuple[str, str]] = []
        self._replay = ""
        #: The bytes of the header while it is incomplete.
        self._header: bytes | None = b""

    def feed(self, data: bytes) -> list[Event]:
        """Parse what the peer sent; white space between stanzas is a keep-alive and gives no event."""
        if self._dead or not data:
            return []
        if self._header is not None:
            return self._feed_header(data)
        if self._parser is None:
            self._reopen()
        return self._run(data)

    def hibernate(self) -> bool:
        """Free the parser at a stanza boundary; the next bytes make a new one. False when it is not at one."""
        if self._dead or self._depth != 1 or self._tail or self._held is not None:
            return False
        self._parser = None
        return True

    def _feed_header(self, data: bytes) -> list[Event]:
        head = self._header
        assert head is not None
        condition = wrong_start(head[:2] + data[: 2 - len(head)]) if len(head) < 2 else ""
        if condition:
            self.close()
            return [StreamError(condition)]
        if self._parser is None:
            parser = self._parser = self._create()
            parser.StartNamespaceDeclHandler = self._on_declare
            parser.XmlDeclHandler = declaration
        limit = self._max
        self._max = min(limit, HEADER_BYTES)
        piece, rest = data[: self._max - len(head)], data[self._max - len(head) :]
        self._header = head + piece
        events = self._run(piece)
        self._max = limit
        if self.ended or self._depth == 0:
            return events
        self._header = None
        return events + self._run(rest) if rest else events

    def _on_declare(self, prefix: str | None, uri: str | None) -> None:
        self._declared.append((prefix or "", uri or ""))

    def _on_root(self, name: str, attrs: dict[str, str]) -> None:
        uri, _, local = name.rpartition(" ")
        if uri != ns.STREAM:
            raise StreamError("invalid-namespace", f"a stream header is in {ns.STREAM}")
        if local != "stream":
            raise StreamError("bad-format", "a stream starts with a header")
        if len(attrs) + len(self._declared) > HEADER_ATTRIBUTES:
            raise StreamError("policy-violation", f"a stream header may have {HEADER_ATTRIBUTES} attributes")
        content = dict(self._declared).get("", "")
        # RFC 6120 section 4.8.3: the content namespace is the default one, or declared by a prefix or by each stanza beside the stream's.
        has_content = content in (ns.STREAM, self.content_ns) or (
            not content and any(uri == self.content_ns for _, uri in self._declared)
        )
        if not has_content:
            raise StreamError("invalid-namespace", f"the content namespace is {self.content_ns}")
        parser = self._parser
        parser.StartNamespaceDeclHandler = self._on_declaration
        parser.XmlDeclHandler = None
        assert self._header is not None
        raw = ROOT_NAME.match(self._header, parser.CurrentByteIndex)
        assert raw is not None
        # What a new parser needs to stand where this one stands; most clients declare the same, so it is kept once.
        declared = "".join(
            f" xmlns{':' if prefix else ''}{prefix}='{escape_attr(uri)}'" for prefix, uri in self._declared
        )
        self._replay = sys.intern(f"<{raw[1].decode()}{declared}>")
        self._declared = []
        self._events.append(
            StreamOpened(
                attrs.get("to", ""),
                attrs.get("from", ""),
                attrs.get(_XML_LANG, ""),
                attrs.get("version", ""),
                attrs.get("id", ""),
                content,
            )
        )

    def _on_root_end(self) -> None:
        self._events.append(StreamClosed())
        raise Finished

    def _reopen(self) -> None:
        parser = self._create()
        header = self._replay.encode()
        parser.StartElementHandler = parser.StartNamespaceDeclHandler = None
        parser.Parse(header, False)
        parser.StartElementHandler = self._on_start
        parser.StartNamespaceDeclHandler = self._on_declaration
        self._parser = parser
        self._depth = 1
        self._tail = b""
        self._held = None
        self._fed = self._start = self._base = len(header)


def wrong_start(first: bytes) -> str:
    """The condition for bytes that cannot begin a stream in UTF-8: expat would believe them and change its encoding."""
    if first[0] == 0xEF:
        # U+FEFF is never a byte order mark here (RFC 6120 section 11.6).
        return "bad-format"
    return "unsupported-encoding" if first[0] >= 0xFE or 0 in first else ""


class FrameParser(Reader):
    """The parser of one WebSocket stream: each text message is one whole document (RFC 7395 section 3.3.3).

    Messages are parsed inside a root of our own that binds no prefix and no namespace, so none leaks into the next.
    """

    __slots__ = ()

    def feed_message(self, text: bytes) -> list[Event]:
        """Parse one text message: `<open/>`, `<close/>`, a stanza or any other first-level element."""
        if self._dead:
            return []
        if len(text) > self._max:
            self.close()
            return [StreamError("policy-violation", f"a message may have {self._max} bytes")]
        if text[:5] == b"<?xml":
            prologue = _PROLOGUE.match(text)
            if prologue is None:
                self.close()
                return [
                    StreamError("unsupported-encoding" if b"encoding" in text[:128] else "not-well-formed")
                ]
            text = text[prologue.end() :]
        if text[:1] != b"<":
            # RFC 7395 section 3.3.3: the first character is "<".
            self.close()
            return [StreamError("bad-format", "a message starts with an element")]
        if self._parser is None:
            self._reopen()
        events = self._run(text)
        if self.ended:
            return events
        if self._depth != 1 or self._tail or len(events) != 1:
            self.close()
            return [*events, StreamError("not-well-formed", "a message is one element")]
        event = events[0]
        if isinstance(event, Element) and event.ns == ns.FRAMING:
            return self._framing(event)
        return events

    def hibernate(self) -> bool:
        """Free the parser; the next message makes a new one."""
        self._parser = None
        return not self._dead

    def _framing(self, element: Element) -> list[Event]:
        if element.name == "open":
            get = element.attrs.get
            return [
                StreamOpened(
                    get("to", ""),
                    get("from", ""),
                    get("xml:lang", ""),
                    get("version", ""),
                    get("id", ""),
                    ns.CLIENT,
                )
            ]
        self.close()
        if element.name == "close":
            return [StreamClosed()]
        return [StreamError("unsupported-stanza-type")]

    def _on_root(self, name: str, attrs: dict[str, str]) -> None:
        raise AssertionError("the root is our own")

    def _on_root_end(self) -> None:
        raise StreamError("not-well-formed")

    def _reopen(self) -> None:
        parser = self._create()
        parser.StartElementHandler = None
        parser.Parse(b"<root>", False)
        parser.StartElementHandler = self._on_start
        self._parser = parser
        self._depth = 1
        self._tail = b""
        self._held = None
        self._fed = self._start = self._base = 6
