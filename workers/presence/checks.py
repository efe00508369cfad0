"""May this probe be answered? Postgres is asked for many at a time: a login asks for every contact at once.

Probes of an account whose subscriptions are known need none of this. Of an account that nobody has used lately only one item of the roster is read,
not all that a broadcast would need.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol, TypeVar

import trio

from rookery.shared.db.api import Fenced, UnitOfWork
from rookery.workers.presence import store
from rookery.workers.presence.rules import Relation

T = TypeVar("T")
#: Probes in one statement.
MAX_CHECKS: Final = 2000


class RunsWork(Protocol):
    """How to reach Postgres: again and again while it is away."""

    def __call__(self, partition: int, work: UnitOfWork[T]) -> Awaitable[T]:
        """Run a unit of work. Raises Fenced."""


class _Check:
    __slots__ = ("account", "asker", "done", "partition", "relation")

    def __init__(self, partition: int, account: str, asker: str) -> None:
        self.partition = partition
        self.account = account
        self.asker = asker
        self.relation: Relation | None = None
        self.done = trio.Event()


class Checks:
    """Collects what is asked while a statement runs: a storm of probes is a few statements, a lone one does not wait."""

    def __init__(self, database: RunsWork) -> None:
        self._database = database
        self._waiting: deque[_Check] = deque()
        self._some = trio.Event()

    async def ask(self, partition: int, account: str, asker: str) -> Relation:
        """How the account (of that partition) stands to the bare JID `asker`."""
        check = _Check(partition, account, asker)
        self._waiting.append(check)
        self._some.set()
        await check.done.wait()
        assert check.relation is not None
        return check.relation

    async def run(self) -> None:
        """Answer until cancelled, or until this process may not go on."""
        while True:
            await self._some.wait()
            self._some = trio.Event()
            # Whatever the same turn of the loop asks belongs to the same statement.
            await trio.lowlevel.checkpoint()
            while self._waiting:
                checks = [self._waiting.popleft() for _ in range(min(MAX_CHECKS, len(self._waiting)))]
                try:
                    await self._answer(checks)
                except Fenced:
                    return

    async def _answer(self, checks: Sequence[_Check]) -> None:
        pairs = [(check.account, check.asker) for check in checks]
        relations = await self._database(checks[0].partition, lambda conn: store.relations(conn, pairs))
        for check, relation in zip(checks, relations, strict=True):
            check.relation = relation
            check.done.set()
