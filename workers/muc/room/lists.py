"""Roles and affiliations by `muc#admin`: kicks, bans, voice, members, moderators, admins, owners (sections 8 to 10)."""

from __future__ import annotations

from typing import NamedTuple

from rookery.shared.xeps.multi_user_chat import ADMIN
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Note, Send
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room import nicks, statuses
from rookery.workers.muc.room.affiliations import Gift, given
from rookery.workers.muc.room.asking import Ask, reason_of
from rookery.workers.muc.room.leaving import removed
from rookery.workers.muc.room.privileges import may_change_affiliation, may_change_role
from rookery.workers.muc.room.state import Seat
from rookery.workers.muc.room.values import AFFILIATIONS, ROLES, Affiliation, Ending, Role

# --- reading ---------------------------------------------------------------------------------------------------------


def read(ask: Ask) -> list[c.Step]:
    """The list of a role or of an affiliation."""
    item = _items(ask)[0]
    role, affiliation = item.get("role"), item.get("affiliation")
    if (role is None) is (affiliation is None):
        raise StanzaError("bad-request", "a role or an affiliation is asked for")
    if role is not None:
        found = _roles(ask, ROLES.get(role))
    else:
        found = _affiliations(ask, AFFILIATIONS.get(affiliation or ""))
    return [Send(ask.stanza.result(Element(ADMIN, "query", None, *found)))]


def _roles(ask: Ask, role: Role | None) -> list[Element]:
    if role is None:
        raise StanzaError("bad-request", "no such role")
    standing = ask.standing
    if standing.role < Role.MODERATOR and standing.affiliation < Affiliation.ADMIN:
        raise StanzaError("forbidden")
    return [
        Element(
            ADMIN,
            "item",
            {
                "affiliation": seat.affiliation.label,
                "jid": seat.face.full,
                "nick": seat.nick,
                "role": role.label,
            },
        )
        for seat in ask.state.seats.values()
        if seat.role is role
    ]


def _affiliations(ask: Ask, affiliation: Affiliation | None) -> list[Element]:
    if affiliation is None or affiliation is Affiliation.NONE:
        raise StanzaError("bad-request", "no such list")
    if not _may_read(ask, affiliation):
        raise StanzaError("forbidden")
    found = []
    for jid, entry in ask.state.listed(affiliation):
        attrs = {"affiliation": affiliation.label, "jid": jid}
        if entry.nick:
            attrs["nick"] = entry.nick
        item = Element(ADMIN, "item", attrs)
        if entry.reason:
            item.children.append(Element(ADMIN, "reason", None, entry.reason))
        found.append(item)
    return found


def _may_read(ask: Ask, affiliation: Affiliation) -> bool:
    """Sections 9.2, 9.5, 10.5, 10.8: non-anonymous rooms hide no list but that of outcasts from those who belong to them."""
    state, standing = ask.state, ask.standing
    if standing.affiliation is Affiliation.OWNER:
        return True
    if affiliation is Affiliation.OUTCAST:
        return standing.affiliation >= Affiliation.ADMIN
    belongs = standing.affiliation >= Affiliation.MEMBER or standing.role > Role.NONE
    if state.config.non_anonymous and belongs:
        return True
    if affiliation is Affiliation.MEMBER:
        listed = standing.role is not Role.NONE and standing.role.label in state.config.member_list
        return standing.affiliation >= Affiliation.ADMIN or listed
    return False


def _items(ask: Ask) -> list[Element]:
    query = ask.stanza.find(ADMIN, "query")
    items = [] if query is None else list(query.elements(ADMIN, "item"))
    if not items:
        raise StanzaError("bad-request", "an item is missing")
    if len(items) > ask.facts.options.items_max:
        raise StanzaError("policy-violation", f"at most {ask.facts.options.items_max} items")
    return items


# --- changing --------------------------------------------------------------------------------------------------------


class _Wish(NamedTuple):
    """An item that is allowed: a role for a nick, or an entry for a JID."""

    seat: Seat | None
    role: Role
    gift: Gift | None
    reason: str


