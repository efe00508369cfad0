"""The presence of an occupant as others see it: what it says itself, and what only the room may say (sections 7.2.2 and 16.3)."""

from __future__ import annotations

from typing import Final

from rookery.shared.xeps.hats import NS as HATS
from rookery.shared.xeps.multi_user_chat import USER
from rookery.shared.xeps.occupant_ids import NS as OCCUPANT_ID
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import escape_attr, escape_text
from rookery.workers.muc.room.hats import drawn
from rookery.workers.muc.room.state import Occupant, Seat, State
from rookery.workers.muc.room.statuses import ELEMENTS, SELF
from rookery.workers.muc.room.values import Affiliation, Ending, Role

_PAYLOADS: Final = ((USER, "x"), (OCCUPANT_ID, "occupant-id"))
#: How an item begins and ends, by affiliation and role.
_HEADS: Final = tuple([f"<item affiliation='{one.label}'" for one in Affiliation])
_TAILS: Final = tuple([f" role='{one.label}'" for one in Role])
_new: Final = tuple.__new__


def item(
    affiliation: Affiliation, role: Role, *, jid: str = "", nick: str = "", actor: str = "", reason: str = ""
) -> str:
    """The element that tells what somebody is; `actor` is a nick."""
    head, tail = _HEADS[affiliation], _TAILS[role]
    if jid:
        head = f"{head} jid='{escape_attr(jid)}'"
    if nick:
        head = f"{head} nick='{escape_attr(nick)}'"
    if not actor and not reason:
        return f"{head}{tail}/>"
    parts = [head, tail, ">"]
    if actor:
        parts.append(f"<actor nick='{escape_attr(actor)}'/>")
    if reason:
        parts.append(f"<reason>{escape_text(reason)}</reason>")
    parts.append("</item>")
    return "".join(parts)


def _stanza(seat: Seat, type: str, inner: bytes, payloads: tuple[tuple[str, str], ...], user: str) -> Stanza:
    body = b"%b%b%b" % (inner, user.encode(), seat.mark)
    told = (*payloads, *_PAYLOADS) if payloads else _PAYLOADS
    stanza: Stanza = _new(Stanza, ("presence", type, "", seat.from_, "", "", (), told, body))
    return stanza


def available(state: State, occupant: Occupant, known: bool) -> Stanza:
    """As everybody else sees it; `known`: with the real JID. The form that most see is the same object until something changes."""
    kept = known is state.config.non_anonymous
    cached = occupant.shown if kept else None
    if cached is None:
        seat = occupant.seat
        what = item(seat.affiliation, seat.role, jid=occupant.full if known else "")
        cached = _stanza(seat, "", *_worn(state, occupant), f"<x xmlns='{USER}'>{what}</x>")
        if kept:
            occupant.shown = cached
    return cached


def changed(state: State, occupant: Occupant, known: bool, actor: str, reason: str) -> Stanza:
    """The same, with who changed what the occupant is, and why."""
    if not actor and not reason:
        return available(state, occupant, known)
    seat = occupant.seat
    jid = occupant.full if known else ""
    what = item(seat.affiliation, seat.role, jid=jid, actor=actor, reason=reason)
    return _stanza(seat, "", *_worn(state, occupant), f"<x xmlns='{USER}'>{what}</x>")


def _worn(state: State, occupant: Occupant) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """What an occupant says itself, with its hats."""
    tags = drawn(state.hats, state.affiliate(occupant.bare).hats) if state.hats else b""
    if not tags:
        return occupant.inner, occupant.payloads
    return occupant.inner + tags, (*occupant.payloads, (HATS, "hats"))


def with_codes(stanza: Stanza, codes: tuple[int, ...]) -> Stanza:
    """A presence of ours with status codes more."""
    if not codes:
        return stanza
    head, mark, tail = stanza.inner.rpartition(b"</x>")
    extra = "".join([ELEMENTS[code] for code in codes]).encode()
    kind, type_, to_, from_, id_, lang, attrs, payloads, _ = stanza
    inner = b"%b%b%b%b" % (head, extra, mark, tail)
    added: Stanza = _new(Stanza, (kind, type_, to_, from_, id_, lang, attrs, payloads, inner))
    return added


def own(state: State, occupant: Occupant, codes: tuple[int, ...] = ()) -> Stanza:
    """As it sees itself: with its real JID and code 110 (section 7.2.2)."""
    seat = occupant.seat
    what = item(seat.affiliation, seat.role, jid=occupant.full)
    told = "".join([ELEMENTS[code] for code in (SELF, *codes)])
    return _stanza(seat, "", *_worn(state, occupant), f"<x xmlns='{USER}'>{what}{told}</x>")


def gone(seat: Seat, ending: Ending, *, jid: str = "", role: Role = Role.NONE, nick: str = "") -> Stanza:
    """The unavailable presence that ends a visit, or a nick (then `nick` is the new one). `jid`: for who may see it."""
    what = item(seat.affiliation, role, jid=jid, nick=nick, actor=ending.actor, reason=ending.reason)
    codes = "".join([ELEMENTS[code] for code in ending.codes])
    user = f"<x xmlns='{USER}'>{what}{ending.destroy.decode()}{codes}</x>"
    return _stanza(seat, "unavailable", ending.inner, ending.payloads, user)


def to(stanza: Stanza, full: str) -> Stanza:
    """A copy for one address: the cheap form of `replace`."""
    kind, type_, _, from_, id_, lang, attrs, payloads, inner = stanza
    return _new(Stanza, (kind, type_, full, from_, id_, lang, attrs, payloads, inner))
