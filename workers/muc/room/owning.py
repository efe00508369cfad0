"""What owners do: configure a room (sections 10.1 and 10.2) and destroy it (section 10.9)."""

from __future__ import annotations

from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import values
from rookery.shared.xeps.multi_user_chat import CONFIG, OWNER, USER
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Note, Send
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room import statuses
from rookery.workers.muc.room.affiliations import Gift, given
from rookery.workers.muc.room.asking import Ask, reason_of
from rookery.workers.muc.room.config import (
    ADMINS,
    FIELDS,
    OWNERS,
    Config,
    Field,
    initial,
    jids,
    submitted,
    written,
)
from rookery.workers.muc.room.leaving import removed
from rookery.workers.muc.room.privileges import Privilege
from rookery.workers.muc.room.values import Affiliation, Ending, Role

_VALIDATE = "http://jabber.org/protocol/xdata-validate"


def read(ask: Ask) -> list[c.Step]:
    """The form of the configuration, filled with what is."""
    ask.need(Privilege.CONFIGURE, "only owners configure a room")
    state = ask.state
    x = Element(FORMS, "x", {"type": "form"})
    x.children.append(Element(FORMS, "title", None, f"Configuration of {state.jid}"))
    x.children.append(_field("FORM_TYPE", "hidden", "", (CONFIG,)))
    x.children += [_shown(field, written(state.config, field)) for field in FIELDS]
    for var, label, affiliation in (
        (ADMINS, "Admins", Affiliation.ADMIN),
        (OWNERS, "Owners", Affiliation.OWNER),
    ):
        x.children.append(
            _field(var, "jid-multi", label, tuple([jid for jid, _ in state.listed(affiliation)]))
        )
    return [Send(ask.stanza.result(Element(OWNER, "query", None, x)))]


def _field(var: str, type: str, label: str, given: tuple[str, ...]) -> Element:
    attrs = {"var": var, "type": type}
    if label:
        attrs["label"] = label
    return Element(FORMS, "field", attrs, *(Element(FORMS, "value", None, value) for value in given))


def _shown(field: Field, given: tuple[str, ...]) -> Element:
    element = _field(field.var, field.type, field.label, given)
    if field.attribute == "slow_seconds":
        # XEP-0500 section 4.1.1
        limits = Element(_VALIDATE, "range", {"min": "0"})
        element.children.insert(0, Element(_VALIDATE, "validate", {"datatype": "xs:integer"}, limits))
    options = list(field.options)
    if options and field.type == "list-single" and given and given[0] not in dict(options):
        options.append((given[0], given[0]))
    element.children += [
        Element(FORMS, "option", {"label": label}, Element(FORMS, "value", None, value))
        for value, label in options
    ]
    return element


def change(ask: Ask) -> list[c.Step]:
    """A submitted or a cancelled form, or the wish to destroy the room."""
    ask.need(Privilege.CONFIGURE, "only owners configure a room")
    query = ask.stanza.find(OWNER, "query")
    destroy = None if query is None else query.find(OWNER, "destroy")
    if destroy is not None:
        return _destroy(ask, destroy)
    x = None if query is None else query.find(FORMS, "x")
    if x is None:
        raise StanzaError("bad-request", "a form is missing")
    if x.get("type") == "cancel":
        return _cancel(ask)
    if x.get("type") != "submit":
        raise StanzaError("bad-request", "a form is submitted or cancelled")
    return _submit(ask, values(x))


def made(ask: Ask, owner: str) -> list[c.Step]:
    """The room is made by an operator: nobody is in it, and it is open at once."""
    query = ask.stanza.find(OWNER, "query")
    x = None if query is None else query.find(FORMS, "x")
    config = initial(ask.facts.options)
    if x is not None:
        config = submitted(config, values(x), ask.facts.options)
    return [
        c.Created(owner, config, False, ask.facts.now),
        Send(ask.stanza.result()),
        Note("room_created", ask.bare, ask.state.jid, owner),
    ]


