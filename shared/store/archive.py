"""Reads of an owner's archive: pages by filter (XEP-0313, XEP-0059), its ends, and which ids it has.

Each function is a unit of work. Rows come in the order of their ids, which is the order in which they became readable.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.store.rows import unpack_stanza
from rookery.shared.store.statements import peer_mark
from rookery.shared.xmpp.stanza import Stanza

#: Messages are counted exactly up to here unless the exact number was asked for.
COUNTED: Final = 10_000
_DAY: Final = 86_400
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
    """An archived message; `stamp` is in Unix seconds."""

    id: int
    stamp: float
    stanza: Stanza
    size: int


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
SELECT id, extract(epoch FROM stamp)::float8 AS stamp, stanza, found FROM (
    SELECT id, stamp, stanza, count(*) OVER () AS found,
           sum(octet_length(stanza)) OVER (ORDER BY id {order}) - octet_length(stanza) AS ahead
    FROM (
        SELECT id, stamp, stanza FROM ({_both("id, stamp, stanza", where)}) AS found
        ORDER BY id {order} LIMIT ${at + 1} OFFSET ${at + 2}
    ) AS page
) AS measured WHERE ahead < ${at + 3} ORDER BY id {order}"""  # noqa: S608  parts of this file only
    return statement, args


def _found(record: Any) -> Found | None:
    """None for a row that cannot be read: it must not stand in the way of the others."""
    try:
        stanza = unpack_stanza(record["stanza"])
    except (ValueError, TypeError):
        return None
    return Found(record["id"], record["stamp"], stanza, len(record["stanza"]))


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
