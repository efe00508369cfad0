"""Reads of an owner's archive: pages by filter (XEP-0313, XEP-0059), its ends, which ids it has, and its upkeep.

Each function is a unit of work. Rows come in the order of their ids, which is the order in which they became readable.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.store.rows import unpack_stanza
from rookery.shared.xmpp.stanza import Stanza

#: Messages are counted exactly up to here unless the exact number was asked for.
COUNTED: Final = 10_000
_ALL: Final = "account_id = $1 AND archived"
_ENDS: Final = f"""
SELECT id, extract(epoch FROM stamp)::float8 AS stamp FROM (
    (SELECT id, stamp FROM message WHERE {_ALL} ORDER BY id LIMIT 1)
    UNION ALL
    (SELECT id, stamp FROM message WHERE {_ALL} ORDER BY id DESC LIMIT 1)
) AS ends ORDER BY id"""  # noqa: S608  constants only
_HAS: Final = f"SELECT count(*) FROM message WHERE {_ALL} AND id = ANY($2::bigint[])"  # noqa: S608
#: Owners above $1 in order, with the newest id that is too old to keep, 0 when there is none.
_SURPLUS: Final = """
SELECT o.id, coalesce((
    SELECT m.id FROM message m WHERE m.account_id = o.id ORDER BY m.id DESC OFFSET $2 LIMIT 1
), 0) AS last
FROM (
    (SELECT id FROM account WHERE id > $1 ORDER BY id LIMIT $3) UNION ALL
    (SELECT id FROM archive_owner WHERE id > $1 ORDER BY id LIMIT $3)
) AS o ORDER BY o.id LIMIT $3"""
_TRIM: Final = f"""{FENCE},
old AS MATERIALIZED (
    SELECT m.account_id, m.id FROM message m, fence_ok
    WHERE m.account_id = $2 AND m.id <= $3 AND NOT m.owed ORDER BY m.id LIMIT $4
),
gone AS (
    DELETE FROM message m USING old WHERE m.account_id = old.account_id AND m.id = old.id RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, (SELECT count(*) FROM gone) AS done"""  # noqa: S608


class Filter(NamedTuple):
    """Which messages: with ids in (after, before), received from `start` to `end` (Unix seconds), with one peer.

    `peer` is a bare JID; `exact`, when not empty, a full one that has to be the sender or the addressee. `ids`, when given,
    are all that may be found.
    """

    after: int = 0
    before: int = 1 << 62
    start: float | None = None
    end: float | None = None
    peer: str = ""
    exact: str = ""
    ids: Sequence[int] | None = None


class Found(NamedTuple):
    """An archived message; `stamp` is in Unix seconds, `peer` whom it is from or for."""

    id: int
    stamp: float
    stanza: Stanza
    size: int
    peer: str = ""


class Page(NamedTuple):
    """Messages in the order of their ids; `complete` when the filter has no more in the direction of reading."""

    rows: list[Found]
    complete: bool


def _where(wanted: Filter, args: list[object]) -> str:
    parts = [_ALL]

    def need(condition: str, value: object) -> None:
        args.append(value)
        parts.append(condition.format(f"${len(args)}"))

    need("id > {}", wanted.after)
    need("id < {}", wanted.before)
    if wanted.start is not None:
        need("stamp >= to_timestamp({}::float8)", wanted.start)
    if wanted.end is not None:
        need("stamp <= to_timestamp({}::float8)", wanted.end)
    if wanted.peer:
        need("peer = {}", wanted.peer)
    if wanted.exact:
        # Not exact yet: it may also be somewhere else in the stanza.
        need("position({}::bytea IN stanza) > 0", wanted.exact.encode())
    if wanted.ids is not None:
        need("id = ANY({}::bigint[])", list(wanted.ids))
    return " AND ".join(parts)


async def read_page(
    conn: Connection,
    owner_id: int,
    wanted: Filter,
    *,
    max_rows: int,
    max_bytes: int,
    backwards: bool = False,
    offset: int = 0,
) -> Page:
    """At most `max_rows` messages, fewer when they are larger than `max_bytes` in all (one is always returned, if there is one).

    `backwards` takes them from the end. `offset` passes over that many first.
    """
    rows: list[Found] = []
    size = 0
    while True:
        wanted_rows = max_rows - len(rows)
        statement, args = _page(wanted, owner_id, wanted_rows + 1, offset, max_bytes - size, backwards)
        records = await conn.fetch(statement, *args)
        offset = 0
        # Whether the filter has no more than these.
        complete = not records or len(records) == records[0]["found"] <= wanted_rows
        for record in records[:wanted_rows]:
            id = record["id"]
            wanted = wanted._replace(before=id) if backwards else wanted._replace(after=id)
            found = _found(record)
            if found is not None and _exactly(found.stanza, wanted.exact):
                rows.append(found)
                size += found.size
        # Only when some were not the right ones after all there is something left to look for.
        if complete or len(rows) == max_rows or (rows and size >= max_bytes) or not wanted.exact:
            break
    if backwards:
        rows.reverse()
    return Page(rows, complete)


def _page(
    wanted: Filter, owner_id: int, rows: int, offset: int, max_bytes: int, backwards: bool
) -> tuple[str, list[object]]:
    """The statement for one read: the sizes are looked at first, so that a page of large stanzas is cut before it is read."""
    args: list[object] = [owner_id]
    where = _where(wanted, args)
    order = "DESC" if backwards else "ASC"
    at = len(args)
    args += [rows, offset, max_bytes]
    statement = f"""
SELECT id, extract(epoch FROM stamp)::float8 AS stamp, stanza, peer, found FROM (
    SELECT id, stamp, stanza, peer, count(*) OVER () AS found,
           sum(octet_length(stanza)) OVER (ORDER BY id {order}) - octet_length(stanza) AS ahead
    FROM (
        SELECT id, stamp, stanza, peer FROM message WHERE {where} ORDER BY id {order} LIMIT ${at + 1} OFFSET ${at + 2}
    ) AS page
) AS measured WHERE ahead < ${at + 3} ORDER BY id {order}"""  # noqa: S608  parts of this file only
    return statement, args


def _found(record: Any) -> Found | None:
    """None for a row that cannot be read: it must not stand in the way of the others."""
    try:
        stanza = unpack_stanza(record["stanza"])
    except (ValueError, TypeError):
        return None
    return Found(record["id"], record["stamp"], stanza, len(record["stanza"]), record["peer"])


def _exactly(stanza: Stanza, full: str) -> bool:
    return not full or full in (stanza.to, stanza.from_)


async def count(conn: Connection, owner_id: int, wanted: Filter, *, exact: bool) -> int | None:
    """How many messages there are; unless `exact`, None when there are more than COUNTED.

    With a full JID it counts also messages that only mention it.
    """
    args: list[object] = [owner_id]
    where = _where(wanted, args)
    if exact:
        return int(await conn.fetchval(f"SELECT count(*) FROM message WHERE {where}", *args))  # noqa: S608
    args.append(COUNTED + 1)
    found = int(
        await conn.fetchval(
            f"SELECT count(*) FROM (SELECT 1 FROM message WHERE {where} LIMIT ${len(args)}) AS counted",  # noqa: S608
            *args,
        )
    )
    return None if found > COUNTED else found


async def has_all(conn: Connection, owner_id: int, ids: Collection[int]) -> bool:
    """Whether the archive has every one of these ids."""
    distinct = set(ids)
    return not distinct or await conn.fetchval(_HAS, owner_id, list(distinct)) == len(distinct)


async def ends(conn: Connection, owner_id: int) -> list[tuple[int, float]]:
    """(id, Unix seconds) of the oldest and the newest message; nothing for an empty archive."""
    return [(record["id"], record["stamp"]) for record in await conn.fetch(_ENDS, owner_id)]


async def surplus(conn: Connection, after: int, keep: int, owners: int) -> list[tuple[int, int]]:
    """At most `owners` owners with numbers above `after`, in order: (owner, newest id beyond the `keep` newest messages, or 0)."""
    return [(record["id"], record["last"]) for record in await conn.fetch(_SURPLUS, after, keep, owners)]


async def trim(conn: Connection, incarnation: str, owner_id: int, last: int, limit: int) -> int:
    """Delete up to `limit` messages of an owner with ids up to `last` that nobody is owed; returns how many. Raises Fenced."""
    row = await conn.fetchrow(_TRIM, incarnation, owner_id, last, limit)
    if not row["open"]:
        raise Fenced(incarnation)
    done: int = row["done"]
    return done
