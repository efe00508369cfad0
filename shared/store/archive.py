"""Reads of an owner's archive: pages by filter (XEP-0313, XEP-0059), its ends, and which ids it has.

Each function is a unit of work. Rows come in the order of their ids, which is the order in which they became readable.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.store import partitions
from rookery.shared.store.rows import unpack_stanza
from rookery.shared.store.statements import peer_mark
from rookery.shared.xmpp.stanza import Stanza

#: Messages are counted exactly up to here unless the exact number was asked for.
COUNTED: Final = 10_000
_DAY: Final = 86_400
#: Making a plan for all the days takes longer than to read a page (15 ms of CPU against 4): it is made once for a connection.
_ONE_PLAN: Final = "SET LOCAL plan_cache_mode = force_generic_plan"
#: Both places where archived messages are, with the same columns.
_ENDS: Final = """
SELECT id, extract(epoch FROM stamp)::float8 AS stamp FROM (
    (SELECT id, stamp FROM (
        SELECT id, stamp FROM archive WHERE owner_id = $1
        UNION ALL SELECT id, stamp FROM message WHERE account_id = $1 AND archived
    ) AS first ORDER BY id LIMIT 1)
    UNION ALL
    (SELECT id, stamp FROM (
        SELECT id, stamp FROM archive WHERE owner_id = $1
        UNION ALL SELECT id, stamp FROM message WHERE account_id = $1 AND archived
    ) AS last ORDER BY id DESC LIMIT 1)
) AS ends ORDER BY id"""
_HAS: Final = """
SELECT (SELECT count(*) FROM archive WHERE owner_id = $1 AND id = ANY($2::bigint[]))
     + (SELECT count(*) FROM message WHERE account_id = $1 AND archived AND id = ANY($2::bigint[]))"""


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


def _where(wanted: Filter, args: list[object]) -> tuple[str, str]:
    """The conditions for `archive` and for `message`; what they refer to is put behind `args`, which has the owner."""
    parts: list[str] = []

    def arg(value: object) -> str:
        args.append(value)
        return f"${len(args)}"

    parts.append(f"id > {arg(wanted.after)}")
    parts.append(f"id < {arg(wanted.before)}")
    ours = ""
    if wanted.start is not None:
        parts.append(f"stamp >= to_timestamp({arg(wanted.start)}::float8)")
        # It was stored after it came, but for clocks that differ.
        ours += f" AND day >= {arg(int(wanted.start // _DAY) - 1)}"
    if wanted.end is not None:
        parts.append(f"stamp <= to_timestamp({arg(wanted.end)}::float8)")
    if wanted.peer:
        parts.append(f"peer = {arg(wanted.peer)}")
        ours += f" AND mark = {arg(peer_mark(wanted.peer))}"
    if wanted.exact:
        # Not exact yet: it may also be somewhere else in the stanza.
        parts.append(f"position({arg(wanted.exact.encode())}::bytea IN stanza) > 0")
    if wanted.ids is not None:
        parts.append(f"id = ANY({arg(list(wanted.ids))}::bigint[])")
    both = " AND ".join(parts)
    return f"owner_id = $1 AND {both}{ours}", f"account_id = $1 AND archived AND {both}"


def _both(columns: str, where: tuple[str, str]) -> str:
    return f"SELECT {columns} FROM archive WHERE {where[0]} UNION ALL SELECT {columns} FROM message WHERE {where[1]}"  # noqa: S608


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
    if offset:
        passed = await _passed(conn, owner_id, wanted, offset, backwards)
        if passed is None:
            return Page([], True)
        wanted = _behind(wanted, passed, backwards)
    while True:
        wanted_rows = max_rows - len(rows)
        statement, args = _page(wanted, owner_id, wanted_rows + 1, max_bytes - size, backwards)
        async with conn.transaction():
            await conn.execute(_ONE_PLAN)
            records = await conn.fetch(statement, *args)
        # Whether the filter has no more than these.
        complete = not records or len(records) == records[0]["found"] <= wanted_rows
        for record in records[:wanted_rows]:
            wanted = _behind(wanted, record["id"], backwards)
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


def _behind(wanted: Filter, id: int, backwards: bool) -> Filter:
    return wanted._replace(before=id) if backwards else wanted._replace(after=id)


async def _passed(
    conn: Connection, owner_id: int, wanted: Filter, offset: int, backwards: bool
) -> int | None:
    """The id of the last message that `offset` passes over; None when there are not so many."""
    args: list[object] = [owner_id]
    where = _where(wanted, args)
    order = "DESC" if backwards else "ASC"
    statement = (
        f"SELECT id FROM ({_both('id', where)}) AS f ORDER BY id {order} LIMIT 1 OFFSET ${len(args) + 1}"  # noqa: S608
    )
    found: int | None = await conn.fetchval(statement, *args, offset - 1)
    return found


def _page(
    wanted: Filter, owner_id: int, rows: int, max_bytes: int, backwards: bool
) -> tuple[str, list[object]]:
    """The statement for one read. It goes from day to day until it has enough, and opens no further ones.

    The sizes are looked at first, so that a page of large stanzas is cut before it is read. Ids grow with the days, but for a clock that
    was set back and rows that a successor stored late: the day after the last one is asked for what belongs into the page, too.
    """
    args: list[object] = [owner_id]
    ours, before = _where(wanted, args)
    at = len(args)
    args += [rows, max_bytes]
    order, edge, past, ahead = (
        ("DESC", "first", "min(edge) - 1", ">") if backwards else ("ASC", "past", "max(edge)", "<")
    )
    last = "min(id)" if backwards else "max(id)"
    first_day = 0 if wanted.start is None else int(wanted.start // _DAY) - 1
    statement = f"""
