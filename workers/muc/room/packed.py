"""A room as bytes, for its rows: its own state, its affiliations, its occupants. What cannot be read is as if it were not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from rookery.workers.muc.room.cleaning import shared
from rookery.workers.muc.room.config import Config
from rookery.workers.muc.room.evolve import restored
from rookery.workers.muc.room.state import Occupant, Seat, State
from rookery.workers.muc.room.values import Affiliate, Affiliation, Hat, Role, Subject, Wanted

_encode = msgspec.msgpack.Encoder().encode
T = TypeVar("T")
_ROLES = frozenset(map(int, Role))


class _Room(Struct):
    config: Config = Config()
    subject: Subject = Subject()
    locked: bool = False
    card: bytes = b""
    voices: dict[str, int] = {}
    #: Whether it is there: a room that was destroyed, or left by all and not persistent, is removed a moment later.
    exists: bool = True
    hats: tuple[Hat, ...] = ()


class _Occupant(Struct):
    nick: str = ""
    role: int = int(Role.PARTICIPANT)
    inner: bytes = b""
    payloads: tuple[tuple[str, str], ...] = ()
    priority: int = 0
    changed: float = 0.0
    codes: tuple[int, ...] = ()
    wanted: Wanted = Wanted()
    service_admin: bool = False
    shown: bool = True
    mark: bytes = b""
    stream: bytes = b""
    joined: int = 0


_rooms = msgspec.msgpack.Decoder(_Room)
_occupants = msgspec.msgpack.Decoder(_Occupant)
_affiliates = msgspec.msgpack.Decoder(Affiliate)


def _read(decoder: msgspec.msgpack.Decoder[T], data: bytes, default: T) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return default


def room(state: State) -> bytes:
    """The room's own state."""
    voices = {bare: int(role) for bare, role in state.voices.items()}
    hats = tuple(state.hats.values())
    return _encode(_Room(state.config, state.subject, state.locked, state.card, voices, state.exists, hats))


def occupant(state: State, full: str) -> bytes:
    """One session."""
    one = state.occupants[full]
    seat = one.seat
    return _encode(
        _Occupant(
            seat.nick,
            int(seat.role),
            one.inner,
            one.payloads,
            one.priority,
            one.changed,
            one.codes,
            one.wanted,
            seat.service_admin,
            seat.shown,
            seat.mark,
            one.stream,
            one.joined,
        )
    )


def affiliation(state: State, jid: str) -> tuple[str, bytes] | None:
    """The label and the entry of a JID; None when it has none."""
    entry = state.affiliates.get(jid)
    return None if entry is None else (entry.affiliation.label, _encode(entry))


def load(jid: str, packed: bytes, affiliates: Mapping[str, bytes], occupants: Mapping[str, bytes]) -> State:
    """The room of these rows."""
    state = State(jid)
    known = _read(_rooms, packed, _Room())
    state.exists = known.exists
    state.config, state.subject, state.locked, state.card = (
        known.config,
        known.subject,
        known.locked,
        known.card,
    )
    state.voices = {bare: Role(role) for bare, role in known.voices.items() if role in _ROLES}
    state.hats = {hat.uri: hat for hat in known.hats}
    for bare, data in affiliates.items():
        state.set_affiliate(bare, _read(_affiliates, data, Affiliate()))
    for full, data in occupants.items():
        _seated(state, full, _read(_occupants, data, _Occupant()))
    # (who was not shown yet is found with the first look)
    state.late = any(not seat.shown for seat in state.seats.values())
    return state


def _seated(state: State, full: str, row: _Occupant) -> None:
    if not row.nick or row.role not in _ROLES:
        return
    seat = state.seat(row.nick)
    if seat is None:
        seat = Seat(state.jid, row.nick, row.mark)
        seat.role, seat.service_admin, seat.shown = Role(row.role), row.service_admin, row.shown
        state.seats[seat.key] = seat
    one = Occupant(full, seat)
    one.inner, one.payloads = shared(row.inner, row.payloads)
    one.priority = row.priority
    one.changed, one.codes, one.wanted = row.changed, row.codes, row.wanted
    one.stream, one.joined = row.stream, row.joined
    restored(state, one)
    if seat.affiliation is Affiliation.OUTCAST:
        seat.affiliation = Affiliation.NONE
