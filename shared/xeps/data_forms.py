"""XEP-0004: Data Forms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.xml import Element

NS = "jabber:x:data"
XEP = Xep(
    4, "2.13.2", "partial", note="Forms that the server sends and single submitted forms; no reported tables."
)


class Field(NamedTuple):
    """One field of a form; `options` are (label, value) of those that a list offers."""

    var: str
    values: Sequence[str]
    type: str = ""
    label: str = ""
    required: bool = False
    options: Sequence[tuple[str, str]] = ()
    desc: str = ""

    def element(self) -> Element:
        """As it stands in the form (section 3.2)."""
        said = {"var": self.var, "type": self.type, "label": self.label}
        out = Element(NS, "field", {name: value for name, value in said.items() if value})
        if self.desc:
            out.children.append(Element(NS, "desc", None, self.desc))
        if self.required:
            out.children.append(Element(NS, "required"))
        out.children += [Element(NS, "value", None, value) for value in self.values]
        out.children += [
            Element(NS, "option", {"label": label}, Element(NS, "value", None, value))
            for label, value in self.options
        ]
        return out


def form(
    type: str, form_type: str, fields: Iterable[Field], title: str = "", instructions: str = ""
) -> Element:
    """A form whose first field is its FORM_TYPE (XEP-0068)."""
    out = Element(NS, "x", {"type": type})
    for name, text in (("title", title), ("instructions", instructions)):
        if text:
            out.children.append(Element(NS, name, None, text))
    out.children += [field.element() for field in (Field("FORM_TYPE", (form_type,), "hidden"), *fields)]
    return out


def values(x: Element) -> dict[str, list[str]]:
    """The fields of a form by name; a field without a name is left out."""
    found: dict[str, list[str]] = {}
    for field in x.elements(NS, "field"):
        var = field.get("var")
        if var:
            found[var] = [value.text for value in field.elements(NS, "value")]
    return found
