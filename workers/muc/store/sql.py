"""The statements of rooms. Each write is one statement that begins with FENCE and tells whether the fence was open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.store.owners import make_owner, remove_owner
from rookery.workers.muc.store.rows import AffiliationRow, Loaded, OccupantRow, RoomRow, Saying

#: The kind of a room among the owners of archives.
OWNER: Final = "room"
#: The rooms of a batch and their lists; the numbers are those of the arguments.
_ROOMS: Final = """
rooms AS (
    INSERT INTO room (id, partition, jid, state, public, persistent, name, description, lang, occupants)
    SELECT r.* FROM fence_ok, unnest($16::bigint[], $17::integer[], $18::text[], $19::bytea[], $20::boolean[], $21::boolean[],
        $22::text[], $23::text[], $24::text[], $25::integer[]) AS r
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, public = excluded.public, persistent = excluded.persistent,
        name = excluded.name, description = excluded.description, lang = excluded.lang, occupants = excluded.occupants
),
no_affiliation AS (
    DELETE FROM room_affiliation a USING fence_ok, unnest($26::bigint[], $27::text[]) AS g (room_id, jid)
    WHERE a.room_id = g.room_id AND a.jid = g.jid
),
affiliations AS (
    INSERT INTO room_affiliation (room_id, jid, affiliation, state)
    SELECT a.* FROM fence_ok, unnest($28::bigint[], $29::text[], $30::text[], $31::bytea[]) AS a
    ON CONFLICT (room_id, jid) DO UPDATE SET affiliation = excluded.affiliation, state = excluded.state
),"""
#: Who comes and goes, and what is said of it: nearly all that is written.
_VISITS: Final = """
no_occupant AS (
    DELETE FROM room_occupant o USING fence_ok, unnest($2::bigint[], $3::text[]) AS g (room_id, jid)
    WHERE o.room_id = g.room_id AND o.jid = g.jid
),
occupants AS (
    INSERT INTO room_occupant (room_id, jid, partition, nick, since, state)
    SELECT o.* FROM fence_ok, unnest($4::bigint[], $5::text[], $6::integer[], $7::text[], $8::bigint[], $9::bytea[]) AS o
    ON CONFLICT (room_id, jid) DO UPDATE SET nick = excluded.nick, since = excluded.since, state = excluded.state
),
sayings AS (
    INSERT INTO room_saying (room_id, n, partition, stream, origin_n, said)
    SELECT s.* FROM fence_ok, unnest($10::bigint[], $11::bigint[], $12::integer[], $13::bytea[], $14::bigint[], $15::bytea[]) AS s
    ON CONFLICT (room_id, n) DO NOTHING
)
SELECT EXISTS (SELECT FROM fence_ok)"""
_WRITE_VISITS: Final = f"{FENCE},{_VISITS}"
_WRITE: Final = f"{FENCE},{_ROOMS}{_VISITS}"
_HEARD: Final = f"""{FENCE},
heard AS (
    INSERT INTO room_heard (partition, n) SELECT h.* FROM fence_ok, unnest($2::integer[], $3::bigint[]) AS h
    ON CONFLICT (partition) DO UPDATE SET n = excluded.n
),
gone AS (
    DELETE FROM room_saying s USING fence_ok, unnest($2::integer[], $3::bigint[]) AS h (partition, n)
    WHERE s.partition = h.partition AND s.n <= h.n
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608
_ROOM: Final = """
SELECT id, partition, jid, state, public, persistent, name, description, lang, occupants FROM room WHERE jid = $1"""
_AFFILIATIONS: Final = "SELECT jid, state FROM room_affiliation WHERE room_id = $1"
_OCCUPANTS: Final = "SELECT jid, since, state FROM room_occupant WHERE room_id = $1"
_OWNED: Final = "SELECT count(*) FROM room_affiliation WHERE jid = $1 AND affiliation = 'owner'"
_SAYINGS: Final = """
SELECT room_id, n, partition, stream, origin_n, said FROM room_saying WHERE room_id = $1 ORDER BY n"""
_OPEN: Final = """
SELECT r.jid, EXISTS (SELECT FROM room_saying s WHERE s.room_id = r.id)
    OR EXISTS (SELECT FROM archive a WHERE a.owner_id = r.id AND a.id > $2)
    OR EXISTS (SELECT FROM message m WHERE m.account_id = r.id AND m.id > $2) AS told
FROM room r WHERE r.partition = $1 AND (EXISTS (SELECT FROM room_occupant o WHERE o.room_id = r.id)
    OR EXISTS (SELECT FROM room_saying s WHERE s.room_id = r.id))"""

_LISTED: Final = """
SELECT r.jid, r.name, r.description, r.lang, (SELECT count(DISTINCT o.nick) FROM room_occupant o WHERE o.room_id = r.id)::integer
FROM room r WHERE r.public AND r.jid LIKE $1 ORDER BY r.jid LIMIT $2"""


class Batch(NamedTuple):
    """What one statement writes; of each key only what came last."""

    rooms: Sequence[RoomRow]
    affiliations: Sequence[AffiliationRow]
    occupants: Sequence[OccupantRow]
    sayings: Sequence[Saying]


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


async def write(conn: Connection, incarnation: str, batch: Batch) -> None:
    """Write a batch. Safe to repeat. Raises Fenced."""
    rooms, affiliations, occupants, sayings = batch
    arguments = [
        *_columns([(one.room_id, one.jid) for one in occupants if one.state is None], 2),
        *_columns([one for one in occupants if one.state is not None], 6),
        *_columns(sayings, 6),
    ]
    if rooms or affiliations:
        arguments += [
            *_columns(rooms, 10),
            *_columns([(one.room_id, one.jid) for one in affiliations if one.state is None], 2),
            *_columns([one for one in affiliations if one.state is not None], 4),
        ]
    statement = _WRITE if rooms or affiliations else _WRITE_VISITS
    if not await conn.fetchval(statement, incarnation, *arguments):
        raise Fenced(incarnation)


async def write_heard(conn: Connection, incarnation: str, heard: Sequence[tuple[int, int]]) -> None:
    """(partition, number): all that was said up to there has arrived everywhere. Safe to repeat. Raises Fenced."""
    if not await conn.fetchval(_HEARD, incarnation, *_columns(heard, 2)):
        raise Fenced(incarnation)


async def create(conn: Connection, incarnation: str, domain: str, name: str) -> int:
    """The number of a new room, as the owner of its archive. Safe to repeat. Raises Fenced."""
    return await make_owner(conn, incarnation, domain, OWNER, name)


async def remove(conn: Connection, incarnation: str, room_id: int) -> None:
    """Remove a room with all that it has, its archive included. Safe to repeat. Raises Fenced."""
    await remove_owner(conn, incarnation, room_id)


async def load(conn: Connection, jid: str) -> Loaded | None:
    """A room by its JID, None when there is none."""
    record = await conn.fetchrow(_ROOM, jid)
    if record is None:
        return None
    row = RoomRow(*record.values())
    affiliations = {one["jid"]: one["state"] for one in await conn.fetch(_AFFILIATIONS, row.id)}
    occupants = {one["jid"]: (one["since"], one["state"]) for one in await conn.fetch(_OCCUPANTS, row.id)}
    return Loaded(row, affiliations, occupants)


async def owned(conn: Connection, bare: str) -> int:
    """How many rooms somebody owns."""
    found: int = await conn.fetchval(_OWNED, bare)
    return found


async def sayings(conn: Connection, room_id: int) -> list[Saying]:
    """What a room has said lately and what has no row of its own, in order."""
    return [Saying(*record.values()) for record in await conn.fetch(_SAYINGS, room_id)]


async def heard(conn: Connection, partition: int) -> int:
    """The number up to which all that rooms of the partition have said has arrived everywhere; 0 when nothing was noted."""
    return await conn.fetchval("SELECT n FROM room_heard WHERE partition = $1", partition) or 0


async def listed(conn: Connection, domain: str, limit: int) -> list[tuple[str, str, str, str, int]]:
    """The rooms of a service that it lists, by address: (JID, name, description, language, occupants)."""
    return [tuple(record.values()) for record in await conn.fetch(_LISTED, f"%@{domain}", limit)]


async def occupied(conn: Connection, partition: int, after: int) -> list[tuple[str, bool]]:
    """Rooms of a partition that somebody is in, or has just left: (JID, whether anything above the number `after` was said there)."""
    return [(record["jid"], record["told"]) for record in await conn.fetch(_OPEN, partition, after)]
