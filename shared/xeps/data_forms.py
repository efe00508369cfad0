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
    """One field of a form."""

    var: str
    values: Sequence[str]
    type: str = ""


def form(type: str, form_type: str, fields: Iterable[Field]) -> Element:
    """A form whose first field is its FORM_TYPE (XEP-0068)."""
    out = Element(NS, "x", {"type": type})
    for field in (Field("FORM_TYPE", (form_type,), "hidden"), *fields):
        attrs = {"var": field.var, "type": field.type} if field.type else {"var": field.var}
        out.children.append(
            Element(NS, "field", attrs, *(Element(NS, "value", None, value) for value in field.values))
        )
    return out


def values(x: Element) -> dict[str, list[str]]:
    """The fields of a form by name; a field without a name is left out."""
    found: dict[str, list[str]] = {}
    for field in x.elements(NS, "field"):
        var = field.get("var")
        if var:
            found[var] = [value.text for value in field.elements(NS, "value")]
    return found
