"""What occupants are told of each change, once it is true. Nothing but `entrance` and this writes to them.

A presence goes out in two forms at most: for those who may see real JIDs, and for all others. Its own sessions get it with code 110.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rookery.shared.xeps.multi_user_chat import USER
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.outs import Out, Say, Tell
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room import presences, statuses
from rookery.workers.muc.room.entrance import entrance
from rookery.workers.muc.room.facts import Facts
from rookery.workers.muc.room.presences import to
from rookery.workers.muc.room.state import Occupant, Seat, State
from rookery.workers.muc.room.values import Ending, Role

#: Rooms up to this size tell everybody anew of everybody when they become non-anonymous.
_INTRODUCED: Final = 500
Outs = list[Out]


def render(state: State, change: c.Change, facts: Facts, outs: Outs) -> None:
    """Say what has to be said of a change."""
    _STEPS[type(change)](state, change, facts, outs)


def visible(state: State, seat: Seat) -> bool:
    """Whether everybody is shown a nick: its role may be hidden, and large rooms do not introduce everybody (section 7.2.2)."""
    role = seat.role
    if role.label not in state.config.broadcast:
        return False
    return seat.shown or role is Role.MODERATOR or not state.crowded


def _broadcast(
    state: State, seat: Seat, outs: Outs, make: Callable[[bool], Stanza], *, hidden: bool = False
) -> None:
    """Tell all but the seat's own sessions; `hidden`: only moderators."""
    but = tuple([one.full for one in seat.sessions])
    if state.config.non_anonymous and not hidden:
        if len(state.occupants) > sum(full in state.occupants for full in but):
            outs.append(Say(make(True), None, False, but))
        return
    moderators = state.moderators
    seeing = [full for full in moderators if full not in but]
    if seeing:
        outs.append(Say(make(True), moderators, False, but))
    if not hidden:
        # Most of a room moderate nothing, so they are told as all but those who do: that is planned faster, and is a shorter row.
        rest = (*seeing, *but)
        if len(state.occupants) > sum(full in state.occupants for full in rest):
            outs.append(Say(make(False), None, False, rest))


def _own(state: State, seat: Seat, outs: Outs, codes: tuple[int, ...] = (), but: str = "") -> None:
    stanza = presences.own(state, seat.face, codes)
    for session in seat.sessions:
        if session.full != but:
            outs.append(Tell(session.full, (to(stanza, session.full),)))


def _updated(state: State, seat: Seat, outs: Outs, actor: str = "", reason: str = "") -> None:
    """Tell of what a nick is now, and of whatever changed that."""
    was, now = seat.shown, visible(state, seat)
    seat.shown = now
    face = seat.face
    _broadcast(
        state, seat, outs, lambda known: presences.changed(state, face, known, actor, reason), hidden=not now
    )
    if was and not now:
        seeing = {*state.moderators, *[session.full for session in seat.sessions]}
        if len(state.occupants) > len(seeing):
            outs.append(Say(presences.gone(seat, Ending()), None, False, tuple(seeing)))
    own = presences.with_codes(presences.changed(state, face, True, actor, reason), (statuses.SELF,))
    outs.extend(Tell(session.full, (to(own, session.full),)) for session in seat.sessions)


def _affordable(state: State, seat: Seat, facts: Facts) -> bool:
    """Whether everybody can be told of a newcomer now: when many come at once into a full room, that would be n times n presences."""
    options = facts.options
    bucket = state.telling.configure(options.introductions_per_second, options.introductions_burst)
    afforded = bucket.spend(facts.now, min(len(state.occupants), options.introductions_burst))
    if not afforded and seat.role is not Role.MODERATOR:
        state.late = True
        return False
    return True


def introduce(state: State, facts: Facts, outs: Outs) -> list[Seat]:
    """Tell of those who came in while too many did, as far as that can be afforded now; returns them."""
    told: list[Seat] = []
    state.late = False
    for seat in state.seats.values():
        if not seat.shown and visible(state, seat):
            if not _affordable(state, seat, facts):
                break
            seat.shown = True
            face = seat.face
            _broadcast(state, seat, outs, lambda known, face=face: presences.available(state, face, known))  # type: ignore[misc]
            told.append(seat)
    return told


def _entered(state: State, change: c.Entered, facts: Facts, outs: Outs) -> None:
    occupant = change.occupant
    seat = occupant.seat
    first = len(seat.sessions) == 1
    if first:
        seat.shown = visible(state, seat) and _affordable(state, seat, facts)
    if first or seat.face is occupant:
        face = seat.face
        _broadcast(
            state, seat, outs, lambda known: presences.available(state, face, known), hidden=not seat.shown
        )
        _own(state, seat, outs, but=occupant.full)
    told = entrance(state, occupant, facts.history, facts.options)
    outs.append(Tell(occupant.full, told, True, occupant.stream))


