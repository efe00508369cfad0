"""Rooms as rows: each is an owner of an archive, with the packed state that a holder reads when the room is used first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rookery.moving.records import Message, Room
from rookery.shared.bus.subjects import partition_of
from rookery.shared.db.api import Connection
from rookery.shared.store import loading
from rookery.shared.store.rows import Row
from rookery.shared.xmpp.jid import Jid
from rookery.workers.account.store import UnknownDomainError
from rookery.workers.muc.room import packed
from rookery.workers.muc.room.state import State
from rookery.workers.muc.store.sql import OWNER

_OWNER = """
INSERT INTO archive_owner (domain, kind, name) VALUES ($1, $2, $3) ON CONFLICT (domain, kind, name) DO NOTHING RETURNING id"""
_ROOM = """
INSERT INTO room (id, partition, jid, state, public, persistent, name, description, lang)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
_AFFILIATION = "INSERT INTO room_affiliation (room_id, jid, affiliation, state) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
Rows = Callable[[int, Sequence[Message]], Iterable[Row]]


def state_of(room: Room) -> State:
    """The room as its holder knows it."""
    state = State(room.jid)
    state.exists = True
    # A room that was worth moving stays when nobody is in it.
    state.config, state.subject = room.config, room.subject
    for jid, entry in room.affiliates:
        state.set_affiliate(jid, entry)
    return state


async def put_rooms(rooms: Sequence[Room], rows_of: Rows, conn: Connection) -> list[str]:
    """Store rooms of one domain; returns those that are new. Raises UnknownDomainError."""
    domain = Jid.trusted(rooms[0].jid).domain
    made = []
    async with conn.transaction():
        if await conn.fetchval("SELECT 1 FROM domain WHERE name = $1 AND kind = 'rooms'", domain) is None:
            raise UnknownDomainError(domain)
        for room in rooms:
            id = await conn.fetchval(_OWNER, domain, OWNER, Jid.trusted(room.jid).local or "")
            if id is None:
                continue
            made.append(room.jid)
            await _put(conn, id, room)
            await loading.put(conn, rows_of(id, room.messages))
    return made


async def _put(conn: Connection, id: int, room: Room) -> None:
    config = room.config
    state = state_of(room)
    await conn.execute(
        _ROOM,
        id,
        partition_of(room.jid),
        room.jid,
        packed.room(state),
        config.public,
        config.persistent,
        config.name,
        config.description,
        config.lang,
    )
    for jid, _ in room.affiliates:
        entry = packed.affiliation(state, jid)
        if entry is not None:
            await conn.execute(_AFFILIATION, id, jid, *entry)
