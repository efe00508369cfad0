"""Coming in, and presence of those who are in (sections 7.2, 7.6, 7.7 and 10.1)."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Final

from rookery.shared.xeps.multi_user_chat import NS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_fragment
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Note, Send
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room import cleaning, nicks, presences, statuses
from rookery.workers.muc.room.asking import Ask
from rookery.workers.muc.room.config import Config, initial
from rookery.workers.muc.room.evolve import standing_role
from rookery.workers.muc.room.history import wanted
from rookery.workers.muc.room.state import Occupant, Seat, mark
from rookery.workers.muc.room.values import Affiliation, Ending, Wanted

#: Bytes of a join that is remembered, and how many of these.
_SHORT: Final = 160
_FORMS: Final = 256


def available(ask: Ask) -> list[c.Step]:
    """Presence without a type: it enters, changes the nick or the status, or asks for all again."""
    occupant = ask.occupant
    join = _join(ask.stanza)
    if not ask.nick:
        raise StanzaError("jid-malformed", "a nick is needed")
    if occupant is None:
        if join is None and not ask.facts.options.old_joins:
            return [Send(_not_in(ask))]
        return _enter(ask, join)
    if ask.facts.stream and ask.facts.stream == occupant.stream and 0 < ask.facts.n <= occupant.joined:
        return []  # (whoever sent it was not told that it was taken, and the process that took it died)
    nick = nicks.prepare(ask.nick, ask.facts.options)
    former = occupant.nick
    steps = _again(ask, occupant, join) if nick == former else _rename(ask, occupant, nick)
    if ask.facts.stream and ask.facts.stream != occupant.stream:
        # First: what follows is for the new session, which knows nothing yet, whatever its nick.
        steps.insert(0, c.Moved(occupant, ask.facts.stream, ask.facts.n))
        if nick != former and join is not None:
            steps.append(c.Synchronized(occupant, wanted(join, ask.facts.now)))
    return steps


def _join(stanza: Stanza) -> Element | None:
    """The element that says that a presence is a join (section 7.2.2); few forms are common, and these are read once."""
    inner = stanza.inner
    if len(inner) > _SHORT or b"password" in inner:
        return stanza.find(NS, "x")
    return _read(inner) if stanza.has(NS, "x") else None


@lru_cache(maxsize=_FORMS)
def _read(inner: bytes) -> Element | None:
    return next(
        (
            one
            for one in parse_fragment(inner)
            if isinstance(one, Element) and one.name == "x" and one.ns == NS
        ),
        None,
    )


def _not_in(ask: Ask) -> Stanza:
    """Whoever believes to be in is told otherwise (section 7.2.17)."""
    seat = Seat(ask.state.jid, ask.nick, b"")
    seat.affiliation = Affiliation.NONE
    ending = Ending((statuses.SELF, statuses.KICKED, statuses.ERROR_CAME))
    return presences.to(presences.gone(seat, ending), ask.stanza.from_).replace(id=ask.stanza.id)


# --- entering --------------------------------------------------------------------------------------------------------


def _enter(ask: Ask, join: Element | None) -> list[c.Step]:
    state, facts, bare = ask.state, ask.facts, ask.bare
    options = facts.options
    asked = Wanted() if join is None else wanted(join, facts.now)
    nick = nicks.prepare(ask.nick, options)
    steps: list[c.Step] = []
    codes: tuple[int, ...] = ()
    config = state.config
    affiliation = ask.affiliation
    if not state.exists:
        config = _created(ask)
        affiliation = Affiliation.OWNER
        codes = (statuses.CREATED,)
        steps += [
            c.Created(bare, config, join is not None, facts.now),
            Note("room_created", bare, state.jid),
        ]
    else:
        _admit(ask, affiliation, join)
    locked_nick = state.affiliate(bare).nick if config.lock_nicks else ""
    if locked_nick and nick != locked_nick:
        nick = locked_nick
    if nick != ask.nick:
        codes = (*codes, statuses.NICK_CHOSEN)
    seat = _free(ask, nick)
    inner, payloads, priority = cleaning.presence(ask.stanza, state.jid, options)
    if not state.joins.configure(options.joins_per_second, options.joins_burst).spend(facts.now):
        raise StanzaError("resource-constraint", "too many enter at once")
    if seat is None:
        seat = Seat(state.jid, nick, mark(facts.secret, state.jid, bare))
        seat.service_admin = facts.admin
        seat.affiliation = affiliation
        seat.role = standing_role(state, affiliation, bare)
    occupant = Occupant(ask.stanza.from_, seat)
    occupant.inner, occupant.payloads, occupant.priority = inner, payloads, priority
    occupant.changed = facts.now
    occupant.codes, occupant.wanted = codes, asked
    occupant.stream, occupant.joined = facts.stream, facts.n
    steps.append(c.Entered(occupant))
    return steps


def _created(ask: Ask) -> Config:
    facts = ask.facts
    if facts.banned or facts.listed:
        raise StanzaError("forbidden", "you are banned from these rooms")
    if not (facts.admin or facts.may_create):
        raise StanzaError("not-allowed", "you may not make rooms here")
    return initial(facts.options)


def _admit(ask: Ask, affiliation: Affiliation, join: Element | None) -> None:
    """Raise StanzaError for whoever may not come in (sections 7.2.5 to 7.2.10)."""
    state, options = ask.state, ask.facts.options
    config = state.config
    if ask.facts.banned or (ask.facts.listed and affiliation is Affiliation.NONE):
        raise StanzaError("forbidden", "you are banned from these rooms")
    if affiliation is Affiliation.OUTCAST:
        raise StanzaError("forbidden", "you are banned from this room")
    if state.locked and affiliation is not Affiliation.OWNER:
        raise StanzaError("item-not-found", "this room is not configured yet")
    if config.members_only and affiliation < Affiliation.MEMBER:
        raise StanzaError("registration-required", "this room is for members only")
    if config.password_protected and affiliation < Affiliation.OWNER:
        given = None if join is None else join.find_text(NS, "password")
        if given is None or not hmac.compare_digest(given.encode(), config.secret.encode()):
            raise StanzaError("not-authorized", "a password is needed")
    most = min(config.max_users or options.occupants_max, options.occupants_max)
    if affiliation >= Affiliation.ADMIN:
        most += options.occupants_reserved
    if len(state.occupants) >= most:
        raise StanzaError("service-unavailable", "this room is full", type="wait")
    if (
        len(state.occupants) >= options.sessions_max
        and sum(len(seat.sessions) for seat in state.seats_of(ask.bare)) >= options.sessions_max
    ):
        raise StanzaError("resource-constraint", "too many sessions of yours are in this room")


def _free(ask: Ask, nick: str, own: Seat | None = None) -> Seat | None:
    """The sender's own seat of that nick, None for a new one. Raises StanzaError conflict (section 7.2.8)."""
    state, bare = ask.state, ask.bare
    seat = state.seat(nick)
    owner = state.reserved.get(nicks.key(nick), bare)
    if owner != bare or (seat is not None and seat is not own and seat.bare != bare):
        raise StanzaError("conflict", "this nick is another's")
    if seat is not None and seat.nick != nick and own is None:
        raise StanzaError("conflict", "this nick looks like one of yours")
    return seat


