"""What each change does to the state, and which rows have to be written for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rookery.shared.xmpp.jid import bare_of
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room.privileges import INITIAL_ROLE
from rookery.workers.muc.room.state import Occupant, Seat, State
from rookery.workers.muc.room.values import Affiliate, Affiliation, Role

#: Roles that a room remembers for those who are not in.
_VOICES: Final = 1000


class Touched:
    """Rows that are not what they were. `durable`: somebody waits for them."""

    __slots__ = ("affiliations", "durable", "occupants", "removed", "room")

    def __init__(self) -> None:
        self.room = False
        self.durable = False
        self.removed = False
        self.affiliations: dict[str, None] = {}
        self.occupants: dict[str, None] = {}

    def seat(self, seat: Seat) -> None:
        """All sessions of a nick."""
        self.occupants.update(dict.fromkeys([one.full for one in seat.sessions]))


def standing_role(state: State, affiliation: Affiliation, bare: str) -> Role:
    """The role of somebody who comes in (section 5.1.2); a moderated room remembers what it gave (section 5.1)."""
    moderated = state.config.moderated
    role = INITIAL_ROLE[moderated, affiliation]
    if moderated and role < Role.MODERATOR:
        return state.voices.get(bare, role)
    return role


def evolve(state: State, change: c.Change, touched: Touched) -> None:
    """Make a change true."""
    _STEPS[type(change)](state, change, touched)


def _created(state: State, change: c.Created, touched: Touched) -> None:
    state.exists = True
    state.locked = change.locked
    state.config = change.config
    state.set_affiliate(change.owner, Affiliate(Affiliation.OWNER, by=change.owner, at=change.at))
    touched.room = touched.durable = True
    touched.affiliations[change.owner] = None


def _entered(state: State, change: c.Entered, touched: Touched) -> None:
    seat = change.occupant.seat
    state.seats[seat.key] = seat
    state.sit(change.occupant)
    touched.occupants[change.occupant.full] = None
    touched.durable = True


def _moved(state: State, change: c.Moved, touched: Touched) -> None:
    change.occupant.stream, change.occupant.joined = change.stream, change.joined
    touched.occupants[change.occupant.full] = None
    touched.durable = True


def _showed(state: State, change: c.Showed, touched: Touched) -> None:
    occupant = change.occupant
    occupant.inner = change.inner
    occupant.payloads = change.payloads
    occupant.priority = change.priority
    occupant.changed = change.at
    occupant.stale()
    touched.occupants[occupant.full] = None


def _renamed(state: State, change: c.Renamed, touched: Touched) -> None:
    former = change.former
    seat = Seat(state.jid, change.nick, former.mark)
    seat.affiliation, seat.role = former.affiliation, former.role
    seat.service_admin, seat.shown = former.service_admin, former.shown
    state.seats.pop(former.key, None)
    state.seats[seat.key] = seat
    seat.sessions = former.sessions
    for session in seat.sessions:
        session.seat = seat
        session.stale()
    _showed(state, change.said, touched)
    touched.seat(seat)
    touched.durable = True


def _left(state: State, change: c.Left, touched: Touched) -> None:
    state.rise(change.occupant)
    change.occupant.stale()
    touched.occupants[change.occupant.full] = None
    touched.durable = True
    if not state.occupants and not state.config.persistent:
        state.exists = False
        touched.room = touched.removed = True


def _role_given(state: State, change: c.RoleGiven, touched: Touched) -> None:
    seat = change.occupant.seat
    seat.role = change.role
    if change.lasts:
        bare = change.occupant.bare
        state.voices.pop(bare, None)
        if change.role is not INITIAL_ROLE[state.config.moderated, max(seat.affiliation, Affiliation.NONE)]:
            state.voices[bare] = change.role
            while len(state.voices) > _VOICES:
                del state.voices[next(iter(state.voices))]
        touched.room = True
    _redrawn(state, seat, touched)


def _affiliation_given(state: State, change: c.AffiliationGiven, touched: Touched) -> None:
    jid, entry = change.jid, change.entry
    state.set_affiliate(jid, entry)
    touched.affiliations[jid] = None
    touched.durable = True
    if change.former is not entry.affiliation:
        if state.voices.pop(jid, None) is not None:
            touched.room = True
        for seat in [state.seats[key] for key in change.roles if key in state.seats]:
            if not seat.service_admin:
                # (that of its domain, where it has none)
                seat.affiliation = state.affiliate(seat.bare).affiliation
                if not change.removes:
                    seat.role = standing_role(state, seat.affiliation, seat.bare)
            _redrawn(state, seat, touched)


def _redrawn(state: State, seat: Seat, touched: Touched) -> None:
    for session in seat.sessions:
        session.stale()
    state.resplit()
    touched.seat(seat)
    touched.durable = True


def _spoke(state: State, change: c.Spoke, touched: Touched) -> None:
    if change.counts:
        slow, spoke = state.config.slow_seconds, state.spoke
        spoke.pop(change.occupant.bare, None)
        spoke[change.occupant.bare] = change.at
        while spoke and change.at - next(iter(spoke.values())) >= slow:
            del spoke[next(iter(spoke))]
    touched.durable = touched.durable or change.durable


def _subject_set(state: State, change: c.SubjectSet, touched: Touched) -> None:
    state.subject = change.subject
    touched.room = touched.durable = True


def _configured(state: State, change: c.Configured, touched: Touched) -> None:
    state.config = change.config
    state.locked = False
    state.stale()
    if not change.config.moderated:
        state.voices.clear()
    touched.room = touched.durable = True


def _card_set(state: State, change: c.CardSet, touched: Touched) -> None:
    state.card = change.card
    touched.room = touched.durable = True


def _hats_set(state: State, change: c.HatsSet, touched: Touched) -> None:
    gone = state.hats.keys() - change.hats.keys()
    changed = gone | {uri for uri, hat in change.hats.items() if state.hats.get(uri) not in (None, hat)}
    state.hats = dict(change.hats)
    for jid, entry in list(state.affiliates.items()):
        if gone.intersection(entry.hats):
            _wears(state, jid, tuple([uri for uri in entry.hats if uri not in gone]), touched)
        elif changed.intersection(entry.hats):
            state.rehatted += _stale(state, jid)
    touched.room = touched.durable = True


def _hats_given(state: State, change: c.HatsGiven, touched: Touched) -> None:
    _wears(state, change.jid, change.hats, touched)
    touched.durable = True


def _wears(state: State, jid: str, hats: tuple[str, ...], touched: Touched) -> None:
    state.set_affiliate(jid, state.affiliates.get(jid, Affiliate())._replace(hats=hats))
    touched.affiliations[jid] = None
    state.rehatted += _stale(state, jid)


def _stale(state: State, jid: str) -> list[Seat]:
    seats = state.seats_of(jid)
    for seat in seats:
        for session in seat.sessions:
            session.stale()
    return seats


def _destroyed(state: State, change: c.Destroyed, touched: Touched) -> None:
    for occupant in list(state.occupants.values()):
        state.rise(occupant)
        touched.occupants[occupant.full] = None
    state.exists = False
    # (written, too: whoever holds the room next must not find it whole when its rows could not be removed in time)
    touched.room = touched.durable = touched.removed = True


def _announced(state: State, change: c.Announced, touched: Touched) -> None:
    touched.durable = True


def _synchronized(state: State, change: c.Synchronized, touched: Touched) -> None:
    change.occupant.wanted = change.wanted
    touched.occupants[change.occupant.full] = None
    touched.durable = True


_STEPS: Final[dict[type, Callable[[State, Any, Touched], None]]] = {
    c.Created: _created,
    c.Entered: _entered,
    c.Synchronized: _synchronized,
    c.Moved: _moved,
    c.Showed: _showed,
    c.Renamed: _renamed,
    c.Left: _left,
    c.RoleGiven: _role_given,
    c.AffiliationGiven: _affiliation_given,
    c.Spoke: _spoke,
    c.SubjectSet: _subject_set,
    c.Configured: _configured,
    c.CardSet: _card_set,
    c.HatsSet: _hats_set,
    c.HatsGiven: _hats_given,
    c.Notified: _announced,
    c.Announced: _announced,
    c.Destroyed: _destroyed,
}


def restored(state: State, occupant: Occupant) -> None:
    """An occupant of a former holder's rows takes its seat, as if it had been here."""
    seat = occupant.seat
    owner = seat.service_admin
    seat.affiliation = Affiliation.OWNER if owner else state.affiliate(bare_of(occupant.full)).affiliation
    state.sit(occupant)