def _synchronized(state: State, change: c.Synchronized, facts: Facts, outs: Outs) -> None:
    occupant = change.occupant
    told = entrance(state, occupant, facts.history, facts.options)
    outs.append(Tell(occupant.full, told, True, occupant.stream))


def _showed(state: State, change: c.Showed, facts: Facts, outs: Outs) -> None:
    seat = change.occupant.seat
    if seat.face is not change.occupant:
        # Another session of the nick is the one that is shown.
        full = change.occupant.full
        outs.append(Tell(full, (to(presences.own(state, change.occupant), full),)))
        return
    face = seat.face
    seat.shown = visible(state, seat)
    _broadcast(
        state, seat, outs, lambda known: presences.available(state, face, known), hidden=not seat.shown
    )
    _own(state, seat, outs)


def _renamed(state: State, change: c.Renamed, facts: Facts, outs: Outs) -> None:
    former, seat = change.former, change.said.occupant.seat
    face = seat.face
    ending = Ending((statuses.NEW_NICK,))

    def left(known: bool) -> Stanza:
        jid = face.full if known else ""
        return presences.gone(former, ending, jid=jid, role=seat.role, nick=seat.nick)

    _broadcast(state, seat, outs, left, hidden=not seat.shown)
    own = presences.with_codes(left(True), (statuses.SELF,))
    outs.extend(Tell(session.full, (to(own, session.full),)) for session in seat.sessions)
    _broadcast(
        state, seat, outs, lambda known: presences.available(state, face, known), hidden=not seat.shown
    )
    _own(state, seat, outs, change.codes)


def _left(state: State, change: c.Left, facts: Facts, outs: Outs) -> None:
    occupant, ending = change.occupant, change.ending
    seat = occupant.seat
    codes, actor, reason, inner, payloads, destroy = ending
    ended = Ending((statuses.SELF, *codes), actor, reason, inner, payloads, destroy)
    own = presences.gone(seat, ended, jid=occupant.full)
    outs.append(Tell(occupant.full, (to(own, occupant.full),)))
    # (no crowd any more: those of whom nobody was told are shown soon)
    state.late = state.late or len(state.occupants) == state.large
    if change.quiet:
        return
    if state.seats.get(seat.key) is seat:
        face = seat.face
        _broadcast(
            state, seat, outs, lambda known: presences.available(state, face, known), hidden=not seat.shown
        )
        _own(state, seat, outs)
        return
    _broadcast(
        state,
        seat,
        outs,
        lambda known: presences.gone(seat, ending, jid=occupant.full if known else ""),
        hidden=not seat.shown,
    )


def _role_given(state: State, change: c.RoleGiven, facts: Facts, outs: Outs) -> None:
    seat = change.occupant.seat
    _updated(state, seat, outs, change.actor, change.reason)
    if change.former is not seat.role:
        _insight(state, seat, change.former, outs)


def _insight(state: State, seat: Seat, former: Role, outs: Outs) -> None:
    """A new moderator sees real JIDs, and who was hidden; a former one does not see these any more (section 8)."""
    gains, loses = seat.role is Role.MODERATOR, former is Role.MODERATOR
    if gains is loses:
        return
    known = gains or state.config.non_anonymous
    # (who came into a crowd was told of those who moderate it, and of nobody else)
    anew = gains and (state.crowded or not state.config.non_anonymous)
    seats = [one for one in state.seats.values() if one is not seat and (not one.shown or anew)]
    for session in seat.sessions if seats else ():
        full = session.full
        stanzas = [
            to(presences.available(state, one.face, known) if gains else presences.gone(one, Ending()), full)
            for one in seats
        ]
        outs.append(Tell(full, stanzas))


def _affiliation_given(state: State, change: c.AffiliationGiven, facts: Facts, outs: Outs) -> None:
    entry = change.entry
    if change.removes or entry.affiliation is change.former:
        return
    for key, former in change.roles.items():
        seat = state.seats[key]
        _updated(state, seat, outs, change.actor, entry.reason)
        _insight(state, seat, former, outs)
    if not change.roles:
        _told_of(state, change, outs)


