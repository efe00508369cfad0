"""Connections to Postgres and the units of work that wait for one. Everything here runs on asyncio, in the database thread.

A connection is served by one task that takes work from a common queue; there is no acquire, no release and no reset between
units of work, so a unit must leave its session as it found it (it may not SET anything outside a transaction).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import asyncpg

from rookery.shared import config
from rookery.shared.db.api import DatabaseUnavailable, UnitOfWork
from rookery.shared.db.errors import AGAIN, connect_failed, translate

CONNECT_SECONDS: Final = 5.0
#: How long a statement may take beyond statement_timeout before the connection counts as dead (a cut cable says nothing).
GRACE_SECONDS: Final = 2.0
IDLE_IN_TRANSACTION: Final = 10.0
#: A connection beyond the first that had nothing to do for so long is closed.
SPARE_SECONDS: Final = 60.0
ATTEMPTS: Final = 3
_BACKOFF: Final = (0.05, 0.5)


class Job:
    """One unit of work on its way: `task` waits for it, None once it gave up."""

    __slots__ = ("cancelled", "error", "server", "task", "value", "work")

    def __init__(self, work: UnitOfWork[Any], task: Any) -> None:
        self.work = work
        self.task = task
        self.cancelled = False
        self.value: Any = None
        self.error: Exception | None = None
        self.server: _Server | None = None


class Pool:
    """Runs jobs on at most `pool_max` connections; `finished` is called, in this thread, with each job that is over."""

    def __init__(self, settings: config.Database, finished: Callable[[Job], None]) -> None:
        self.finished = finished
        self.healthy = True
        self.waiting: deque[Job] = deque()
        self._settings = settings
        #: For connections that are opened from now on; set by any thread.
        self.password = settings.password
        self._servers: set[_Server] = set()
        self._idle: list[_Server] = []
        self.closing = False
        self._backoff = 0.0
        self._try_at = 0.0
        self._reaper: asyncio.TimerHandle | None = None

    def submit(self, job: Job) -> None:
        """Run the job when a connection is free; the connection used last is taken first, so spare ones fall idle."""
        self.waiting.append(job)
        if self._idle:
            self._idle.pop().wake()
        elif len(self._servers) < self._settings.pool_max:
            self._servers.add(_Server(self))

    def cancel(self, job: Job) -> None:
        """Nobody waits for this job any more: stop it if it runs (its statement is cancelled at the server too)."""
        job.cancelled = True
        if job.server is not None:
            job.server.interrupt(job)

    def park(self, server: _Server) -> None:
        """`server` has nothing to do."""
        self._idle.append(server)
        if self._reaper is None and len(self._servers) > 1:
            self._reaper = asyncio.get_running_loop().call_later(SPARE_SECONDS, self._reap)

    def _reap(self) -> None:
        self._reaper = None
        limit = asyncio.get_running_loop().time() - SPARE_SECONDS
        # The first in the list fell idle before all others; one connection is kept warm.
        while len(self._idle) > 1 and self._idle[0].idle_since <= limit:
            server = self._idle.pop(0)
            self._servers.discard(server)
            server.task.cancel()
        if len(self._idle) > 1:
            self._reaper = asyncio.get_running_loop().call_later(SPARE_SECONDS, self._reap)

    async def connect(self) -> asyncpg.Connection[Any]:
        """Open a connection, no sooner than the back-off allows. Raises DatabaseUnavailable, to all who wait."""
        loop = asyncio.get_running_loop()
        delay = self._try_at - loop.time()
        if delay > 0:
            await asyncio.sleep(delay)
        settings = self._settings
        try:
            connection = await asyncpg.connect(
                settings.url,
                password=self.password or None,
                timeout=CONNECT_SECONDS,
                command_timeout=settings.statement_timeout + GRACE_SECONDS,
                statement_cache_size=settings.statement_cache,
                server_settings=session_settings(settings),
            )
        except Exception as exc:
            self.healthy = False
            self._backoff = min(max(self._backoff * 2, _BACKOFF[0]), _BACKOFF[1])
            self._try_at = loop.time() + self._backoff * random.uniform(0.5, 1.0)
            while self.waiting:
                self.fail(self.waiting.popleft(), connect_failed(exc, settings.url))
            raise connect_failed(exc, settings.url) from None
        self._backoff = 0.0
        return connection

    def fail(self, job: Job, error: Exception) -> None:
        """The job is over, with an error."""
        job.error = error
        self.finished(job)

    async def close(self) -> None:
        """Fail what waits, interrupt what runs, close every connection."""
        self.closing = True
        if self._reaper is not None:
            self._reaper.cancel()
        while self.waiting:
            self.fail(self.waiting.popleft(), DatabaseUnavailable("the database is being closed"))
        tasks = [server.task for server in self._servers]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CONNECT_SECONDS)


class _Server:
    """One connection and the task that serves jobs on it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: asyncpg.Connection[Any] | None = None
        self._turn: asyncio.Future[None] | None = None
        #: The job whose work runs just now; it may be over for its caller while this server is at the next one.
        self._job: Job | None = None
        self.idle_since = 0.0
        self.task = asyncio.get_running_loop().create_task(self._serve())

    def wake(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def interrupt(self, job: Job) -> None:
        if self._job is job:
            self.task.cancel()

    async def _serve(self) -> None:
        pool, loop = self._pool, asyncio.get_running_loop()
        try:
            while True:
                while not pool.waiting:
                    self._turn = loop.create_future()
                    self.idle_since = loop.time()
                    pool.park(self)
                    await self._turn
                job = pool.waiting.popleft()
                if not job.cancelled:
                    await self._handle(job)
        finally:
            await self._disconnect()

    async def _handle(self, job: Job) -> None:
        pool = self._pool
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await pool.connect()
            if job.cancelled:
                return
            job.value = await self._work(self._connection, job)
            pool.healthy = True
        except asyncio.CancelledError:
            if not job.cancelled:
                pool.fail(job, DatabaseUnavailable("interrupted: the database is being closed"))
            if pool.closing:
                raise
            self.task.uncancel()
            await self._quiet()
            return
        except Exception as exc:
            closed = self._connection is None or self._connection.is_closed()
            job.error = translate(exc, closed=closed)
            pool.healthy = not isinstance(job.error, DatabaseUnavailable)
            self._drop_unless_clean()
        pool.finished(job)

    async def _work(self, connection: asyncpg.Connection[Any], job: Job) -> object:
        job.server = self
        self._job = job
        try:
            for _ in range(ATTEMPTS - 1):
                try:
                    return self._checked(connection, await job.work(connection))
                except AGAIN:
                    if connection.is_in_transaction():
                        raise
            return self._checked(connection, await job.work(connection))
        finally:
            self._job = None

    @staticmethod
    def _checked(connection: asyncpg.Connection[Any], value: object) -> object:
        if connection.is_in_transaction():
            raise RuntimeError("a unit of work left its transaction open")
        return value

    def _drop_unless_clean(self) -> None:
        connection = self._connection
        if connection is not None and (connection.is_closed() or connection.is_in_transaction()):
            connection.terminate()
            self._connection = None

    async def _quiet(self) -> None:
        """Wait until a cancelled statement is over: asyncpg breaks when the wait for that is itself cancelled."""
        self._drop_unless_clean()
        if self._connection is not None:
            try:
                await self._connection.execute("SELECT 1", timeout=GRACE_SECONDS)
            except Exception:
                self._connection.terminate()
                self._connection = None

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None or connection.is_closed():
            return
        try:
            await connection.close(timeout=1.0)
        except Exception:
            connection.terminate()


def session_settings(settings: config.Database) -> dict[str, str]:
    """What every session sets. Behind a transaction-mode pooler (no statement cache) the database's own role must set it."""
    if not settings.statement_cache:
        return {"application_name": "rookery"}
    return {
        "application_name": "rookery",
        "statement_timeout": str(int(settings.statement_timeout * 1000)),
        "lock_timeout": str(int(settings.lock_timeout * 1000)),
        "idle_in_transaction_session_timeout": str(int(IDLE_IN_TRANSACTION * 1000)),
        "jit": "off",
    }
