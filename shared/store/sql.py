"""The writes of the message store, each a unit of work with one statement (`shared.store.statements`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from rookery.shared.db.api import Connection, Fenced
from rookery.shared.db.errors import describe
from rookery.shared.store import partitions, statements
from rookery.shared.store.rows import Row
from rookery.shared.store.statements import peer_mark, uid_mark

_RETRIES: Final = 6
#: What is wrong with the rows themselves, and stays wrong however often they are tried: bad values (SQLSTATE classes 22, 23), too
#: large (54), or no value of the column's type (found by asyncpg before anything is sent).
_OF_THE_ROWS: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    TypeError,
    OverflowError,
)


class RowsRefusedError(Exception):
    """Postgres will never take one of these rows, and so took none: `reason` is "data", or "collision".

    A collision is that two messages of one owner have one archive id: a holder counted in an epoch that was not its own.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Stored(NamedTuple):
    """What a commit did: `new` is None when every row was new, else the (owner, id) of those that were."""

    new: frozenset[tuple[int, int]] | None


class _Way(NamedTuple):
    """The statements for one place where rows may go."""

    new: str
    all: str
    missing: str
    marked: bool


_NOW: Final = _Way(statements.INSERT_NEW, statements.INSERT_ALL, statements.INSERT_MISSING, True)
_BEFORE: Final = _Way(statements.BEFORE_NEW, statements.BEFORE_ALL, statements.BEFORE_MISSING, False)


class _Usual:
    """Where rows went the last time; every statement looks itself whether that is still so."""

    way = _NOW


def _columns(rows: Sequence[Row], way: _Way) -> list[list[object]]:
    columns: list[list[object]] = [list(column) for column in zip(*rows, strict=True)]
    if way.marked:
        columns.append([uid_mark(row.digest, row.outgoing) for row in rows])
        columns.append([peer_mark(row.peer) for row in rows])
    return columns


async def insert_rows(conn: Connection, incarnation: str, rows: Sequence[Row]) -> Stored:
    """Store rows; those whose uid is there already are passed over.

    Safe to repeat. Raises Fenced, RowsRefusedError.
    """
    way, again = _Usual.way, False
    for _ in range(_RETRIES):
        try:
            record = await conn.fetchrow(way.all if again else way.new, incarnation, *_columns(rows, way))
        except asyncpg.UniqueViolationError:
            # A repetition is rare. The same rows may be in a transaction whose answer we lost and which ends just now: look again.
            again = True
            continue
        except _OF_THE_ROWS as exc:
            if partitions.is_missing(exc):
                await partitions.make(conn)
                continue
            # asyncpg's own complaints cite the value, which is what users wrote.
            text = describe(exc) if isinstance(exc, asyncpg.PostgresError) else type(exc).__name__
            raise RowsRefusedError("data", text) from None
        if not record["open"]:
            raise Fenced(incarnation)
        if not record["here"]:
            way = _Usual.way = _BEFORE if way is _NOW else _NOW
            continue
        if record["again"]:
            again = True
            continue
        if record["stored"] == len(rows):
            return Stored(None)
        return Stored(frozenset(zip(record["owners"] or (), record["ids"] or (), strict=True)))
    raise RowsRefusedError("collision", "another message has this id")


async def insert_missing(conn: Connection, incarnation: str, rows: Sequence[Row]) -> None:
    """Store rows whose id and whose uid are not there yet. Safe to repeat. Raises Fenced."""
    way = _Usual.way
    while True:
        try:
            record = await conn.fetchrow(way.missing, incarnation, *_columns(rows, way))
        except asyncpg.CheckViolationError as exc:
            if not partitions.is_missing(exc):
                raise
            await partitions.make(conn)
            continue
        if not record["open"]:
            raise Fenced(incarnation)
        if record["here"]:
            return
        way = _Usual.way = _BEFORE if way is _NOW else _NOW


async def settle_rows(conn: Connection, incarnation: str, owed: Sequence[tuple[int, int]]) -> None:
    """(owner, id) rows have reached a client: archived ones are no longer owed, others go. Safe to repeat. Raises Fenced."""
    owners, ids = [list(column) for column in zip(*owed, strict=True)]
    if not await conn.fetchval(statements.SETTLE, incarnation, owners, ids):
        raise Fenced(incarnation)


async def owe_rows(conn: Connection, incarnation: str, rows: Sequence[tuple[int, int]]) -> None:
    """(owner, id) rows were given to a session that is gone: offline delivery owes them. Safe to repeat. Raises Fenced."""
    owners, ids = [list(column) for column in zip(*rows, strict=True)]
    if not await conn.fetchval(statements.OWE, incarnation, owners, ids):
        raise Fenced(incarnation)


async def owe_again(conn: Connection, incarnation: str, uids: Sequence[tuple[int, bytes, int]]) -> None:
    """(owner, stream, n) came again, and who was given them is not known: offline delivery owes their rows. Safe to repeat. Raises Fenced."""
    columns = [list(column) for column in zip(*uids, strict=True)]
    if not await conn.fetchval(statements.OWE_AGAIN, incarnation, *columns):
        raise Fenced(incarnation)
