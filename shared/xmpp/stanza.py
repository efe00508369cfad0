"""The stanza as it travels through the cluster (RFC 6120 section 8): typed attributes and canonical inner XML.

A stanza is parsed once, at the edge that received it. `inner` is canonical XML (see `shared.xmpp.xml`) and is carried as
bytes to the edge that writes it out; what the rules need of it (`payloads`) was noted while parsing. A stanza is a tuple,
so it is packed into a batch as it is; a handler never changes one but makes another with `replace`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_fragment
from rookery.shared.xmpp.xml import Element, escape_attr, open_tag

#: Stands among the attributes of a stanza whose sender says that it is in no language.
NO_LANG: Final = ("xml:lang", "")


class Stanza(NamedTuple):
    """A message, presence or iq.

    `type` is the attribute as sent, "" when absent. Addresses are prepared JID strings, "" when absent. `attrs` holds
    other attributes as (key, value) pairs with the keys of `Element.attrs`. `payloads` are the expanded names
    (namespace, name) of the child elements in order.
    """

    kind: str
    type: str
    to: str
    from_: str
    id: str
    lang: str
    attrs: Sequence[tuple[str, str]]
    payloads: Sequence[tuple[str, str]]
    inner: bytes

    @staticmethod
    def unpack(fields: Sequence[object]) -> Stanza:
        """Rebuild a stanza from an unpacked batch item."""
        return Stanza._make(fields)

    @staticmethod
    def build(
        kind: str,
        *children: Element,
        type: str = "",
        to: str = "",
        from_: str = "",
        id: str = "",
        lang: str = "",
    ) -> Stanza:
        """Make a stanza from elements."""
        return Stanza(
            kind,
            type,
            to,
            from_,
            id,
            lang,
            (),
            tuple((child.ns, child.name) for child in children),
            "".join([child.xml() for child in children]).encode(),
        )

    def replace(self, **fields: object) -> Stanza:
        """A copy with other attributes (`to=`, `from_=`, `id=` ...)."""
        return self._replace(**fields)  # type: ignore[arg-type]

    def with_child(self, child: Element) -> Stanza:
        """A copy with one more child element at the end."""
        return self._replace(
            payloads=(*self.payloads, (child.ns, child.name)), inner=self.inner + child.encode()
        )

    def has(self, namespace: str, name: str | None = None) -> bool:
        """Whether a child element of that namespace (and name) is there."""
        return any(uri == namespace and name in (None, local) for uri, local in self.payloads)

    def elements(self) -> list[Element]:
        """Parse the child elements (server-made canonical XML; text between them is dropped)."""
        return [node for node in parse_fragment(self.inner) if isinstance(node, Element)]

    def find(self, namespace: str, name: str) -> Element | None:
        """Parse and return the first child element of that name, or None."""
        if not self.has(namespace, name):
            return None
        return next((e for e in self.elements() if e.ns == namespace and e.name == name), None)

    def result(self, *children: Element) -> Stanza:
        """The result of this iq, addressed back to its sender (RFC 6120 section 8.2.3)."""
        return Stanza.build("iq", *children, type="result", to=self.from_, from_=self.to, id=self.id)

    def error(self, error: StanzaError) -> Stanza:
        """The error stanza that answers this one (RFC 6120 section 8.3.1); it does not echo the payload."""
        condition = Element(
            ns.CLIENT,
            "error",
            {"type": error.type},
            Element(ns.STANZA_ERRORS, error.condition, None, error.address or None),
        )
        if error.text:
            condition.children.append(Element(ns.STANZA_ERRORS, "text", {"xml:lang": "en"}, error.text))
        if error.app:
            condition.children.append(Element(*error.app, error.app_attrs))
        return Stanza.build(self.kind, condition, type="error", to=self.from_, from_=self.to, id=self.id)

    def encode(self, xmlns: str = "", to: str | None = None) -> bytes:
        """The bytes for a stream whose default namespace is jabber:client; with `xmlns`, declare it (RFC 7395).

        `to` overrides the address, for fan-out of one stanza to many.
        """
        parts = [f"<{self.kind} xmlns='{xmlns}'" if xmlns else f"<{self.kind}"]
        address = self.to if to is None else to
        if self.from_:
            parts.append(f" from='{escape_attr(self.from_)}'")
        if address:
            parts.append(f" to='{escape_attr(address)}'")
        if self.type:
            parts.append(f" type='{escape_attr(self.type)}'")
        if self.id:
            parts.append(f" id='{escape_attr(self.id)}'")
        if self.lang:
            parts.append(f" xml:lang='{escape_attr(self.lang)}'")
        if self.attrs:
            parts.append(open_tag(ns.CLIENT, "", dict(self.attrs), ns.CLIENT)[1:])
        if not self.inner:
            parts.append("/>")
            return "".join(parts).encode()
        parts.append(">")
        return b"%b%b</%b>" % ("".join(parts).encode(), self.inner, self.kind.encode())
