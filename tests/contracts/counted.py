"""A database that counts its statements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import trio

from rookery.shared.db.api import Connection, Database, T, UnitOfWork


class Counted:
    """Hands everything on."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.statements = 0
        #: Each of them.
        self.texts: list[str] = []
        self._by: Counter[trio.lowlevel.Task] = Counter()

    @property
    def healthy(self) -> bool:
        """As the other database."""
        return self._db.healthy

    @property
    def mine(self) -> int:
        """Statements that the task which asks has made: without those of services that still start beside it."""
        return self._by[trio.lowlevel.current_task()]

    async def run(self, partition: int, work: UnitOfWork[T], *, op: str = "") -> T:
        """Run and count."""
        task = trio.lowlevel.current_task()

        def count(text: str) -> None:
            self.statements += 1
            self.texts.append(text)
            self._by[task] += 1

        async def counting(conn: Connection) -> T:
            return await work(_Connection(conn, count))  # type: ignore[arg-type]

        return await self._db.run(partition, counting, op=op)


class _Connection:
    def __init__(self, conn: Connection, count: Callable[[str], None]) -> None:
        self._conn = conn
        self._count = count

    def __getattr__(self, name: str) -> object:
        found = getattr(self._conn, name)
        if name not in ("fetch", "fetchrow", "fetchval", "execute"):
            return found

        def counted(text: str, *args: object) -> object:
            self._count(text)
            return found(text, *args)

        return counted