def change(ask: Ask) -> list[c.Step]:
    """Change roles or affiliations. All items are checked before any is done: one that is refused refuses all (section 9.2)."""
    if ask.affiliation < Affiliation.ADMIN and ask.standing.role < Role.MODERATOR:
        raise StanzaError("forbidden", "you may not change anything here")
    wishes = [_wish(ask, item) for item in _items(ask)]
    _owner_stays(ask, [wish.gift for wish in wishes if wish.gift is not None])
    steps: list[c.Step] = [Send(ask.stanza.result())]
    kicked: dict[str, None] = {}
    for wish in wishes:
        if wish.gift is not None:
            steps += given(ask, wish.gift)
        elif wish.seat is not None and wish.seat.key not in kicked:
            steps += _role(ask, wish.seat, wish.role, wish.reason)
            if wish.role is Role.NONE:
                kicked[wish.seat.key] = None
    return steps


def _wish(ask: Ask, item: Element) -> _Wish:
    role, affiliation = item.get("role"), item.get("affiliation")
    if (role is None) is (affiliation is None):
        raise StanzaError("bad-request", "an item changes a role or an affiliation, not both")
    reason = reason_of(item, ADMIN, ask.facts.options.reason_bytes)
    if role is not None:
        return _role_wish(ask, item, role, reason)
    return _affiliation_wish(ask, item, affiliation or "", reason)


def _role_wish(ask: Ask, item: Element, name: str, reason: str) -> _Wish:
    role, nick = ROLES.get(name), item.get("nick")
    if role is None or not nick:
        raise StanzaError("bad-request", "a role is for a nick")
    seat = ask.state.seat(nick)
    if seat is None:
        raise StanzaError("item-not-found", "nobody has this nick")
    if not may_change_role(ask.standing, seat.affiliation, seat.role, role):
        raise StanzaError("not-allowed", f"you may not make {nick} a {role.label}")
    return _Wish(seat, role, None, reason)


def _affiliation_wish(ask: Ask, item: Element, name: str, reason: str) -> _Wish:
    state = ask.state
    affiliation = AFFILIATIONS.get(name)
    if affiliation is None:
        raise StanzaError("bad-request", "no such affiliation")
    jid, nick = item.get("jid"), item.get("nick")
    if jid is None:
        # Clients of old name an occupant by its nick.
        seat = state.seat(nick) if nick else None
        if seat is None:
            raise StanzaError("bad-request" if not nick else "item-not-found", "a JID is needed")
        address, nick = Jid.trusted(seat.bare), None
    else:
        try:
            address = Jid.parse(jid)
        except JidError:
            raise StanzaError("jid-malformed") from None
    if address.local is None and affiliation > Affiliation.NONE:
        raise StanzaError("not-acceptable", "a domain can be banned, no more")
    if address.bare == ask.bare and affiliation is Affiliation.OUTCAST:
        raise StanzaError("conflict", "you would ban yourself")
    former = state.affiliates.get(address.bare)
    old = Affiliation.NONE if former is None else former.affiliation
    if ask.affiliation < Affiliation.ADMIN:
        raise StanzaError("forbidden", "only admins and owners change affiliations")
    if not may_change_affiliation(ask.affiliation, old, affiliation):
        raise StanzaError("not-allowed" if old >= ask.affiliation else "forbidden")
    if nick:
        nick = nicks.prepare(nick, ask.facts.options)
        if state.reserved.get(nicks.key(nick), address.bare) != address.bare:
            raise StanzaError("conflict", "this nick is reserved for another")
    if former is None and len(state.affiliates) >= ask.facts.options.affiliations_max:
        raise StanzaError("resource-constraint", "the lists of this room are full")
    return _Wish(None, Role.NONE, Gift(address.bare, affiliation, nick, reason), reason)


def _owner_stays(ask: Ask, gifts: list[Gift]) -> None:
    """Raise StanzaError conflict when no owner would be left (section 10.4)."""
    state = ask.state
    owners = {jid for jid, _ in state.listed(Affiliation.OWNER)}
    for gift in gifts:
        if gift.affiliation is Affiliation.OWNER:
            owners.add(gift.jid)
        else:
            owners.discard(gift.jid)
    if gifts and not owners:
        raise StanzaError("conflict", "a room has at least one owner")


def _role(ask: Ask, seat: Seat, role: Role, reason: str) -> list[c.Step]:
    note = Note("kicked" if role is Role.NONE else "role_given", ask.bare, seat.bare, role.label)
    if role is Role.NONE:
        return [*removed([seat], Ending((statuses.KICKED,), ask.actor, reason)), note]
    if role is seat.role:
        return []
    lasts = ask.state.config.moderated and role < Role.MODERATOR
    return [c.RoleGiven(seat.face, role, seat.role, ask.actor, reason, lasts), note]
