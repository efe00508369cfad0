"""The commands (XEP-0050) by which admins make hats and give them to people (XEP-0317 section 4). None remembers anything: a form comes back whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.adhoc_commands import NS as COMMANDS
from rookery.shared.xeps.adhoc_commands import answered
from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import Field, form, values
from rookery.shared.xeps.hats import FORM, URI_BYTES
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Note, Send
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room.asking import Ask
from rookery.workers.muc.room.values import Affiliate, Affiliation, Hat

#: Hats of a room, and of one person in it.
HATS: Final = 64
WORN: Final = 16
_TITLE, _URI, _HUE, _JID = "hats#title", "hats#uri", "hats#hue", "hats#jid"
Given = Mapping[str, list[str]]


class Command(NamedTuple):
    """`fields` makes its form, None where it has none; `done` gets the filled form. `open`: not for admins alone."""

    name: str
    done: Callable[[Ask, Given], tuple[list[c.Step], Element | None]]
    fields: Callable[[Ask], list[Field]] | None = None
    open: bool = False


def command(ask: Ask) -> list[c.Step]:
    """Execute, complete or cancel one."""
    stanza = ask.stanza
    element = stanza.find(COMMANDS, "command")
    node = "" if element is None else element.get("node") or ""
    found = ALL.get(node)
    if element is None or found is None:
        raise StanzaError("item-not-found", "no such command")
    _allowed(ask, found)
    session = element.get("sessionid") or ask.facts.token
    action = element.get("action") or "execute"
    if action == "cancel":
        return [Send(stanza.result(answered(node, session, "canceled")))]
    if action not in ("execute", "complete", "next"):
        raise StanzaError("bad-request", "no such action")
    x = element.find(FORMS, "x")
    if found.fields is not None and (x is None or x.get("type") != "submit"):
        shown = form("form", FORM, found.fields(ask), found.name)
        return [Send(stanza.result(answered(node, session, "executing", shown)))]
    steps, said = found.done(ask, {} if x is None else values(x))
    payload = () if said is None else (said,)
    return [Send(stanza.result(answered(node, session, "completed", *payload))), *steps]


def _allowed(ask: Ask, wanted: Command) -> None:
    if ask.affiliation >= Affiliation.ADMIN or (wanted.open and ask.occupant is not None):
        return
    raise StanzaError("forbidden", "only admins of the room may do this")


# --- what they ask ---------------------------------------------------------------------------------------------------


def _made(_ask: Ask) -> list[Field]:
    return [
        Field(_TITLE, (), "text-single", "Title", required=True),
        Field(_URI, (), "text-single", "URI", required=True),
        Field(_HUE, (), "text-single", "Hue, in degrees"),
    ]


def _which(ask: Ask) -> list[Field]:
    options = [(hat.title, hat.uri) for hat in ask.state.hats.values()]
    return [Field(_URI, (), "list-single", "Hat", required=True, options=options)]


def _whose(ask: Ask) -> list[Field]:
    return [Field(_JID, (), "jid-single", "Address", required=True), *_which(ask)]


def _text(given: Given, name: str, most: int) -> str:
    text = (given.get(name) or [""])[0].strip()
    if len(text.encode()) > most:
        raise StanzaError("not-acceptable", f"{name} has at most {most} bytes")
    return text


# --- what they do ----------------------------------------------------------------------------------------------------


def _create(ask: Ask, given: Given) -> tuple[list[c.Step], None]:
    """A hat, or another title and colour for one."""
    title, uri = _text(given, _TITLE, ask.facts.options.name_bytes), _text(given, _URI, URI_BYTES)
    if not title or ":" not in uri.strip(":"):
        raise StanzaError("not-acceptable", "a hat has a title and a URI")
    hats = {**ask.state.hats, uri: Hat(uri, title, _hue(given))}
    if len(hats) > HATS:
        raise StanzaError("resource-constraint", f"a room has at most {HATS} hats")
    return _listed(ask, hats, "hat_created", uri), None


def _hue(given: Given) -> str:
    text = _text(given, _HUE, 32)
    try:
        angle = float(text or "0")
    except ValueError:
        angle = math.nan
    if not 0 <= angle <= 360:
        raise StanzaError("not-acceptable", "a hue is an angle in degrees")
    return text


def _destroy(ask: Ask, given: Given) -> tuple[list[c.Step], None]:
    # (an example of section 4.3 has another name of the field)
    uri = _text(given, _URI, URI_BYTES) or _text(given, "hat", URI_BYTES)
    hats = {name: hat for name, hat in ask.state.hats.items() if name != _known(ask, uri)}
    return _listed(ask, hats, "hat_destroyed", uri), None


def _listed(ask: Ask, hats: dict[str, Hat], event: str, uri: str) -> list[c.Step]:
    return [c.HatsSet(hats), Note(event, ask.bare, ask.state.jid, uri)]


def _known(ask: Ask, uri: str) -> str:
    if uri not in ask.state.hats:
        raise StanzaError("item-not-found", "there is no such hat")
    return uri


def _assign(ask: Ask, given: Given) -> tuple[list[c.Step], None]:
    jid, uri = _person(given), _known(ask, _text(given, _URI, URI_BYTES))
    worn = ask.state.affiliates.get(jid, Affiliate()).hats
    if uri in worn:
        return [], None
    if len(worn) >= WORN:
        raise StanzaError("resource-constraint", f"nobody has more than {WORN} hats")
    if jid not in ask.state.affiliates and len(ask.state.affiliates) >= ask.facts.options.affiliations_max:
        raise StanzaError("resource-constraint", "the lists of this room are full")
    return _worn(ask, jid, (*worn, uri), "hat_assigned", uri), None


def _unassign(ask: Ask, given: Given) -> tuple[list[c.Step], None]:
    jid, uri = _person(given), _text(given, _URI, URI_BYTES)
    worn = ask.state.affiliates.get(jid, Affiliate()).hats
    if uri not in worn:
        raise StanzaError("item-not-found", "it has no such hat")
    return _worn(ask, jid, tuple([one for one in worn if one != uri]), "hat_unassigned", uri), None


def _worn(ask: Ask, jid: str, hats: tuple[str, ...], event: str, uri: str) -> list[c.Step]:
    return [c.HatsGiven(jid, hats), Note(event, ask.bare, jid, uri)]


def _person(given: Given) -> str:
    try:
        jid = Jid.parse(_text(given, _JID, 3071)).bare
    except JidError:
        raise StanzaError("jid-malformed", "whose hat is it?") from None
    if "@" not in jid:
        raise StanzaError("not-acceptable", "a person has hats, a domain has none")
    return jid


def _list(ask: Ask, _given: Given) -> tuple[list[c.Step], Element]:
    return [], _table("Hats", (_URI, _TITLE, _HUE), ask.state.hats.values())


def _list_assigned(ask: Ask, _given: Given) -> tuple[list[c.Step], Element]:
    hats = ask.state.hats
    rows = [
        (jid, *hats[uri]) for jid, entry in ask.state.affiliates.items() for uri in entry.hats if uri in hats
    ]
    return [], _table("Hats that are worn", (_JID, _URI, _TITLE, _HUE), rows)


def _table(title: str, names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Element:
    """A form with many results (XEP-0004 section 3.4)."""
    out = form("result", FORM, (), title)
    out.children.append(Element(FORMS, "reported", None, *(Field(name, ()).element() for name in names)))
    for row in rows:
        fields = [Field(name, (value,)).element() for name, value in zip(names, row, strict=True)]
        out.children.append(Element(FORMS, "item", None, *fields))
    return out


_BASE: Final = f"{FORM}:"
ALL: Final[Mapping[str, Command]] = {
    _BASE + "create": Command("Create a hat", _create, _made),
    _BASE + "destroy": Command("Destroy a hat", _destroy, _which),
    _BASE + "list": Command("List the hats", _list, open=True),
    _BASE + "assign": Command("Give somebody a hat", _assign, _whose),
    _BASE + "unassign": Command("Take a hat from somebody", _unassign, _whose),
    _BASE + "list-assigned": Command("List who has which hat", _list_assigned),
}


# --- finding them (XEP-0050 section 2) -------------------------------------------------------------------------------


def offered(ask: Ask) -> list[tuple[str, str]]:
    """(node, name) of the commands that the sender may use."""
    found = []
    for node, one in ALL.items():
        try:
            _allowed(ask, one)
        except StanzaError:
            continue
        found.append((node, one.name))
    return found


def described(node: str) -> Element | None:
    """disco#info of a command, or of their list; None for another node."""
    if node == COMMANDS:
        identity = {"category": "automation", "type": "command-list"}
        return Element(NS_INFO, "query", {"node": node}, Element(NS_INFO, "identity", identity))
    if node not in ALL:
        return None
    identity = {"category": "automation", "type": "command-node", "name": ALL[node].name}
    features = [Element(NS_INFO, "feature", {"var": name}) for name in (COMMANDS, FORMS)]
    return Element(NS_INFO, "query", {"node": node}, Element(NS_INFO, "identity", identity), *features)