def _told_of(state: State, change: c.AffiliationGiven, outs: Outs) -> None:
    """Those who may see real JIDs hear of somebody who is not in the room (sections 9.3, 10.3 and after)."""
    audience = None if state.config.non_anonymous else state.moderators
    if audience is None or audience:
        what = presences.item(change.entry.affiliation, Role.NONE, jid=change.jid, reason=change.entry.reason)
        outs.append(Say(_from_room(state, f"<x xmlns='{USER}'>{what}</x>".encode()), audience))


def _from_room(state: State, user: bytes) -> Stanza:
    return Stanza("message", "groupchat", "", state.jid, "", "", (), ((USER, "x"),), user)


def _spoke(state: State, change: c.Spoke, facts: Facts, outs: Outs) -> None:
    outs.append(Say(change.stanza, None, change.archived, (), change.occupant.bare))


def _subject_set(state: State, change: c.SubjectSet, facts: Facts, outs: Outs) -> None:
    outs.append(Say(change.stanza, None, state.config.archive, (), change.occupant.bare))


def _configured(state: State, change: c.Configured, facts: Facts, outs: Outs) -> None:
    new, old = change.config, change.former
    codes = []
    if new.logged is not old.logged:
        codes.append(statuses.LOGGED if new.logged else statuses.NOT_LOGGED)
    if new.non_anonymous is not old.non_anonymous:
        codes.append(statuses.NOW_NON_ANONYMOUS if new.non_anonymous else statuses.NOW_SEMI_ANONYMOUS)
    if _profile(new) != _profile(old):
        codes.append(statuses.CONFIGURATION_CHANGED)
    if codes:
        outs.append(Say(_from_room(state, statuses.notice(tuple(codes)))))
    if new.broadcast != old.broadcast:
        for seat in state.seats.values():
            if seat.shown is not visible(state, seat):
                _updated(state, seat, outs)
    if new.non_anonymous and not old.non_anonymous and len(state.occupants) <= _INTRODUCED:
        for seat in state.seats.values():
            face = seat.face
            if seat.shown:
                but = tuple([one.full for one in seat.sessions])
                outs.append(Say(presences.available(state, face, True), None, False, but))


def _profile(config: Any) -> tuple[Any, ...]:
    """What code 104 tells of: all but what has a code of its own."""
    return tuple(
        [
            getattr(config, name)
            for name in config.__struct_fields__
            if name not in ("archive", "non_anonymous")
        ]
    )


def _notified(state: State, change: c.Notified, facts: Facts, outs: Outs) -> None:
    outs.append(Say(_from_room(state, statuses.notice(change.codes))))


def _card_set(state: State, change: c.CardSet, facts: Facts, outs: Outs) -> None:
    outs.append(Say(_from_room(state, statuses.notice((statuses.CONFIGURATION_CHANGED,)))))


def _hats_changed(state: State, change: c.HatsSet | c.HatsGiven, facts: Facts, outs: Outs) -> None:
    if isinstance(change, c.HatsSet):
        outs.append(Say(_from_room(state, statuses.notice((statuses.CONFIGURATION_CHANGED,)))))
    seats, state.rehatted = state.rehatted, []
    for seat in seats:
        _updated(state, seat, outs)


def _announced(state: State, change: c.Announced, facts: Facts, outs: Outs) -> None:
    outs.append(Say(change.stanza, None, change.archived))


def _destroyed(state: State, change: c.Destroyed, facts: Facts, outs: Outs) -> None:
    ending = Ending((statuses.SELF,), destroy=change.destroy)
    for occupant in change.occupants:
        outs.append(Tell(occupant.full, (to(_ended(occupant, ending), occupant.full),)))


def _ended(occupant: Occupant, ending: Ending) -> Stanza:
    return presences.gone(occupant.seat, ending, jid=occupant.full)


def _silent(state: State, change: c.Change, facts: Facts, outs: Outs) -> None:
    """Nobody is told; the creator of a room hears of it by the entrance (section 10.1.1)."""


_STEPS: Final[dict[type, Callable[[State, Any, Facts, Outs], None]]] = {
    c.Created: _silent,
    c.Entered: _entered,
    c.Synchronized: _synchronized,
    c.Moved: _silent,
    c.Showed: _showed,
    c.Renamed: _renamed,
    c.Left: _left,
    c.RoleGiven: _role_given,
    c.AffiliationGiven: _affiliation_given,
    c.Spoke: _spoke,
    c.SubjectSet: _subject_set,
    c.Configured: _configured,
    c.CardSet: _card_set,
    c.HatsSet: _hats_changed,
    c.HatsGiven: _hats_changed,
    c.Notified: _notified,
    c.Announced: _announced,
    c.Destroyed: _destroyed,
}
