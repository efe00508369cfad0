"""Schema migrations: numbered SQL files, each applied once, in order (ADR 0006).

A file is `NNNN_name.sql`. Comments on lines of their own at its top say how it is applied: `-- no-transaction` (then it is
one statement, such as CREATE INDEX CONCURRENTLY, that may be repeated), `-- contract` (it removes what the version before
still needs; every other file only adds, so the version before runs beside it) and `-- waits for migration N` (it is left for later while a
process lives whose version does not know that one; this version runs without it, too).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from rookery.shared import config
from rookery.shared.db.api import Connection, Database
from rookery.shared.db.bridge import open_database

_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql\Z")
#: The advisory lock of whoever migrates.
_LOCK: Final = 0x726F6F6B65
_LOCK_TRIES: Final = 300
_PAUSE: Final = "SELECT pg_sleep(0.2)"
#: A migration may take long; it still waits only `lock_timeout` for a lock, since all that come after it wait too.
_STATEMENT_SECONDS: Final = 6 * 3600.0
_WAITS: Final = re.compile(r"waits for migration (\d+)\Z")
#: Processes that may be alive: a heartbeat is written each second, or not at all while Postgres was away.
_OLDER: Final = """
SELECT count(*) FROM member WHERE schema < $1 AND expires > now() - interval '1 minute'"""
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS migration (
    number    integer PRIMARY KEY,
    name      text NOT NULL,
    checksum  bytea NOT NULL,
    contract  boolean NOT NULL,
    applied   timestamptz NOT NULL DEFAULT now()
)"""


class SchemaError(Exception):
    """The database's schema and this version do not go together; the text is one line and has the remedy."""


class Migration(NamedTuple):
    """One file."""

    number: int
    name: str
    sql: str
    checksum: bytes
    contract: bool
    transaction: bool
    waits: int = 0


class Applied(NamedTuple):
    """One row of the table `migration`."""

    number: int
    name: str
    checksum: bytes
    contract: bool


class Status(NamedTuple):
    """What the database has, and what of this version's files it lacks."""

    applied: Sequence[Applied]
    pending: Sequence[Migration]
    #: Those that this version also runs without.
    waiting: Sequence[Migration] = ()

    @property
    def version(self) -> int:
        """The number of the last migration that was applied; 0 for an empty database."""
        return self.applied[-1].number if self.applied else 0


def parse(filename: str, sql: str) -> Migration:
    """Make a Migration of a file. Raises ValueError when it breaks the rules."""
    match = _NAME.match(filename)
    if not match:
        raise ValueError(f"{filename}: a migration is called NNNN_name.sql")
    head = []
    for line in sql.splitlines():
        if not line.startswith("--") and line.strip():
            break
        head.append(line.removeprefix("--").strip())
    transaction = "no-transaction" not in head
    body = "\n".join(line for line in sql.splitlines() if not line.strip().startswith("--"))
    if not transaction and body.count(";") > 1:
        raise ValueError(f"{filename}: without a transaction only one statement can be applied safely")
    checksum = hashlib.blake2b(sql.encode(), digest_size=16).digest()
    waits = next((int(found[1]) for line in head if (found := _WAITS.match(line))), 0)
    return Migration(int(match[1]), match[2], sql, checksum, "contract" in head, transaction, waits)


