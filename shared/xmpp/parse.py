"""Parse canonical XML that this server wrote before (from the bus or the database) into elements.

Bytes from a peer go through `shared.xmpp.stream`, never through here.
"""

from __future__ import annotations

from xml.parsers import expat

from rookery.shared.xmpp import ns as namespaces
from rookery.shared.xmpp.xml import Element, escape_attr


def split_name(expanded: str) -> tuple[str, str]:
    """Split expat's `namespace name` into (namespace, name)."""
    uri, _, name = expanded.rpartition(" ")
    return uri, name


def attribute_key(expanded: str) -> str:
    """The key of `Element.attrs` for expat's attribute name."""
    uri, _, name = expanded.rpartition(" ")
    if not uri:
        return name
    return f"xml:{name}" if uri == namespaces.XML else f"{{{uri}}}{name}"


def parse_fragment(data: bytes, default_ns: str = namespaces.CLIENT) -> list[Element | str]:
    """Parse a run of elements and text whose default namespace is `default_ns`. Raises ValueError."""
    root = Element(default_ns, "fragment")
    stack = [root]

    def start(name: str, attrs: list[str]) -> None:
        uri, local = split_name(name)
        element = Element(uri, local)
        if attrs:
            keys = iter(attrs)
            element.attrs = {attribute_key(key): value for key, value in zip(keys, keys, strict=True)}
        stack[-1].children.append(element)
        stack.append(element)

    def end(_name: str) -> None:
        stack.pop()

    def text(chars: str) -> None:
        children = stack[-1].children
        if children and isinstance(children[-1], str):
            children[-1] += chars
        else:
            children.append(chars)

    parser = expat.ParserCreate("UTF-8", " ")
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        parser.Parse(b"<f xmlns='%b'>%b</f>" % (escape_attr(default_ns).encode(), data), True)
    except expat.ExpatError as exc:
        raise ValueError(f"not canonical XML: {exc}") from exc
    fragment = root.children[0]
    assert isinstance(fragment, Element)
    return fragment.children


def parse_element(data: bytes, default_ns: str = namespaces.CLIENT) -> Element:
    """Parse exactly one element. Raises ValueError."""
    nodes = [node for node in parse_fragment(data, default_ns) if isinstance(node, Element)]
    if len(nodes) != 1:
        raise ValueError(f"expected one element, found {len(nodes)}")
    return nodes[0]
