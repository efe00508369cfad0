"""The statements of the message store. Each is one statement that begins with FENCE and tells whether the fence was open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.db.errors import describe
from rookery.shared.store.owners import KNOWN
from rookery.shared.store.rows import Row

_COLUMNS: Final = "account_id, id, stream, n, digest, peer, outgoing, archived, owed, stamp, stanza"
_ROWS: Final = """unnest(
        $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bytea[], $7::text[],
        $8::boolean[], $9::boolean[], $10::boolean[], $11::float8[], $12::bytea[]
    )"""
#: For rows that nobody has tried to store before: nothing is looked up first, and nothing comes back.
_INSERT_NEW: Final = f"""{FENCE},
new AS (
    INSERT INTO message ({_COLUMNS})
    SELECT r.account_id, r.id, r.stream, r.n, r.digest, r.peer, r.outgoing, r.archived, r.owed, to_timestamp(r.stamp), r.stanza
    FROM fence_ok CROSS JOIN {_ROWS} AS r ({_COLUMNS})
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, cardinality($2) AS stored, NULL AS ids, NULL AS accounts"""  # noqa: S608
_INSERT: Final = f"""{FENCE},
new AS (
    INSERT INTO message ({_COLUMNS})
    SELECT r.account_id, r.id, r.stream, r.n, r.digest, r.peer, r.outgoing, r.archived, r.owed, to_timestamp(r.stamp), r.stanza
    FROM fence_ok CROSS JOIN {_ROWS} AS r ({_COLUMNS}) {{where}}
    ON CONFLICT {{target}} DO NOTHING
    RETURNING account_id, id
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, count(*) AS stored,
       CASE WHEN count(*) < cardinality($2) THEN array_agg(id) END AS ids,
       CASE WHEN count(*) < cardinality($2) THEN array_agg(account_id) END AS accounts
FROM new"""  # noqa: S608  constants only
_UID: Final = "(account_id, stream, n, digest, outgoing)"
#: For a batch with a row that is there already: it is passed over.
_INSERT_ALL: Final = _INSERT.format(where="", target=_UID)
#: For rows that a former holder may have stored, in a form that is not known exactly.
_INSERT_MISSING: Final = _INSERT.format(where=f"WHERE {KNOWN}", target="")

_SETTLE: Final = f"""{FENCE},
acked AS MATERIALIZED (SELECT * FROM unnest($2::bigint[], $3::bigint[]) AS r (account_id, id), fence_ok),
gone AS (
    DELETE FROM message m USING acked a WHERE m.account_id = a.account_id AND m.id = a.id AND NOT m.archived
),
kept AS (
    UPDATE message m SET owed = false FROM acked a
    WHERE m.account_id = a.account_id AND m.id = a.id AND m.archived AND m.owed
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608  constants only

_OWE: Final = f"""{FENCE},
owed AS (
    UPDATE message m SET owed = true FROM unnest($2::bigint[], $3::bigint[]) AS r (account_id, id), fence_ok
    WHERE m.account_id = r.account_id AND m.id = r.id AND NOT m.owed
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608  constants only

_OWE_AGAIN: Final = f"""{FENCE},
owed AS (
    UPDATE message m SET owed = true
    FROM unnest($2::bigint[], $3::bytea[], $4::bigint[]) AS r (account_id, stream, n), fence_ok
    WHERE m.account_id = r.account_id AND m.stream = r.stream AND m.n = r.n AND NOT m.outgoing AND NOT m.owed
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608  constants only

_RETRIES: Final = 4


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


async def insert_rows(conn: Connection, incarnation: str, rows: Sequence[Row]) -> Stored:
    """Store rows; those whose uid is there already are passed over.

    Safe to repeat. Raises Fenced, RowsRefusedError.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    statement = _INSERT_NEW
    for _ in range(_RETRIES):
        try:
            record = await conn.fetchrow(statement, incarnation, *columns)
        except asyncpg.UniqueViolationError:
            # A repetition is rare. The same rows may be in a transaction whose answer we lost and which ends just now: look again.
            if statement is _INSERT_NEW:
                statement = _INSERT_ALL
            continue
        except _OF_THE_ROWS as exc:
            # asyncpg's own complaints cite the value, which is what users wrote.
            text = describe(exc) if isinstance(exc, asyncpg.PostgresError) else type(exc).__name__
            raise RowsRefusedError("data", text) from None
        if not record["open"]:
            raise Fenced(incarnation)
        ids = record["ids"]
        if record["stored"] == len(rows):
            return Stored(None)
        return Stored(frozenset(zip(record["accounts"] or (), ids or (), strict=True)))
    raise RowsRefusedError("collision", "another message has this id")


async def insert_missing(conn: Connection, incarnation: str, rows: Sequence[Row]) -> None:
    """Store rows whose id and whose uid are not there yet. Safe to repeat. Raises Fenced."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    record = await conn.fetchrow(_INSERT_MISSING, incarnation, *columns)
    if not record["open"]:
        raise Fenced(incarnation)


async def settle_rows(conn: Connection, incarnation: str, owed: Sequence[tuple[int, int]]) -> None:
    """(owner, id) rows have reached a client: archived ones are no longer owed, others go. Safe to repeat. Raises Fenced."""
    accounts, ids = [list(column) for column in zip(*owed, strict=True)]
    if not await conn.fetchval(_SETTLE, incarnation, accounts, ids):
        raise Fenced(incarnation)


async def owe_rows(conn: Connection, incarnation: str, rows: Sequence[tuple[int, int]]) -> None:
    """(owner, id) rows were given to a session that is gone: offline delivery owes them. Safe to repeat. Raises Fenced."""
    accounts, ids = [list(column) for column in zip(*rows, strict=True)]
    if not await conn.fetchval(_OWE, incarnation, accounts, ids):
        raise Fenced(incarnation)


async def owe_again(conn: Connection, incarnation: str, uids: Sequence[tuple[int, bytes, int]]) -> None:
    """(owner, stream, n) came again, and who was given them is not known: offline delivery owes their rows. Safe to repeat. Raises Fenced."""
    columns = [list(column) for column in zip(*uids, strict=True)]
    if not await conn.fetchval(_OWE_AGAIN, incarnation, *columns):
        raise Fenced(incarnation)
