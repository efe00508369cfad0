"""Reads of an owner's archive: pages by filter (XEP-0313, XEP-0059), its ends, and which ids it has.

Each function is a unit of work. Rows come in the order of their ids, which is the order in which they became readable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.store import partitions
from rookery.shared.store.days import END, Entry, Pile, Span, spans, within
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

#: Whether an owner has something up to an id on the days of [{0}, {1}).
_REACHED: Final = "SELECT EXISTS (SELECT FROM archive WHERE owner_id = $1 AND id <= $2 AND day >= {:d} AND day < {:d})"


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


def _new(columns: str, where: tuple[str, str]) -> str:
    return f"SELECT {columns} FROM archive WHERE {where[0]}"  # noqa: S608


def _both(columns: str, where: tuple[str, str]) -> str:
    return f"{_new(columns, where)} UNION ALL SELECT {columns} FROM message WHERE {where[1]}"  # noqa: S608


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
        pile = await _read(conn, owner_id, wanted, max_rows - len(rows), max_bytes - size, backwards)
        complete = pile.last is None
        for entry in pile.entries:
            wanted = _behind(wanted, entry.id, backwards)
            found = _found(entry)
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
    statement = f"SELECT id FROM ({_both('id', where)}) AS f ORDER BY id {order} LIMIT 1 OFFSET ${len(args) + 1}"  # noqa: S608
    found: int | None = await conn.fetchval(statement, *args, offset - 1)
    return found


async def _read(
    conn: Connection, owner_id: int, wanted: Filter, rows: int, max_bytes: int, backwards: bool
) -> Pile:
    """The next rows in the direction of reading: few days at a time (`shared.store.days`)."""
    bounds = await _bounds(conn, owner_id, wanted, backwards)
    pile = Pile(rows, max_bytes, backwards=backwards)
    source = _both
    for span in spans(bounds, backwards=backwards):
        last = pile.last
        if last is None:
            pile.add(*await _some(conn, owner_id, wanted, span, rows, max_bytes, backwards, source))
            source = _new  # `message` was read with the first days
            continue
        # It is full. What was stored on the next day may still belong into it, but nothing later.
        near = Span(span.end - 1, span.end) if backwards else Span(span.first, span.first + 1)
        inside = (
            wanted._replace(after=max(wanted.after, last))
            if backwards
            else wanted._replace(before=min(wanted.before, last))
        )
        pile.add(*await _some(conn, owner_id, inside, near, rows, max_bytes, backwards, _new))
        break
    return pile


async def _bounds(conn: Connection, owner_id: int, wanted: Filter, backwards: bool) -> Sequence[Span]:
    """The partitions that may have what is wanted, in order."""
    bounds = [Span(one.first, one.end) for one in await partitions.attached(conn)]
    if wanted.start is not None:
        bounds = within(bounds, int(wanted.start // _DAY) - 1, END)
    if backwards or not wanted.after:
        return bounds
    # Who catches up was here lately: looked for from the newest day on.
    for span in spans(bounds, backwards=True):
        if await conn.fetchval(_REACHED.format(*span), owner_id, wanted.after):
            return within(bounds, span.first - 1, END)
    return bounds


async def _some(
    conn: Connection,
    owner_id: int,
    wanted: Filter,
    span: Span,
    rows: int,
    max_bytes: int,
    backwards: bool,
    source: Callable[[str, tuple[str, str]], str],
) -> tuple[list[Entry], bool]:
    """Rows of one span, and whether it has more: the sizes are looked at first, so that a page of large stanzas is cut before it is read."""
    args: list[object] = [owner_id]
    ours, before = _where(wanted, args)
    where = (f"{ours} AND day >= {span.first:d} AND day < {span.end:d}", before)
    order = "DESC" if backwards else "ASC"
    at = len(args)
    statement = f"""
SELECT id, extract(epoch FROM stamp)::float8 AS stamp, stanza, found FROM (
    SELECT id, stamp, stanza, count(*) OVER () AS found,
           sum(octet_length(stanza)) OVER (ORDER BY id {order}) - octet_length(stanza) AS ahead
    FROM (
        SELECT id, stamp, stanza FROM ({source("id, stamp, stanza", where)}) AS found
        ORDER BY id {order} LIMIT ${at + 1}
    ) AS page
) AS measured WHERE ahead < ${at + 2} ORDER BY id {order}"""  # noqa: S608  parts of this file only
    records = await conn.fetch(statement, *args, rows + 1, max_bytes)
    entries = [Entry(row["id"], row["stamp"], row["stanza"]) for row in records[:rows]]
    return entries, bool(records) and records[0]["found"] > len(entries)


def _found(entry: Entry) -> Found | None:
    """None for a row that cannot be read: it must not stand in the way of the others."""
    try:
        stanza = unpack_stanza(entry.stanza)
    except (ValueError, TypeError):
        return None
    return Found(entry.id, entry.stamp, stanza, len(entry.stanza))


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
