"""Giving an affiliation: who has to go for it, who is invited by it (sections 9.1 to 9.5, 10.3 to 10.8)."""

from __future__ import annotations

from typing import NamedTuple

from rookery.workers.muc.outs import Note, Send
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room import statuses
from rookery.workers.muc.room.asking import Ask
from rookery.workers.muc.room.inviting import invitation
from rookery.workers.muc.room.leaving import removed
from rookery.workers.muc.room.state import Seat, State
from rookery.workers.muc.room.values import Affiliate, Affiliation, Ending


class Gift(NamedTuple):
    """What a bare JID or a domain shall be. `nick`: None leaves its reserved nick as it is, "" takes it."""

    jid: str
    affiliation: Affiliation
    nick: str | None = None
    reason: str = ""


def given(ask: Ask, gift: Gift) -> list[c.Step]:
    """The steps; whether it is allowed was asked before."""
    state, actor = ask.state, ask.actor
    former = state.affiliates.get(gift.jid, Affiliate())
    new = gift.affiliation
    nick = former.nick if gift.nick is None else gift.nick
    if new is Affiliation.OUTCAST or (new is Affiliation.NONE and gift.nick is None):
        nick = ""
    hats = () if new is Affiliation.OUTCAST else former.hats
    entry = Affiliate(new, nick, gift.reason, ask.bare, ask.facts.now, hats)
    seats = _affected(state, gift.jid)
    domain = state.affiliates.get(gift.jid.rpartition("@")[2]) if new is Affiliation.NONE else None
    banned = domain is not None and domain.affiliation is Affiliation.OUTCAST and "@" in gift.jid
    code = statuses.BANNED if banned else _removal(state, new, former.affiliation)
    going = [seat for seat in seats if code and not seat.service_admin]
    roles = {seat.key: seat.role for seat in seats}
    change = c.AffiliationGiven(gift.jid, entry, former.affiliation, actor, bool(going), roles)
    steps: list[c.Step] = [change]
    if going:
        steps += removed(going, Ending((code,), actor, gift.reason))
    if new is not former.affiliation:
        steps.append(Note("affiliation_given", ask.bare, gift.jid, new.label))
    joins = new is Affiliation.MEMBER and former.affiliation is Affiliation.NONE
    if joins and state.config.members_only and not seats:
        steps.append(Send(invitation(ask, gift.jid, "", gift.reason)))
    return steps


def _affected(state: State, jid: str) -> list[Seat]:
    """Nicks whose affiliation it is: of a bare JID, or of all in a domain who have none of their own."""
    if "@" in jid:
        return state.seats_of(jid)
    domain = f"@{jid}"
    return [
        seat
        for seat in state.seats.values()
        if seat.bare.endswith(domain) and seat.affiliation <= Affiliation.NONE
    ]


def _removal(state: State, new: Affiliation, former: Affiliation) -> int:
    """The code with which those who have it leave; 0: they stay."""
    if new is Affiliation.OUTCAST:
        return statuses.BANNED
    if state.config.members_only and new is Affiliation.NONE and former > Affiliation.NONE:
        return statuses.AFFILIATION_LOST
    return 0
