"""Going out: by its own wish, because nothing can be delivered, or because the session is gone (sections 7.14, 9.1 to 9.3 and 17.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.workers.muc.outs import Note, Send
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room import cleaning, statuses
from rookery.workers.muc.room.asking import Ask
from rookery.workers.muc.room.state import Occupant, Seat, State
from rookery.workers.muc.room.values import Affiliation, Ending

#: Section 17.3: what these errors answer did not arrive, and never will.
REMOVING: Final = frozenset(
    {
        "gone",
        "item-not-found",
        "recipient-unavailable",
        "redirect",
        "remote-server-not-found",
        "remote-server-timeout",
    }
)


def unavailable(ask: Ask) -> list[c.Step]:
    """Presence of type unavailable; from whoever is not in, it is nothing (section 16.3)."""
    occupant = ask.occupant
    if occupant is None:
        return []
    facts = ask.facts
    if facts.ended and facts.stream and occupant.stream and facts.stream != occupant.stream:
        # Another session has taken its resource and come in meanwhile (RFC 6120 section 7.7.2.2): that one stays.
        return []
    try:
        inner, payloads, _ = cleaning.presence(ask.stanza, ask.state.jid, ask.facts.options)
    except StanzaError:
        inner, payloads = b"", ()  # its last words are too long
    return _leave(ask.state, occupant, Ending(inner=inner, payloads=payloads))


def _leave(state: State, occupant: Occupant, ending: Ending) -> list[c.Step]:
    if state.locked and state.affiliate(occupant.bare).affiliation is Affiliation.OWNER:
        # Nobody has configured it, so it was never there (section 10.1.3).
        return [c.Destroyed(b"<destroy/>", tuple(state.occupants.values()))]
    return [c.Left(occupant, ending)]


def departed(state: State, full: str) -> list[c.Step]:
    """The session of an occupant is gone without a word."""
    occupant = state.occupants.get(full)
    return [] if occupant is None else _leave(state, occupant, Ending())


def errored(ask: Ask) -> list[c.Step]:
    """An error came back: its sender cannot be reached and goes, or an occupant is told what became of its private message."""
    occupant = ask.occupant
    if occupant is None:
        return []
    error = ask.stanza.find(ns.CLIENT, "error")
    conditions = {one.name for one in error.elements(ns.STANZA_ERRORS)} if error is not None else set()
    if conditions & REMOVING:
        condition = min(conditions & REMOVING)
        return [
            *_leave(ask.state, occupant, Ending((statuses.ERROR_CAME,))),
            Note("occupant_unreachable", "", occupant.bare, condition),
        ]
    seat = ask.state.seat(ask.nick) if ask.nick and ask.stanza.kind == "message" else None
    if seat is None or (occupant.full, seat.key, ask.stanza.id) not in ask.state.privates:
        # (a message to all that did not arrive is nothing to whoever said it)
        return []
    inner, payloads = cleaning.cleaned(ask.stanza, ask.state.jid)
    stanza = ask.stanza.replace(from_=occupant.seat.from_, inner=inner, payloads=payloads, attrs=())
    return [Send(stanza.replace(to=session.full)) for session in seat.sessions]


def removed(seats: Sequence[Seat], ending: Ending) -> list[c.Step]:
    """All sessions under these nicks go; others are told once for each nick."""
    return [
        c.Left(session, ending, quiet=session is not seat.sessions[-1])
        for seat in seats
        for session in list(seat.sessions)
    ]
