"""Reads of one kind that come together are one statement: each wait for Postgres costs more than the row that it is for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar, cast

import trio

from rookery.shared.db.api import Connection, Fenced
from rookery.workers.hosted import DeadlineError, HostedWorker

K = TypeVar("K")
V = TypeVar("V")
#: What one statement asks for at most.
MOST: Final = 100
#: Partition of the lane that asks: it is none that could be given away.
_NONE: Final = -1


class _Asked(Generic[K, V]):
    __slots__ = ("deadline", "error", "event", "key", "value")

    def __init__(self, key: K, deadline: int) -> None:
        self.key = key
        self.deadline = deadline
        self.event = trio.Event()
        self.value: V | None = None
        self.error: Exception | None = None


class Together(Generic[K, V]):
    """`read` gives what is found for each of several keys, in their order. What comes while a statement runs is in the next one."""

    def __init__(
        self,
        worker: HostedWorker,
        name: str,
        read: Callable[[Connection, Sequence[K]], Awaitable[Sequence[V]]],
    ) -> None:
        self._worker = worker
        self._name = name
        self._read = read
        self._waiting: list[_Asked[K, V]] = []
        self._running = False

    async def ask(self, key: K, deadline: int) -> V:
        """What `read` finds for a key; waits while Postgres is away, till `deadline` (Unix milliseconds).

        Raises DeadlineError, Fenced, or what `read` raises for this key alone.
        """
        asked: _Asked[K, V] = _Asked(key, deadline)
        self._waiting.append(asked)
        if not self._running:
            self._running = True
            self._worker.lanes.submit(_NONE, self._name, self._run)
        await asked.event.wait()
        if asked.error is not None:
            raise asked.error
        return cast("V", asked.value)

    async def _run(self) -> None:
        try:
            while self._waiting:
                await trio.lowlevel.checkpoint()  # what else comes in this turn
                some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._serve(some)
        finally:
            self._running = False

    async def _serve(self, some: list[_Asked[K, V]]) -> None:
        keys = [asked.key for asked in some]
        try:
            found = await self._worker.database(
                0, lambda conn: self._read(conn, keys), max(asked.deadline for asked in some)
            )
        except Exception as error:
            if len(some) > 1 and not isinstance(error, (DeadlineError, Fenced)):
                # One that Postgres will not take costs only itself.
                for asked in some:
                    await self._serve([asked])
                return
            for asked in some:
                asked.error = error
        else:
            for asked, value in zip(some, found, strict=True):
                asked.value = value
        for asked in some:
            asked.event.set()
