"""The database as services see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Connection(Protocol):
    """The part of an asyncpg connection that a unit of work may use."""

    async def fetch(self, query: str, *args: object) -> list[Any]:
        """All rows."""

    async def fetchrow(self, query: str, *args: object) -> Any:
        """The first row, or None."""

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first value of the first row, or None."""

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement; returns the command tag."""

    def transaction(self) -> Any:
        """An asynchronous context manager."""


#: Runs in the database thread, on asyncio: it may await only the connection.
UnitOfWork = Callable[[Connection], Awaitable[T]]


class DatabaseUnavailable(Exception):  # noqa: N818  says what happened
    """Postgres cannot be reached or does not answer in time; the outcome of a write is unknown."""


class Fenced(Exception):  # noqa: N818  says what happened
    """This process may not write any more: its fence row is closed. It must stop holding partitions at once."""


class Database(Protocol):
    """Runs units of work; each is one crossing into the database thread."""

    async def run(self, partition: int, work: UnitOfWork[T], *, op: str = "") -> T:
        """Run `work` on a pooled connection of the database that holds `partition`; a name in `op` has its time measured.

        Raises DatabaseUnavailable, Fenced, or what `work` raises. A write that lost its connection has an unknown outcome:
        writes must be idempotent, and the caller repeats them.
        """

    @property
    def healthy(self) -> bool:
        """Whether the last unit of work reached Postgres."""


#: Put before every write of a holder: the statement does nothing once the writer's fence row ($1) is closed. FOR SHARE makes
#: a takeover, which updates that row, wait for the statement, so nothing of the old holder appears after it.
FENCE = "WITH fence_ok AS MATERIALIZED (SELECT 1 FROM fence WHERE incarnation = $1 AND open FOR SHARE)"
