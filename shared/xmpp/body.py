"""Parser of one `<body/>` of BOSH (XEP-0124 section 6): a whole document whose children are what a stream carries.

Many clients declare no namespace for stanzas, so everything inside that is in BOSH's is taken for `jabber:client` (XEP-0206 section 2).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.events import Event, StreamLimits
from rookery.shared.xmpp.parse import attribute_key
from rookery.shared.xmpp.reader import Finished, Reader, declaration
from rookery.shared.xmpp.stream import HEADER_BYTES, ROOT_NAME, wrong_start
from rookery.shared.xmpp.xml import escape_attr

NS: Final = "http://jabber.org/protocol/httpbind"
#: Attributes that the wrapper may have.
ATTRIBUTES: Final = 32
_INSIDE: Final = f"{NS} "
_CLIENT: Final = f"{ns.CLIENT} "
#: A body with nothing inside, as half of all are, written as nearly all clients do; what any of its values might mean besides is left to expat.
_EMPTY: Final = re.compile(
    rb"<body((?: [a-z]+(?::[a-z]+)?=(?:'[ !#-%(-;=-~]*'|\"[ !#-%(-;=-~]*\"))+) ?(?:/>|></body>)"
)
_ATTRIBUTE: Final = re.compile(rb" ([a-z:]+)=['\"]([^'\"]*)")
_EMPTY_BYTES: Final = 512
_XBOSH: Final = "urn:xmpp:xbosh"
#: What is wrong with an element and not with the document: the stream ends, and says so.
_OF_STREAM: Final = frozenset(
    {"unsupported-stanza-type", "invalid-namespace", "bad-namespace-prefix", "policy-violation"}
)

#: What a session's bodies may cost, by its sid; None: nothing but the wrapper's attributes is wanted.
Choose = Callable[[str], StreamLimits | None]


class Wrapped(NamedTuple):
    """One `<body/>`: attributes with the keys of `Element.attrs`, and what is inside, in order."""

    attrs: dict[str, str]
    events: list[Event]


def empty(document: bytes) -> Wrapped | None:
    """What a document says that has nothing inside, without a parser; None for one that only a parser can judge."""
    if len(document) > _EMPTY_BYTES:
        return None
    found = _EMPTY.fullmatch(document)
    if found is None:
        return None
    attrs: dict[str, str] = {}
    prefixed: list[str] = []
    for raw, value in _ATTRIBUTE.findall(found[1]):
        name = raw.decode()
        if name in attrs or name in prefixed:
            return None
        if ":" not in name or name == "xml:lang":
            attrs[name] = value.decode()
        elif name == "xmlns:xmpp" or name.startswith("xmpp:"):
            attrs[name] = value.decode()
            prefixed.append(name)
        else:
            return None
    if attrs.pop("xmlns", "") != NS:
        return None
    if prefixed:
        if attrs.pop("xmlns:xmpp", "") != _XBOSH:
            return None
        attrs = {
            f"{{{_XBOSH}}}{key[5:]}" if key[:5] == "xmpp:" else key: value for key, value in attrs.items()
        }
    return Wrapped(attrs, []) if len(attrs) + 2 <= ATTRIBUTES else None


class BodyParser(Reader):
    """Parses one document; a new one needs a new parser."""

    __slots__ = ("_choose", "_declared", "_document", "_replay", "_root", "_whole")

    def __init__(self, choose: Choose) -> None:
        super().__init__(StreamLimits(HEADER_BYTES, 1, 1, ATTRIBUTES))
        self._choose = choose
        self._root: dict[str, str] = {}
        self._declared: list[tuple[str, str]] = []
        self._document = b""
        self._replay = b""
        self._whole = False

    def parse(self, document: bytes) -> Wrapped:
        """The wrapper. Raises StreamError for what is no body; what only the stream does not allow is its last event."""
        condition = wrong_start(document[:1]) if document else "not-well-formed"
        if condition:
            raise StreamError(condition)
        self._document = document
        parser = self._parser = self._create()
        parser.StartNamespaceDeclHandler = self._on_declare
        parser.XmlDeclHandler = declaration
        events = self._run(document)
        unfinished = not self._whole or bool(self._tail)
        inside = self._depth > 0
        self.close()
        if events and isinstance(events[-1], StreamError):
            if inside and events[-1].condition in _OF_STREAM:
                return Wrapped(self._root, events)
            raise events[-1]
        if unfinished:
            raise StreamError("not-well-formed", "a body is one whole document")
        return Wrapped(self._root, events)

    @property
    def attributes(self) -> dict[str, str]:
        """The wrapper's attributes, as far as it was read."""
        return self._root

    def _on_declare(self, prefix: str | None, uri: str | None) -> None:
        self._declared.append((prefix or "", uri or ""))

    def _on_start(self, name: str, attrs: dict[str, str]) -> None:
        if self._depth and name.startswith(_INSIDE):
            name = _CLIENT + name[len(_INSIDE) :]
        super()._on_start(name, attrs)

    def _on_root(self, name: str, attrs: dict[str, str]) -> None:
        if name != f"{_INSIDE}body":
            raise StreamError("bad-format", "the document is a body of BOSH")
        if len(attrs) + len(self._declared) > ATTRIBUTES:
            raise StreamError("policy-violation", f"a body may have {ATTRIBUTES} attributes")
        self._root = {attribute_key(key): value for key, value in attrs.items()}
        limits = self._choose(attrs.get("sid", ""))
        if limits is None:
            self._whole = True
            raise Finished
        self.limits = limits
        parser = self._parser
        raw = ROOT_NAME.match(self._document, parser.CurrentByteIndex)
        assert raw is not None
        declared = "".join(
            [f" xmlns{':' if prefix else ''}{prefix}='{escape_attr(uri)}'" for prefix, uri in self._declared]
        )
        self._replay = b"<" + raw[1] + f"{declared}>".encode()
        parser.StartNamespaceDeclHandler = self._on_declaration
        parser.XmlDeclHandler = None

    def _on_root_end(self) -> None:
        # Expat refuses another element behind this one, and the handlers everything else.
        self._whole = True
        # The document is over, however long it was: whoever got it has limited that.
        self._max = sys.maxsize

    def _reopen(self) -> None:
        parser = self._create()
        parser.StartElementHandler = parser.StartNamespaceDeclHandler = None
        parser.Parse(self._replay, False)
        parser.StartElementHandler = self._on_start
        parser.StartNamespaceDeclHandler = self._on_declaration
        self._parser = parser
        self._depth = 1
        self._tail = b""
        self._held = None
        self._fed = self._start = self._base = len(self._replay)