# --- those who are in ------------------------------------------------------------------------------------------------


def _paced(ask: Ask, occupant: Occupant) -> None:
    options = ask.facts.options
    if not occupant.presences.configure(options.presences_per_second, options.presences_burst).spend(
        ask.facts.now
    ):
        raise StanzaError("policy-violation", "too many changes of presence", type="wait")


def _again(ask: Ask, occupant: Occupant, join: Element | None) -> list[c.Step]:
    """The same nick: another status, or a client that has lost what it knew (section 7.2.1)."""
    asked = None if join is None else wanted(join, ask.facts.now)
    _paced(ask, occupant)
    inner, payloads, priority = cleaning.presence(ask.stanza, ask.state.jid, ask.facts.options)
    steps: list[c.Step] = []
    if join is None or (inner, priority) != (occupant.inner, occupant.priority):
        steps.append(c.Showed(occupant, inner, payloads, priority, ask.facts.now))
    if asked is not None:
        steps.append(c.Synchronized(occupant, asked))
    return steps


def _rename(ask: Ask, occupant: Occupant, nick: str) -> list[c.Step]:
    state = ask.state
    reserved = state.affiliate(occupant.bare).nick
    if state.config.lock_nicks and reserved:
        raise StanzaError("not-acceptable", f"your nick here is {reserved}", type="cancel")
    former = occupant.seat
    seat = _free(ask, nick, former)
    if seat is not None and seat is not former:
        raise StanzaError("conflict", "you are in under this nick already")
    _paced(ask, occupant)
    inner, payloads, priority = cleaning.presence(ask.stanza, state.jid, ask.facts.options)
    codes = (statuses.NICK_CHOSEN,) if nick != ask.nick else ()
    said = c.Showed(occupant, inner, payloads, priority, ask.facts.now)
    return [
        c.Renamed(said, former, nick, codes),
        Note("nick_changed", ask.bare, state.jid, f"{former.nick} {nick}"),
    ]
