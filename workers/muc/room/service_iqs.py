"""What is asked of a service of rooms, not of one room: discovery (sections 6.2, 6.3), search (XEP-0433), unique names. Pure, as the rooms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from rookery.shared.xeps._disco import NS_INFO, info
from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.channel_search import BY_ADDRESS, BY_USERS, ERROR, PARAMS, SEARCH
from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import Field, form, values
from rookery.shared.xeps.multi_user_chat import UNIQUE
from rookery.shared.xeps.ping import NS as PING
from rookery.shared.xeps.registry import FEATURES
from rookery.shared.xeps.service_discovery import NS_ITEMS
from rookery.shared.xeps.vcard_temp import NS as VCARD
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.pages import page, with_set

#: What a search asks for at most.
_TERMS: Final = 10


class Listed(NamedTuple):
    """A room that everybody may know of."""

    jid: str
    name: str = ""
    description: str = ""
    lang: str = ""
    occupants: int = 0


class ServiceView(NamedTuple):
    """What answers are made of: listed rooms, sorted by JID; `token` is new and cannot be guessed."""

    rooms: Sequence[Listed]
    name: str = "Rooms"
    token: str = ""


def service_iq(iq: Stanza, view: ServiceView) -> Stanza:
    """The answer to an iq get or set. Raises StanzaError."""
    namespace, name = iq.payloads[0] if iq.payloads else ("", "")
    answer = _ANSWERS.get((iq.type, namespace, name))
    if answer is None:
        raise StanzaError("service-unavailable")
    return answer(iq, view)


def _info(iq: Stanza, view: ServiceView) -> Stanza:
    query = iq.find(NS_INFO, "query")
    if query is not None and query.get("node"):
        raise StanzaError("item-not-found")
    features = sorted({*FEATURES[Target.SERVICE], NS_INFO, NS_ITEMS, PING})
    return iq.result(info("conference", "text", view.name, features))


def _items(iq: Stanza, view: ServiceView) -> Stanza:
    query = iq.find(NS_ITEMS, "query")
    node = None if query is None else query.get("node")
    if node:
        raise StanzaError("item-not-found")
    rooms = {room.jid: room for room in view.rooms}
    taken = page(tuple(rooms), query)
    found = Element(NS_ITEMS, "query")
    for jid in taken.keys:
        name = rooms[jid].name or jid.partition("@")[0]
        found.children.append(Element(NS_ITEMS, "item", {"jid": jid, "name": name}))
    with_set(found, taken)
    return iq.result(found)


def _unique(iq: Stanza, view: ServiceView) -> Stanza:
    """A name that no room has (as former revisions of XEP-0045 had it in section 10.1.4)."""
    return iq.result(Element(UNIQUE, "unique", None, view.token))


def _pong(iq: Stanza, view: ServiceView) -> Stanza:
    return iq.result()


def _card(iq: Stanza, view: ServiceView) -> Stanza:
    return iq.result(Element(VCARD, "vCard", None, Element(VCARD, "FN", None, view.name)))


# --- search ----------------------------------------------------------------------------------------------------------


def _fields() -> list[Field]:
    return [
        Field("q", (), "text-single"),
        Field("all", ("false",), "boolean"),
        Field("sinname", ("true",), "boolean"),
        Field("sindescription", ("true",), "boolean"),
        Field("sinaddress", ("true",), "boolean"),
        Field("min_users", ("0",), "text-single"),
        Field("types", ("xep-0045",), "list-multi"),
        Field("key", (BY_ADDRESS,), "list-single"),
    ]


def _search(iq: Stanza, view: ServiceView) -> Stanza:
    search = iq.find(SEARCH, "search")
    x = None if search is None else search.find(FORMS, "x")
    if search is None or x is None:
        return iq.result(Element(SEARCH, "search", None, form("form", PARAMS, _fields())))
    given = values(x)
    if given.get("FORM_TYPE") != [PARAMS]:
        raise StanzaError("bad-request", "the form has another FORM_TYPE")
    rooms = _sorted(_found(given, view.rooms), given)
    taken = page(tuple(rooms), search)
    result = Element(SEARCH, "result", None, *(_item(rooms[jid]) for jid in taken.keys))
    with_set(result, taken)
    return iq.result(result)


def _flag(given: Mapping[str, Sequence[str]], name: str, default: bool) -> bool:
    found = given.get(name)
    if not found:
        return default
    if found[0] not in ("0", "1", "true", "false"):
        raise StanzaError("bad-request", f"{name} is a boolean")
    return found[0] in ("1", "true")


def _found(given: Mapping[str, Sequence[str]], rooms: Sequence[Listed]) -> list[Listed]:
    text = " ".join(given.get("q", ())).strip()
    everything = _flag(given, "all", False)
    if everything and text:
        raise StanzaError(
            "bad-request", "all, or what is searched for", type="modify", app=(ERROR, "conflicting-fields")
        )
    terms = text.casefold().split()[:_TERMS]
    if not everything and not terms:
        raise StanzaError(
            "bad-request", "nothing is searched for", type="modify", app=(ERROR, "no-search-conditions")
        )
    if given.get("types") and "xep-0045" not in given["types"]:
        return []
    fewest = "".join(given.get("min_users", ())).strip() or "0"
    if not fewest.isascii() or not fewest.isdigit() or len(fewest) > 9:
        raise StanzaError("bad-request", "min_users is not a number")
    where = [_flag(given, name, True) for name in ("sinname", "sindescription", "sinaddress")]
    return [
        room
        for room in rooms
        if room.occupants >= int(fewest) and (everything or _matches(room, terms, where))
    ]


def _matches(room: Listed, terms: Sequence[str], where: Sequence[bool]) -> bool:
    parts = (room.name, room.description, room.jid.partition("@")[0])
    text = "\n".join([part for part, wanted in zip(parts, where, strict=True) if wanted]).casefold()
    return all(term in text for term in terms)


def _sorted(rooms: Sequence[Listed], given: Mapping[str, Sequence[str]]) -> dict[str, Listed]:
    """By address; by occupants, the pages are those of the list as it is then, which may change between two requests."""
    key = "".join(given.get("key", ())) or BY_ADDRESS
    if key == BY_ADDRESS:
        return {room.jid: room for room in sorted(rooms)}
    if key == BY_USERS:
        return {room.jid: room for room in sorted(rooms, key=lambda room: (-room.occupants, room.jid))}
    raise StanzaError(
        "feature-not-implemented", "no such order", type="modify", app=(ERROR, "invalid-sort-key")
    )


def _item(room: Listed) -> Element:
    item = Element(SEARCH, "item", {"address": room.jid})
    texts = (("name", room.name), ("description", room.description), ("language", room.lang))
    item.children += [Element(SEARCH, name, None, text) for name, text in texts if text]
    item.children.append(Element(SEARCH, "nusers", None, str(room.occupants)))
    item.children.append(Element(SEARCH, "service-type", None, "xep-0045"))
    return item


_ANSWERS: Final[Mapping[tuple[str, str, str], Callable[[Stanza, ServiceView], Stanza]]] = {
    ("get", NS_INFO, "query"): _info,
    ("get", NS_ITEMS, "query"): _items,
    ("get", UNIQUE, "unique"): _unique,
    ("get", PING, "ping"): _pong,
    ("get", VCARD, "vCard"): _card,
    ("get", SEARCH, "search"): _search,
    ("set", SEARCH, "search"): _search,
}
