"""A small XML element and its canonical serialisation.

Canonical means: one default namespace declaration per change of namespace, attributes with generated prefixes where they
have a namespace, `xml:lang` kept, text escaped, no comments, no processing instructions, no CDATA. Everything that leaves
this server was written by this module or by the stream parser, never copied from a peer's bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rookery.shared.xmpp import ns as namespaces

_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTR: Final = str.maketrans(
    {
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "'": "&apos;",
        '"': "&quot;",
        "\r": "&#13;",
        "\n": "&#10;",
        "\t": "&#9;",
    }
)


def escape_text(text: str) -> str:
    """Escape character data."""
    # Searching for each is ten times cheaper than translating, and most text has none.
    if "&" in text or "<" in text or ">" in text or "\r" in text:
        return text.translate(_TEXT)
    return text


def escape_attr(text: str) -> str:
    """Escape an attribute value for single quotes."""
    if (
        "&" in text
        or "<" in text
        or ">" in text
        or "'" in text
        or '"' in text
        or "\n" in text
        or "\r" in text
        or "\t" in text
    ):
        return text.translate(_ATTR)
    return text


class Element:
    """An XML element: expanded name, attributes, and children (elements and text in order).

    Attribute keys are plain local names; `xml:lang` for the xml namespace; `{namespace}name` for any other.
    """

    __slots__ = ("attrs", "children", "name", "ns")

    def __init__(
        self, ns: str, name: str, attrs: dict[str, str] | None = None, *children: Element | str | None
    ) -> None:
        self.ns = ns
        self.name = name
        self.attrs: dict[str, str] = {} if attrs is None else attrs
        self.children: list[Element | str] = [child for child in children if child is not None]

    @property
    def text(self) -> str:
        """The character data directly inside this element."""
        return "".join(child for child in self.children if isinstance(child, str))

    def elements(self, ns: str | None = None, name: str | None = None) -> Iterator[Element]:
        """Iterate over child elements, optionally of one namespace (and name)."""
        for child in self.children:
            if isinstance(child, Element) and ns in (None, child.ns) and name in (None, child.name):
                yield child

    def find(self, ns: str, name: str) -> Element | None:
        """The first child element of that name, or None."""
        return next(self.elements(ns, name), None)

    def find_text(self, ns: str, name: str) -> str | None:
        """The text of the first child element of that name, or None when there is no such child."""
        child = self.find(ns, name)
        return None if child is None else child.text

    def get(self, name: str, default: str | None = None) -> str | None:
        """An attribute's value."""
        return self.attrs.get(name, default)

    def xml(self, parent_ns: str = namespaces.CLIENT) -> str:
        """Canonical XML, inside a parent whose default namespace is `parent_ns`."""
        out: list[str] = []
        _write(self, parent_ns, out)
        return "".join(out)

    def encode(self, parent_ns: str = namespaces.CLIENT) -> bytes:
        """Canonical XML in UTF-8."""
        return self.xml(parent_ns).encode()

    def __repr__(self) -> str:
        return f"<Element {self.xml('')}>"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Element)
            and (self.ns, self.name, self.attrs) == (other.ns, other.name, other.attrs)
            and self.children == other.children
        )

    __hash__ = None  # type: ignore[assignment]  # mutable


def open_tag(ns: str, name: str, attrs: dict[str, str], parent_ns: str) -> str:
    """The start tag without its closing `>`: the one place where canonical start tags are written."""
    head = f"<{name}" if ns == parent_ns else f"<{name} xmlns='{escape_attr(ns)}'"
    if not attrs:
        return head
    parts = [head]
    prefixes = 0
    for key, value in attrs.items():
        if key[0] == "{":
            uri, _, local = key[1:].rpartition("}")
            parts.append(
                f" xmlns:a{prefixes}='{escape_attr(uri)}' a{prefixes}:{local}='{escape_attr(value)}'"
            )
            prefixes += 1
        else:
            parts.append(f" {key}='{escape_attr(value)}'")
    return "".join(parts)


def _write(element: Element, parent_ns: str, out: list[str]) -> None:
    out.append(open_tag(element.ns, element.name, element.attrs, parent_ns))
    if not element.children:
        out.append("/>")
        return
    out.append(">")
    for child in element.children:
        if isinstance(child, str):
            out.append(escape_text(child))
        else:
            _write(child, element.ns, out)
    out.append(f"</{element.name}>")