def load() -> list[Migration]:
    """The files of this version, in order, numbered from 1 without a hole."""
    folder = files("rookery.shared.db") / "migrations"
    found = sorted(
        parse(file.name, file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql")
    )
    if [one.number for one in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3 ...")
    return found


@cache
def newest() -> int:
    """The number of the last migration that this version knows."""
    return load()[-1].number


def compare(applied: Sequence[Applied], known: Sequence[Migration]) -> Status:
    """What is to be done. Raises SchemaError when an applied file is not the one that this version has."""
    numbers = {one.number: one for one in known}
    for row in applied:
        ours = numbers.get(row.number)
        if ours is not None and ours.checksum != row.checksum:
            raise SchemaError(
                f"migration {row.number:04}_{row.name} is not the file that was applied to this database: "
                f"this installation is damaged, or the database belongs to another one"
            )
    have = {row.number for row in applied}
    lacking = [one for one in known if one.number not in have]
    return Status(applied, [one for one in lacking if not one.waits], [one for one in lacking if one.waits])


def judge(status: Status, known: Sequence[Migration]) -> None:
    """Raise SchemaError unless this version can run on the schema: not older, and newer only by additions."""
    if status.pending:
        needed = max(one.number for one in known if not one.waits)
        raise SchemaError(
            f"the database is at migration {status.version:04}, this version needs {needed:04}: run `rookery migrate`"
        )
    newer = [row for row in status.applied if row.number > known[-1].number and row.contract]
    if newer:
        raise SchemaError(
            f"the database is too new: migration {newer[0].number:04}_{newer[0].name} removed what this version needs; upgrade it"
        )


async def status(db: Database) -> Status:
    """Compare the database with this version's files. Raises SchemaError, DatabaseUnavailable."""
    return compare(await db.run(0, _read), load())


async def check(db: Database) -> None:
    """Every process calls this once at its start. Raises SchemaError, DatabaseUnavailable."""
    known = load()
    judge(compare(await db.run(0, _read), known), known)


async def up(
    settings: config.Database,
    *,
    target: int | None = None,
    files: Sequence[Migration] | None = None,
    report: Callable[[str], None] = lambda _line: None,
) -> Status:
    """Apply what is missing, up to and including number `target`; `report` gets a line for each file.

    A file that waits for older processes to end is left for the next call while there are any. Safe to call from many processes at
    once. Needs a direct connection (no transaction-mode pooler). Each file that was applied stays so when a later one fails. Raises SchemaError, DatabaseUnavailable, or Postgres's error.
    """
    known = load() if files is None else files
    patient = msgspec.structs.replace(settings, statement_timeout=_STATEMENT_SECONDS, pool_max=1)

    async def work(conn: Connection) -> Status:
        for _ in range(_LOCK_TRIES):
            if await conn.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                break
            await conn.execute(_PAUSE)
        else:
            raise SchemaError(
                "another process has been migrating this database for a minute: try again later"
            )
        try:
            await conn.execute(_TABLE)
            lacking = compare(await _read(conn), known)
            for one in sorted([*lacking.pending, *lacking.waiting]):
                if target is not None and one.number > target:
                    continue
                if one.waits and (older := await conn.fetchval(_OLDER, one.waits)):
                    report(
                        f"{one.number:04}_{one.name} waits: {older} older processes run; migrate again when they have ended"
                    )
                    continue
                report(f"{one.number:04}_{one.name}")
                await _apply(conn, one)
            return compare(await _read(conn), known)
        finally:
            await conn.execute("SELECT pg_advisory_unlock($1)", _LOCK)

    async with open_database(patient) as db:
        return await db.run(0, work)


async def _read(conn: Connection) -> list[Applied]:
    if not await conn.fetchval("SELECT to_regclass('migration') IS NOT NULL"):
        return []
    rows: list[Any] = await conn.fetch(
        "SELECT number, name, checksum, contract FROM migration ORDER BY number"
    )
    return [Applied(*row) for row in rows]


async def _apply(conn: Connection, one: Migration) -> None:
    for attempt in range(_LOCK_TRIES):
        try:
            if one.transaction:
                async with conn.transaction():
                    await _run(conn, one)
                    await _record(conn, one)
            else:
                await _run(conn, one)
                await _record(conn, one)
        except asyncpg.LockNotAvailableError:
            # A long transaction holds the table. Let those pass that queued behind us, then try again.
            if attempt == _LOCK_TRIES - 1:
                raise
            await conn.execute(_PAUSE)
        else:
            return


async def _run(conn: Connection, one: Migration) -> None:
    """Run its statements; a file of comments alone has none, and asyncpg fails on a query without any."""
    if any(line.strip() and not line.startswith("--") for line in one.sql.splitlines()):
        await conn.execute(one.sql)


async def _record(conn: Connection, one: Migration) -> None:
    await conn.execute(
        "INSERT INTO migration (number, name, checksum, contract) VALUES ($1, $2, $3, $4)",
        one.number,
        one.name,
        one.checksum,
        one.contract,
    )