def _cancel(ask: Ask) -> list[c.Step]:
    state = ask.state
    steps: list[c.Step] = [Send(ask.stanza.result())]
    if state.locked:
        steps.append(c.Destroyed(b"<destroy/>", tuple(state.occupants.values())))
    return steps


def _submit(ask: Ask, form: dict[str, list[str]]) -> list[c.Step]:
    state, options = ask.state, ask.facts.options
    config = submitted(state.config, form, options) if form else state.config
    gifts = _gifts(ask, form)
    steps: list[c.Step] = [Send(ask.stanza.result())]
    for gift in gifts:
        steps += given(ask, gift)
    former = state.config
    if config != former or state.locked:
        steps.append(c.Configured(config, former))
        steps.append(Note("room_configured", ask.bare, state.jid, _what(former, config)))
    steps += _consequences(ask, former, config, {gift.jid: gift.affiliation for gift in gifts})
    return steps


def _what(former: Config, config: Config) -> str:
    names = [name for name in config.__struct_fields__ if getattr(config, name) != getattr(former, name)]
    return " ".join(names)


def _gifts(ask: Ask, form: dict[str, list[str]]) -> list[Gift]:
    """What the full lists of owners and admins change (section 10.5). Raises StanzaError conflict when no owner is left."""
    state, most = ask.state, ask.facts.options.items_max
    owners = {jid for jid, _ in state.listed(Affiliation.OWNER)}
    admins = {jid for jid, _ in state.listed(Affiliation.ADMIN)}
    new_owners = dict.fromkeys(jids(form[OWNERS], most) if OWNERS in form else sorted(owners))
    new_admins = dict.fromkeys(jids(form[ADMINS], most) if ADMINS in form else sorted(admins))
    if not new_owners:
        raise StanzaError("conflict", "a room has at least one owner")
    if any("@" not in jid for jid in (*new_owners, *new_admins)):
        raise StanzaError("not-acceptable", "a domain can be banned, no more")
    gifts = [Gift(jid, Affiliation.OWNER) for jid in new_owners if jid not in owners]
    gifts += [
        Gift(jid, Affiliation.ADMIN)
        for jid in new_admins
        if jid not in new_owners and (jid not in admins or jid in owners)
    ]
    lost = [jid for jid in sorted(owners | admins) if jid not in new_owners and jid not in new_admins]
    return gifts + [Gift(jid, Affiliation.NONE) for jid in lost]


def _consequences(ask: Ask, former: Config, config: Config, gifts: dict[str, Affiliation]) -> list[c.Step]:
    """Non-members go from a room that is for members now (section 10.2); all have a voice in one that is not moderated any more."""
    state = ask.state
    steps: list[c.Step] = []
    seats = list(state.seats.values())
    if config.members_only and not former.members_only:
        going = [
            seat
            for seat in seats
            if gifts.get(seat.bare, seat.affiliation) <= Affiliation.NONE and not seat.service_admin
        ]
        steps += removed(going, Ending((statuses.MEMBERS_ONLY_NOW,)))
        seats = [seat for seat in seats if seat not in going]
    if former.moderated and not config.moderated:
        steps += [
            c.RoleGiven(seat.face, Role.PARTICIPANT, seat.role) for seat in seats if seat.role is Role.VISITOR
        ]
    return steps


def _destroy(ask: Ask, destroy: Element) -> list[c.Step]:
    state, options = ask.state, ask.facts.options
    said = Element(USER, "destroy")
    venue = destroy.get("jid")
    if venue:
        try:
            said.attrs["jid"] = Jid.parse(venue).full
        except JidError:
            raise StanzaError("jid-malformed") from None
    reason = reason_of(destroy, OWNER, options.reason_bytes)
    if reason:
        said.children.append(Element(USER, "reason", None, reason))
    password = destroy.find_text(OWNER, "password")
    if password:
        if len(password.encode()) > options.description_bytes:
            raise StanzaError("policy-violation", "the password is too long")
        said.children.append(Element(USER, "password", None, password))
    return [
        c.Destroyed(said.encode(USER), tuple(state.occupants.values())),
        Send(ask.stanza.result()),
        Note("room_destroyed", ask.bare, state.jid, venue or ""),
    ]
