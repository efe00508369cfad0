"""Hypothesis strategies: XML trees, several ways to write the same tree, and ways to cut bytes into chunks."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.xml import Element

#: Characters that XML 1.0 allows (section 2.2), with the awkward ones up front.
CHARS = st.sampled_from("<>&'\"\r\n\t ]};=/é\u0085\u2028\ufeff\ufffd\U0001fffe") | st.characters(
    codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=["Cs", "Cc"]
)
TEXT = st.text(CHARS, min_size=1, max_size=12)
NAMES = st.from_regex(r"[A-Za-z_é][A-Za-z0-9_.\-é]{0,6}", fullmatch=True).filter(
    lambda name: not name.lower().startswith("xml")
)
SPACES = st.sampled_from([ns.CLIENT, "", "urn:x", "urn:y&'(;)", "http://example.org/%C3%A9#x"])
KEYS = (
    NAMES | st.just("xml:lang") | st.builds(lambda uri, name: f"{{{uri}}}{name}", SPACES.filter(bool), NAMES)
)


def elements(depth: int = 3) -> st.SearchStrategy[Element]:
    """Trees whose text nodes never touch each other."""

    def build(uri: str, name: str, attrs: dict[str, str], nodes: list[Element | str]) -> Element:
        children: list[Element | str] = []
        for node in nodes:
            if isinstance(node, str) and children and isinstance(children[-1], str):
                continue
            children.append(node)
        return Element(uri, name, attrs, *children)

    child = TEXT if depth == 0 else TEXT | elements(depth - 1)
    return st.builds(
        build,
        SPACES,
        NAMES,
        st.dictionaries(KEYS, st.text(CHARS, max_size=12), max_size=3),
        st.lists(child, max_size=3),
    )


def _charrefs(text: str, style: int) -> str:
    return "".join(f"&#x{ord(char):x};" if style == 1 or char in "<>&'\"\r\n\t" else char for char in text)


def write_otherwise(element: Element, style: int, number: int = 0) -> str:
    """The same tree in another writing: prefixes for everything, character references, no empty-element tags."""
    prefix = f"p{number}"
    name = f"{prefix}:{element.name}" if element.ns else element.name
    declared = f" xmlns:{prefix}='{_charrefs(element.ns, style)}'" if element.ns else ' xmlns=""'
    out = [f"<{name}{declared}"]
    for i, (key, value) in enumerate(element.attrs.items()):
        written = key
        if key[0] == "{":
            uri, _, local = key[1:].rpartition("}")
            out.append(f'\n xmlns:q{number}_{i}="{_charrefs(uri, style)}"')
            written = f"q{number}_{i}:{local}"
        out.append(f'  {written}\n=\t"{_charrefs(value, style)}"')
    out.append(" >")
    for child in element.children:
        if isinstance(child, Element):
            out.append(write_otherwise(child, style, number + 1))
        elif style == 2 and "]]>" not in child and "\r" not in child:
            out.append(f"<![CDATA[{child}]]>")
        else:
            out.append(_charrefs(child, style))
    out.append(f"</{name}\n>")
    return "".join(out)


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut `data` at these places (modulo its length)."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]
