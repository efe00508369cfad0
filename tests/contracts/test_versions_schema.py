"""Two adjacent versions on one schema (ADR-0006): what ran on each released state still runs on every later one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from tests.contracts.sql_statements import statements

from rookery.shared import config
from rookery.shared.db import migrate
from rookery.shared.db.api import Connection
from rookery.shared.db.bridge import open_database

#: `NNNN.sql` has the statements of the version that was released with migration NNNN.
RECORDED = {
    int(path.stem): path.read_text("utf-8").splitlines()
    for path in sorted((Path(__file__).parent / "statements").glob("*.sql"))
}
Columns = dict[tuple[str, str], tuple[str, bool, bool]]
LAST = migrate.load()[-1].number

_COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default IS NOT NULL OR is_identity = 'YES' AS filled
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'migration'"""
#: What refuses a row: checks, keys, foreign keys, unique indexes.
_RULES = """
SELECT conrelid::regclass::text || ': ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION SELECT pg_get_indexdef(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace"""


async def refused(settings: config.Database, wanted: list[str]) -> list[str]:
    """The statements that Postgres does not understand, with its reason."""

    async def work(conn: Connection) -> list[str]:
        bad = []
        for statement in wanted:
            try:
                await cast("Any", conn).prepare(statement)
            except Exception as exc:
                bad.append(f"{statement}: {exc}")
        return bad

    async with open_database(settings) as db:
        return await db.run(0, work)


async def shape(settings: config.Database) -> tuple[Columns, set[str]]:
    """Columns as (table, column) -> (type, nullable, filled by itself), and rules."""

    async def work(conn: Connection) -> tuple[Columns, set[str]]:
        columns = {
            (r[0], r[1]): (r[2], r[3] == "YES", r[4] or r[3] == "YES") for r in await conn.fetch(_COLUMNS)
        }
        return columns, {r[0] for r in await conn.fetch(_RULES)}

    async with open_database(settings) as db:
        return await db.run(0, work)


def removed_between(released: int, number: int) -> bool:
    """Whether a contract file after `released` was applied up to the state `number`."""
    return any(one.contract and released < one.number <= number for one in migrate.load())


async def test_every_statement_of_the_code_fits_the_schema(database_settings: config.Database) -> None:
    found = statements()
    assert len(found) > 50
    assert await refused(database_settings, found) == []


@pytest.mark.parametrize("released", sorted(RECORDED))
async def test_statements_of_released_versions_run_on_every_later_state(
    released: int, empty_database_url: str
) -> None:
    settings = config.Database(url=empty_database_url)
    assert len(RECORDED[released]) > 50
    for number in range(released, LAST + 1):
        await migrate.up(settings, target=number)
        if not removed_between(released, number):
            assert await refused(settings, RECORDED[released]) == [], f"on {number:04}"


async def test_each_migration_leaves_what_the_version_before_writes(empty_database_url: str) -> None:
    """Rows that the version before inserts, without new columns, are taken; what it reads is there and has its type."""
    settings = config.Database(url=empty_database_url)
    await migrate.up(settings, target=1)
    columns, rules = await shape(settings)
    for one in migrate.load()[1:]:
        await migrate.up(settings, target=one.number)
        later, later_rules = await shape(settings)
        if not one.contract:
            assert {key: later.get(key, ("",))[0] for key in columns} == {
                key: type_ for key, (type_, _, _) in columns.items()
            }
            tables = {table for table, _ in columns}
            added = {key: value for key, value in later.items() if key[0] in tables and key not in columns}
            assert all(filled for _, _, filled in added.values()), f"{one.name}: {added}"
            stricter = {
                rule for rule in later_rules - rules if any(f" ON public.{t} " in rule or rule.startswith(f"{t}: ") for t in tables)
            }  # fmt: skip
            # A column that is new and filled by itself refuses no row of the version before (Postgres 18 lists NOT NULL as a rule).
            assert stricter - {f"{t}: NOT NULL {column}" for t, column in added} == set(), one.name
        columns, rules = later, later_rules


async def test_a_check_that_cannot_fail_is_none(empty_database_url: str) -> None:
    """The two checks above see what breaks a version."""
    settings = config.Database(url=empty_database_url)
    bad = migrate.parse(
        f"{LAST + 1:04}_bad.sql",
        "ALTER TABLE account DROP COLUMN email; ALTER TABLE fence ADD COLUMN why text NOT NULL;"
        "ALTER TABLE domain ADD CHECK (name <> 'x');",
    )
    await migrate.up(settings)
    _, rules = await shape(settings)
    await migrate.up(settings, files=[*migrate.load(), bad])
    columns, later_rules = await shape(settings)
    assert columns["fence", "why"] == ("text", False, False)
    assert [rule for rule in later_rules - rules if rule.startswith("domain: CHECK")]
    assert any("email" in line for line in await refused(settings, statements()))
