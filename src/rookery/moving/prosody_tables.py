"""Tables of Prosody as values that are checked, and as XML (`util.stanza.preserialize`)."""

from __future__ import annotations

from rookery.moving.lua import Table, Value
from rookery.moving.parts import stamp_of
from rookery.shared.xmpp.xml import Element

__all__ = ["Table", "element", "integer", "stored_stamp", "table", "text"]


def table(value: Value) -> Table:
    """A table, an empty one for everything else."""
    return value if isinstance(value, dict) else {}


def text(value: Value) -> str:
    """A text, "" for everything else."""
    return value if isinstance(value, str) else ""


def integer(value: Value) -> int | None:
    """A number that is whole."""
    return (
        int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
        else None
    )


def stored_stamp(one: Table) -> float | None:
    """When something came into a list, in Unix seconds."""
    when = one.get("when")
    if isinstance(when, int | float) and not isinstance(when, bool) and 0 <= when < 1e11:
        return float(when)
    return stamp_of(text(table(one.get("attr")).get("stamp")))


def element(value: Value, inherited: str = "jabber:client") -> Element | None:
    """The element of a stanza that was taken apart for storing; None for what is none. Bytes that are no UTF-8 are replaced."""
    one = table(value)
    name = one.get("name")
    if not isinstance(name, str) or not name:
        return None
    attrs = {
        key: said
        for key, said in table(one.get("attr")).items()
        if isinstance(key, str) and isinstance(said, str)
    }
    ns = attrs.pop("xmlns", inherited)
    for needless in ("stamp", "stamp_legacy") if name == "message" else ():
        attrs.pop(needless, None)
    out = Element(ns, name, {_key(key): _clean(said) for key, said in attrs.items()})
    for index in range(1, len(one) + 1):
        child = one.get(index)
        if isinstance(child, str):
            out.children.append(_clean(child))
        elif (inner := element(child, ns)) is not None:
            out.children.append(inner)
    return out


def _key(key: str) -> str:
    """Namespaced attributes have their namespace before a byte 1."""
    uri, _, name = key.rpartition("\x01")
    if not uri:
        return key
    return f"xml:{name}" if uri == "http://www.w3.org/XML/1998/namespace" else f"{{{uri}}}{name}"


def _clean(said: str) -> str:
    return said.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\x00", "")
