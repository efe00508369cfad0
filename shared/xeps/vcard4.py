"""XEP-0292: vCard4 Over XMPP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rookery.shared.xeps import vcard_temp
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.xml import Element

#: The node of an account, its only item, and the namespace of RFC 6351.
NODE: Final = "urn:xmpp:vcard4"
ITEM: Final = "current"
NS: Final = "urn:ietf:params:xml:ns:vcard-4.0"
XEP = Xep(
    292,
    "0.12.0",
    "complete",
    features={Target.ACCOUNT: (NS,)},
    implemented_in="workers.pubsub, workers.account",
    note="Kept as a node (section 3.1); old and new cards are one: what a client writes as the one is what others read as the other. Pictures are those of avatars.",
)
_OLD: Final = vcard_temp.NS

#: (XEP-0054, RFC 6350, the element that holds the value) of what is one text.
_TEXTS: Final = (
    ("FN", "fn", "text"),
    ("NICKNAME", "nickname", "text"),
    ("BDAY", "bday", "date"),
    ("TITLE", "title", "text"),
    ("ROLE", "role", "text"),
    ("DESC", "note", "text"),
    ("URL", "url", "uri"),
    ("UID", "uid", "text"),
    ("REV", "rev", "timestamp"),
    ("TZ", "tz", "text"),
    ("PRODID", "prodid", "text"),
)
_NAME: Final = (
    ("FAMILY", "surname"),
    ("GIVEN", "given"),
    ("MIDDLE", "additional"),
    ("PREFIX", "prefix"),
    ("SUFFIX", "suffix"),
)
_ADDRESS: Final = (
    ("POBOX", "pobox"),
    ("EXTADD", "ext"),
    ("STREET", "street"),
    ("LOCALITY", "locality"),
    ("REGION", "region"),
    ("PCODE", "code"),
    ("CTRY", "country"),
)
_TYPES: Final = ("HOME", "WORK", "VOICE", "FAX", "PAGER", "CELL", "VIDEO", "TEXT")


def _new(name: str, *children: Element | str) -> Element:
    return Element(NS, name, None, *children)


def _old(name: str, *children: Element | str) -> Element:
    return Element(_OLD, name, None, *children)


def _text(element: Element, namespace: str, *names: str) -> str:
    """The first of these children that says something."""
    for name in names:
        found = (element.find_text(namespace, name) or "").strip()
        if found:
            return found
    return ""


# --- from old to new -------------------------------------------------------------------------------------------------


def new_card(card: Element) -> Element:
    """A card of XEP-0054 as one of RFC 6351. What has no place there is left out, and so is the picture."""
    found: list[Element] = []
    for child in card.elements(_OLD):
        make = _FORWARD.get(child.name)
        if make is not None:
            found += make(child)
    return _new("vcard", *found)


def _one_text(name: str, holder: str) -> Callable[[Element], Iterator[Element]]:
    def make(old: Element) -> Iterator[Element]:
        if old.text.strip():
            yield _new(name, _new(holder, old.text.strip()))

    return make


def _parts(name: str, pairs: tuple[tuple[str, str], ...]) -> Callable[[Element], Iterator[Element]]:
    def make(old: Element) -> Iterator[Element]:
        parts = [_new(new, _text(old, _OLD, source)) for source, new in pairs]
        if any(part.text for part in parts):
            yield _new(name, *_parameters(old), *parts)

    return make


def _parameters(old: Element) -> list[Element]:
    types = [one.lower() for one in _TYPES if old.find(_OLD, one) is not None]
    if not types:
        return []
    return [_new("parameters", _new("type", *(_new("text", one) for one in types)))]


def _phone(old: Element) -> Iterator[Element]:
    if number := _text(old, _OLD, "NUMBER"):
        yield _new("tel", *_parameters(old), _new("text", number))


def _mail(old: Element) -> Iterator[Element]:
    if address := _text(old, _OLD, "USERID"):
        yield _new("email", *_parameters(old), _new("text", address))


def _organization(old: Element) -> Iterator[Element]:
    units = [one.text.strip() for one in old.elements(_OLD, "ORGUNIT")]
    texts = [text for text in (_text(old, _OLD, "ORGNAME"), *units) if text]
    if texts:
        yield _new("org", *(_new("text", text) for text in texts))


def _jid(old: Element) -> Iterator[Element]:
    if old.text.strip():
        yield _new("impp", _new("uri", f"xmpp:{old.text.strip()}"))


def _keywords(old: Element) -> Iterator[Element]:
    words = [one.text.strip() for one in old.elements(_OLD, "KEYWORD") if one.text.strip()]
    if words:
        yield _new("categories", *(_new("text", word) for word in words))


def _place(old: Element) -> Iterator[Element]:
    latitude, longitude = _text(old, _OLD, "LAT"), _text(old, _OLD, "LON")
    if latitude and longitude:
        yield _new("geo", _new("uri", f"geo:{latitude},{longitude}"))


_FORWARD: Final[Mapping[str, Callable[[Element], Iterator[Element]]]] = {
    **{old: _one_text(new, holder) for old, new, holder in _TEXTS},
    "N": _parts("n", _NAME),
    "ADR": _parts("adr", _ADDRESS),
    "TEL": _phone,
    "EMAIL": _mail,
    "ORG": _organization,
    "JABBERID": _jid,
    "CATEGORIES": _keywords,
    "GEO": _place,
    "NOTE": _one_text("note", "text"),
}


# --- from new to old -------------------------------------------------------------------------------------------------


def old_card(card: Element) -> Element:
    """A card of RFC 6351 as one of XEP-0054, without a picture. What has no place there is left out."""
    found: list[Element] = []
    for child in _properties(card):
        make = _BACK.get(child.name)
        if make is not None:
            found += make(child)
    return _old("vCard", *found)


def _properties(card: Element) -> Iterator[Element]:
    """Those of groups, too (RFC 6351 section 5)."""
    for child in card.elements(NS):
        if child.name == "group":
            yield from child.elements(NS)
        else:
            yield child


def _value(new: Element) -> str:
    return _text(new, NS, "text", "uri", "date", "date-time", "date-and-or-time", "timestamp", "utc-offset")


def _back_text(name: str) -> Callable[[Element], Iterator[Element]]:
    def make(new: Element) -> Iterator[Element]:
        if value := _value(new):
            yield _old(name, value)

    return make


def _back_parts(name: str, pairs: tuple[tuple[str, str], ...]) -> Callable[[Element], Iterator[Element]]:
    def make(new: Element) -> Iterator[Element]:
        parts = [_old(old, text) for old, source in pairs if (text := _text(new, NS, source))]
        if parts:
            yield _old(name, *_flags(new), *parts)

    return make


def _flags(new: Element) -> list[Element]:
    parameters = new.find(NS, "parameters")
    types = None if parameters is None else parameters.find(NS, "type")
    said = set() if types is None else {one.text.strip().upper() for one in types.elements(NS)}
    return [_old(one) for one in _TYPES if one in said]


def _back_phone(new: Element) -> Iterator[Element]:
    if number := _value(new).removeprefix("tel:"):
        yield _old("TEL", *_flags(new), _old("NUMBER", number))


def _back_mail(new: Element) -> Iterator[Element]:
    if address := _value(new):
        yield _old("EMAIL", *_flags(new), _old("USERID", address))


def _back_organization(new: Element) -> Iterator[Element]:
    texts = [one.text.strip() for one in new.elements(NS, "text") if one.text.strip()]
    if texts:
        yield _old("ORG", _old("ORGNAME", texts[0]), *(_old("ORGUNIT", text) for text in texts[1:]))


def _back_jid(new: Element) -> Iterator[Element]:
    value = _value(new)
    if value.startswith("xmpp:"):
        yield _old("JABBERID", value.removeprefix("xmpp:"))


def _back_keywords(new: Element) -> Iterator[Element]:
    words = [one.text.strip() for one in new.elements(NS, "text") if one.text.strip()]
    if words:
        yield _old("CATEGORIES", *(_old("KEYWORD", word) for word in words))


def _back_place(new: Element) -> Iterator[Element]:
    latitude, comma, rest = _value(new).removeprefix("geo:").partition(",")
    longitude = rest.partition(";")[0].partition(",")[0]
    if comma and latitude and longitude:
        yield _old("GEO", _old("LAT", latitude), _old("LON", longitude))


_BACK: Final[Mapping[str, Callable[[Element], Iterator[Element]]]] = {
    **{new: _back_text(old) for old, new, _ in _TEXTS},
    "n": _back_parts("N", _NAME),
    "adr": _back_parts("ADR", _ADDRESS),
    "tel": _back_phone,
    "email": _back_mail,
    "org": _back_organization,
    "impp": _back_jid,
    "categories": _back_keywords,
    "geo": _back_place,
}


def joined(stored: Element | None, published: Element) -> Element:
    """The old card for these two: as it was stored while the new one says the same, else the new one with the stored picture."""
    if stored is not None and new_card(stored).encode() == published.encode():
        return stored
    card = old_card(published)
    photo = None if stored is None else stored.find(_OLD, "PHOTO")
    if photo is not None:
        card.children.append(photo)
    return card
