"""Who may read the archive of a room, and what of it (XEP-0313 sections 5.1.2 and 7)."""

from __future__ import annotations

from rookery.shared.xeps.multi_user_chat import USER
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.facts import Facts
from rookery.workers.muc.room.state import State
from rookery.workers.muc.room.values import Affiliation, Role


def readable(state: State, full: str, facts: Facts) -> None:
    """Raise StanzaError for whoever may not enter the room now; an occupant always may."""
    if not state.exists:
        raise StanzaError("item-not-found", "there is no such room")
    if not state.config.archive:
        raise StanzaError("service-unavailable", "this room keeps no archive")
    if facts.admin or full in state.occupants:
        return
    affiliation = state.affiliate(bare_of(full)).affiliation
    if affiliation is Affiliation.OUTCAST:
        raise StanzaError("forbidden", "you are banned from this room")
    if affiliation >= Affiliation.MEMBER:
        return
    if state.locked or state.config.members_only or state.config.password_protected:
        raise StanzaError("forbidden", "only who may enter may read what was said")


def seen(state: State, stanza: Stanza, author: str, full: str) -> Stanza:
    """The message with the real JID of who said it, for whoever may know that; else as it is."""
    if not author:
        return stanza
    occupant = state.occupants.get(full)
    role = Role.NONE if occupant is None else occupant.seat.role
    known = state.config.non_anonymous or role is Role.MODERATOR
    if not known and state.affiliate(bare_of(full)).affiliation < Affiliation.ADMIN:
        return stanza
    entry = state.affiliate(author)
    item = Element(USER, "item", {"affiliation": entry.affiliation.label, "jid": author})
    return stanza.with_child(Element(USER, "x", None, item))
