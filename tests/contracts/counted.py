"""A database that counts its statements."""

from __future__ import annotations

from rookery.shared.db.api import Connection, Database, T, UnitOfWork


class Counted:
    """Hands everything on."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.statements = 0

    @property
    def healthy(self) -> bool:
        """As the other database."""
        return self._db.healthy

    async def run(self, partition: int, work: UnitOfWork[T], *, op: str = "") -> T:
        """Run and count."""

        async def counting(conn: Connection) -> T:
            return await work(_Connection(conn, self))  # type: ignore[arg-type]

        return await self._db.run(partition, counting, op=op)


class _Connection:
    def __init__(self, conn: Connection, counted: Counted) -> None:
        self._conn = conn
        self._counted = counted

    def __getattr__(self, name: str) -> object:
        self._counted.statements += name in ("fetch", "fetchrow", "fetchval", "execute")
        return getattr(self._conn, name)
