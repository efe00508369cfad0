"""XML for the stories' own client: an incremental stream parser and a serialiser.

It shares nothing with the server, so that the two check each other: the parser is ElementTree's, the names are `{ns}name`.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, XMLPullParser
from xml.sax.saxutils import escape, quoteattr

CLIENT = "jabber:client"
STREAM = "http://etherx.jabber.org/streams"
SCANSION = "https://matthewwild.co.uk/projects/scansion"
_XML = "http://www.w3.org/XML/1998/namespace"


class StreamReader:
    """Turn bytes of one XML stream into its header and first-level elements."""

    def __init__(self) -> None:
        self._parser: XMLPullParser[Element] = XMLPullParser(("start", "end"))
        self._depth = 0
        self._root: Element | None = None
        #: The attributes of the stream header, None until it came.
        self.header: dict[str, str] | None = None
        #: The peer closed the root element.
        self.closed = False

    def feed(self, data: bytes) -> list[Element]:
        """Parse `data` and return the first-level elements that it completed. Raises ElementTree.ParseError."""
        self._parser.feed(data)
        done: list[Element] = []
        for event, node in self._parser.read_events():  # type: ignore[misc]
            assert isinstance(node, Element)
            if event == "start":
                self._depth += 1
                if self._depth == 1:
                    self._root, self.header = node, dict(node.attrib)
                continue
            self._depth -= 1
            if self._depth == 1:
                done.append(node)
                assert self._root is not None
                self._root.remove(node)
            elif self._depth == 0:
                self.closed = True
        return done


def fragments(text: str) -> list[Element]:
    """Parse the elements in `text`, whose default namespace is jabber:client. Raises ElementTree.ParseError."""
    reader = StreamReader()
    head = (
        f"<s xmlns={quoteattr(CLIENT)} xmlns:stream={quoteattr(STREAM)} xmlns:scansion={quoteattr(SCANSION)}>"
    )
    found = reader.feed(head.encode() + text.encode())
    reader.feed(b"</s>")
    return found


def split(tag: str) -> tuple[str, str]:
    """The namespace and the local name of an ElementTree name."""
    if tag.startswith("{"):
        uri, _, local = tag[1:].partition("}")
        return uri, local
    return "", tag


def serialise(node: Element, parent_ns: str = CLIENT) -> str:
    """Write an element inside a parent whose default namespace is `parent_ns` ("" declares it always)."""
    uri, local = split(node.tag)
    out = [f"<{local}"]
    if uri != parent_ns:
        out.append(f" xmlns={quoteattr(uri)}")
    for index, (name, value) in enumerate(node.attrib.items()):
        attr_ns, attr = split(name)
        if attr_ns == _XML:
            out.append(f" xml:{attr}={quoteattr(value)}")
        elif attr_ns:
            out.append(f" xmlns:n{index}={quoteattr(attr_ns)} n{index}:{attr}={quoteattr(value)}")
        else:
            out.append(f" {attr}={quoteattr(value)}")
    if not len(node) and not node.text:
        return "".join([*out, "/>"])
    out.append(">" + escape(node.text or ""))
    for child in node:
        out.append(serialise(child, uri))
        out.append(escape(child.tail or ""))
    return "".join([*out, f"</{local}>"])
