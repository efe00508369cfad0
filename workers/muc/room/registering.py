"""Registration with a room: a nick of one's own, and membership (section 7.10)."""

from __future__ import annotations

from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import values
from rookery.shared.xeps.multi_user_chat import REGISTER
from rookery.shared.xeps.registration import NS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Send
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room import nicks, statuses
from rookery.workers.muc.room.affiliations import Gift, given
from rookery.workers.muc.room.asking import Ask
from rookery.workers.muc.room.values import Affiliation

_NICK = "muc#register_roomnick"


def read(ask: Ask) -> list[c.Step]:
    """What is asked of whoever wants to register, or what is registered."""
    entry = ask.state.affiliate(ask.bare)
    query = Element(NS, "query")
    if entry.nick:
        query.children += [Element(NS, "registered"), Element(NS, "username", None, entry.nick)]
        return [Send(ask.stanza.result(query))]
    _allowed(ask)
    query.children.append(Element(NS, "instructions", None, "Choose the nick that is yours in this room"))
    nick = Element(
        FORMS,
        "field",
        {"var": _NICK, "type": "text-single", "label": "Nick"},
        Element(FORMS, "required"),
    )
    kind = Element(
        FORMS, "field", {"var": "FORM_TYPE", "type": "hidden"}, Element(FORMS, "value", None, REGISTER)
    )
    title = Element(FORMS, "title", None, f"Registration with {ask.state.jid}")
    query.children.append(Element(FORMS, "x", {"type": "form"}, title, kind, nick))
    return [Send(ask.stanza.result(query))]


def _allowed(ask: Ask) -> None:
    config, affiliation = ask.state.config, ask.state.affiliate(ask.bare).affiliation
    if affiliation is Affiliation.OUTCAST:
        raise StanzaError("forbidden", "you are banned from this room")
    if affiliation > Affiliation.NONE:
        return
    if not config.registration or config.members_only:
        raise StanzaError("not-allowed", "admins add the members of this room")


def change(ask: Ask) -> list[c.Step]:
    """Register a nick, or leave the list of members."""
    query = ask.stanza.find(NS, "query")
    if query is not None and query.find(NS, "remove") is not None:
        return _remove(ask)
    _allowed(ask)
    x = None if query is None else query.find(FORMS, "x")
    form = {} if x is None or x.get("type") != "submit" else values(x)
    if form.get("FORM_TYPE") != [REGISTER] or len(form.get(_NICK, ())) != 1:
        raise StanzaError("bad-request", "the form is missing, or is another one")
    state = ask.state
    nick = nicks.prepare(form[_NICK][0], ask.facts.options)
    key = nicks.key(nick)
    seat = state.seats.get(key)
    if state.reserved.get(key, ask.bare) != ask.bare or (seat is not None and seat.bare != ask.bare):
        raise StanzaError("conflict", "this nick is another's")
    former = state.affiliate(ask.bare)
    if ask.bare not in state.affiliates and len(state.affiliates) >= ask.facts.options.affiliations_max:
        raise StanzaError("resource-constraint", "the lists of this room are full")
    new = max(former.affiliation, Affiliation.MEMBER)
    steps: list[c.Step] = [
        Send(ask.stanza.result()),
        *given(ask, Gift(ask.bare, new, nick, former.reason)),
    ]
    return steps + _renamed(ask, nick)


def _renamed(ask: Ask, nick: str) -> list[c.Step]:
    """Where nicks are locked, who is in under another gets the registered one."""
    state = ask.state
    seats = state.seats_of(ask.bare)
    if not state.config.lock_nicks or len(seats) != 1 or seats[0].nick == nick:
        return []
    face = seats[0].face
    said = c.Showed(face, face.inner, face.payloads, face.priority, ask.facts.now)
    return [c.Renamed(said, seats[0], nick, (statuses.NICK_CHOSEN,))]


def _remove(ask: Ask) -> list[c.Step]:
    entry = ask.state.affiliate(ask.bare)
    if entry.affiliation is Affiliation.OUTCAST:
        raise StanzaError("forbidden", "you are banned from this room")
    if not entry.nick and entry.affiliation is not Affiliation.MEMBER:
        raise StanzaError("registration-required", "you are not registered")
    new = Affiliation.NONE if entry.affiliation is Affiliation.MEMBER else entry.affiliation
    return [Send(ask.stanza.result()), *given(ask, Gift(ask.bare, new, "", ""))]
