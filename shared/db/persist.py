"""Units of work that wait for Postgres for as long as it takes."""

from __future__ import annotations

from typing import Final, TypeVar

import trio

from rookery.shared.db.api import Database, DatabaseUnavailable, UnitOfWork

_RETRY: Final = 0.2
T = TypeVar("T")


async def persist(db: Database, partition: int, work: UnitOfWork[T]) -> T:
    """Run `work`, again and again while the database is away. Raises what else it raises (Fenced among it)."""
    while True:
        try:
            return await db.run(partition, work)
        except DatabaseUnavailable:
            await trio.sleep(_RETRY)
