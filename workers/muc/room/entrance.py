"""What somebody is told who comes in, in the order of section 7.1: the others, itself, the history, the subject."""

from __future__ import annotations

from collections.abc import Sequence

from rookery.shared.xeps.delayed_delivery import stamped
from rookery.shared.xeps.multi_user_chat import Options
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.room import presences, statuses
from rookery.workers.muc.room.facts import Told
from rookery.workers.muc.room.history import chosen
from rookery.workers.muc.room.presences import to
from rookery.workers.muc.room.state import Occupant, State
from rookery.workers.muc.room.values import Role


def entrance(state: State, occupant: Occupant, history: Sequence[Told], options: Options) -> list[Stanza]:
    """All stanzas for the occupant, addressed."""
    full, mine = occupant.full, occupant.seat
    known = state.sees(occupant)
    moderator = mine.role is Role.MODERATOR
    # A crowd is not told of a newcomer, and a newcomer not of the crowd: only of those who moderate it.
    crowded = state.crowded and not moderator
    found = [
        to(presences.available(state, seat.face, known), full)
        for seat in state.seats.values()
        if seat is not mine
        and (seat.shown or moderator)
        and (not crowded or seat.role is Role.MODERATOR or seat.bare == occupant.bare)
    ]
    found.append(to(presences.own(state, mine.face, _codes(state, occupant)), full))
    config = state.config
    most = options.history if config.max_history < 0 else config.max_history
    if occupant.wanted.maxstanzas is not None and config.max_history < 0:
        most = options.history_max
    found += chosen(history, occupant.wanted, min(most, options.history_max), state.jid, full)
    found.append(to(subject(state), full))
    return found


def _codes(state: State, occupant: Occupant) -> tuple[int, ...]:
    codes = []
    if state.config.non_anonymous:
        codes.append(statuses.NON_ANONYMOUS)
    if state.config.logged:
        codes.append(statuses.LOGGED)
    return (*codes, *occupant.codes)


def subject(state: State) -> Stanza:
    """The subject, with when it was set; an empty one when there is none (section 7.2.15)."""
    said = state.subject
    stanza = Stanza(
        "message", "groupchat", "", said.from_ or state.jid, "", "", (), said.payloads, said.inner
    )
    return stamped(stanza, said.at, state.jid) if said.at else stanza
