"""Pages of a sorted list of names, as Result Set Management (XEP-0059) asks for them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.xeps.message_archive import RSM
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element

#: Items of a page, unless the client says how many, and whatever it says.
PAGE: Final = 100
PAGE_MAX: Final = 500


class Page(NamedTuple):
    """Some names, the place of the first one, how many there are at all; `all`: the list is whole and was asked for so."""

    keys: Sequence[str]
    first: int
    total: int
    all: bool


def page(keys: Sequence[str], asked: Element | None) -> Page:
    """The names that the `<set/>` in a request asks for; `keys` are sorted, each once. Raises StanzaError."""
    set_ = None if asked is None else asked.find(RSM, "set")
    count = len(keys)
    most = PAGE if set_ is None else min(_number(set_, "max", PAGE), PAGE_MAX)
    if set_ is None:
        return Page(keys[:most], 0, count, count <= most)
    start, end = 0, count
    after, before = set_.find_text(RSM, "after"), set_.find_text(RSM, "before")
    if set_.find(RSM, "index") is not None:
        start = _number(set_, "index", 0)
    elif after:
        start = _place(keys, after) + (after in keys)
    elif before is not None:
        end = _place(keys, before) if before else count
        start = max(0, end - most)
    return Page(keys[start : min(end, start + most)], start, count, False)


def _place(keys: Sequence[str], name: str) -> int:
    """Where a name is, or would be: in a list in another order one that is gone is unknown (XEP-0059 section 2.2)."""
    if name in keys:
        return list(keys).index(name)
    place = bisect_left(keys, name)
    if list(keys) != sorted(keys):
        raise StanzaError("item-not-found", "this is not in the list any more")
    return place


def _number(set_: Element, name: str, default: int) -> int:
    text = set_.find_text(RSM, name)
    if text is None:
        return default
    text = text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise StanzaError("bad-request", f"{name} is not a number")
    return int(text)


def with_set(element: Element, taken: Page) -> None:
    """Say which part of the whole it is; a whole list needs no word."""
    if taken.all:
        return
    set_ = Element(RSM, "set")
    if taken.keys:
        set_.children += [
            Element(RSM, "first", {"index": str(taken.first)}, taken.keys[0]),
            Element(RSM, "last", None, taken.keys[-1]),
        ]
    set_.children.append(Element(RSM, "count", None, str(taken.total)))
    element.children.append(set_)
