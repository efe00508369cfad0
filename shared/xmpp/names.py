"""What the reader needs to know of an element's expanded name, worked out once for each."""

from __future__ import annotations

import re
from typing import Final

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.parse import split_name
from rookery.shared.xmpp.xml import escape_attr

STANZAS: Final = frozenset({"message", "presence", "iq"})
#: The characters of a URI (RFC 3986), a little wider than its grammar.
_URI: Final = re.compile(r"(?:[A-Za-z0-9\-._~:/?#@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*\Z")
_CONTENT: Final = frozenset({ns.CLIENT, ns.SERVER, ns.COMPONENT, ""})

#: (namespace, local name, start of the tag in that namespace, start of the tag elsewhere, end tag, payload name, what it is as a
#: first-level element: True a stanza, False another element, else the stream error that it causes)
Name = tuple[str, str, str, str, str, tuple[str, str], bool | str]


def check_uri(uri: str) -> str:
    """A namespace name is a URI. Raises StreamError(bad-format).

    expat takes any text; some clients' parsers do not and would end their stream, so it must not reach them.
    """
    if _URI.match(uri):
        return uri
    raise StreamError("bad-format", "the name of a namespace is a URI")


class Names(dict[str, Name]):
    """Expanded name (as expat writes it) to `Name`; emptied when a hostile peer fills it.

    One of each content namespace serves all streams of a process.
    """

    def __init__(self, content_ns: str) -> None:
        super().__init__()
        self._content = content_ns

    def __missing__(self, expanded: str) -> Name:
        uri, name = split_name(expanded)
        check_uri(uri)
        if uri == ns.XML:
            raise StreamError("bad-namespace-prefix", "no element is in the xml namespace")
        first = self._first_level(uri, name)
        if uri == self._content:
            # Inside the cluster a stanza's own namespace is always jabber:client, whichever stream it came from.
            uri = ns.CLIENT
        entry = (
            uri,
            name,
            f"<{name}",
            f"<{name} xmlns='{escape_attr(uri)}'",
            f"</{name}>",
            (uri, name),
            first,
        )
        if len(expanded) <= 256:
            if len(self) >= 8192:
                self.clear()
            self[expanded] = entry
        return entry

    def _first_level(self, uri: str, name: str) -> bool | str:
        if uri == self._content:
            if name == "handshake" and uri == ns.COMPONENT:
                return False
            return name in STANZAS or "unsupported-stanza-type"
        if uri in _CONTENT and name in STANZAS:
            return "invalid-namespace"
        if uri == ns.STREAM and name == "stream":
            # A stream has one header.
            return "bad-format"
        return False


NAMES: Final = {content: Names(content) for content in (ns.CLIENT, ns.SERVER, ns.COMPONENT)}