WITH parts AS MATERIALIZED ({partitions.PARTS} ORDER BY first {order}),
bulk AS MATERIALIZED (
    (SELECT f.id, f.stamp, f.stanza, f.peer, p.{edge} AS edge FROM parts p CROSS JOIN LATERAL (
        SELECT id, stamp, stanza, peer FROM archive WHERE {ours} AND day >= p.first AND day < p.past ORDER BY id {order} LIMIT ${at + 1}
    ) AS f WHERE p.past > ${at + 3} LIMIT ${at + 1})
    UNION ALL
    (SELECT id, stamp, stanza, peer, NULL FROM message WHERE {before} ORDER BY id {order} LIMIT ${at + 1})
),
near AS (
    SELECT f.id, f.stamp, f.stanza, f.peer FROM (SELECT {past} AS day, {last} AS last, count(edge) AS n FROM bulk WHERE edge IS NOT NULL) AS e
    CROSS JOIN LATERAL (
        SELECT id, stamp, stanza, peer FROM archive WHERE e.n = ${at + 1} AND {ours} AND day = e.day AND id {ahead} e.last
        ORDER BY id {order} LIMIT ${at + 1}
    ) AS f
)
SELECT id, extract(epoch FROM stamp)::float8 AS stamp, stanza, peer, found FROM (
    SELECT id, stamp, stanza, peer, count(*) OVER () AS found,
           sum(octet_length(stanza)) OVER (ORDER BY id {order}) - octet_length(stanza) AS ahead
    FROM (
        SELECT id, stamp, stanza, peer FROM bulk UNION ALL SELECT id, stamp, stanza, peer FROM near ORDER BY id {order} LIMIT ${at + 1}
    ) AS page
) AS measured WHERE ahead < ${at + 2} ORDER BY id {order}"""  # noqa: S608  parts of this package only
    return statement, [*args, first_day]


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
        return int(await conn.fetchval(f"SELECT count(*) FROM ({_both('1', where)}) AS counted", *args))  # noqa: S608
    args.append(COUNTED + 1)
    found = int(
        await conn.fetchval(
            f"SELECT count(*) FROM (SELECT 1 FROM ({_both('1', where)}) AS found LIMIT ${len(args)}) AS counted",  # noqa: S608
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
