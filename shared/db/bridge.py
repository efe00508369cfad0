"""Postgres for trio: asyncpg on uvloop, in one thread of its own. The only place where asyncio runs (ADR 0001).

Each unit of work crosses twice. Both ways are queues with one wake-up for a burst: whoever finds the other side already
woken only appends.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import outcome
import trio
import uvloop

from rookery.shared import config
from rookery.shared.db.api import DatabaseUnavailable, UnitOfWork
from rookery.shared.db.pool import Job, Pool
from rookery.shared.observe.metrics import DB_HEALTHY, DB_SECONDS

T = TypeVar("T")
_CLOSE_SECONDS: Final = 8.0


class Bridge:
    """A `Database` for the trio thread that made it; see `open_database`."""

    def __init__(self, settings: config.Database) -> None:
        self._settings = settings
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.Thread(target=self._main, name="database", daemon=True)
        self._started = threading.Event()
        self._over = trio.Event()
        self._open = True
        # trio -> thread: jobs, and again the job that was cancelled.
        self._inbox: deque[Job] = deque()
        self._inbox_woken = False
        # thread -> trio
        self._outbox: deque[Job] = deque()
        self._outbox_woken = False
        self._loop: asyncio.AbstractEventLoop
        self._pool: Pool
        self._closing: asyncio.Event
        self._thread.start()
        self._started.wait()

    # --- the trio side ------------------------------------------------------------------------------------------------

    async def run(self, partition: int, work: UnitOfWork[T], *, op: str = "") -> T:
        """See `api.Database.run`; every partition is in the one database.

        A caller that is cancelled does not wait: its statement is cancelled too, or, when too late, committed.
        """
        if not self._open:
            raise DatabaseUnavailable("the database is closed")
        job = Job(work, trio.lowlevel.current_task())
        self._send(job)

        def abort(_raise_cancel: Any) -> trio.lowlevel.Abort:
            job.task = None
            self._send(job)
            return trio.lowlevel.Abort.SUCCEEDED

        started = trio.current_time()
        try:
            value: T = await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            if op:
                DB_SECONDS.labels(op).observe(trio.current_time() - started)
        return value

    def renew(self, password: str) -> None:
        """Connections that are opened from now on show this password; those that are open stay."""
        self._pool.password = password

    @property
    def healthy(self) -> bool:
        """Whether the last unit of work reached Postgres."""
        return self._pool.healthy

    def _send(self, job: Job) -> None:
        self._inbox.append(job)
        if not self._inbox_woken:
            self._inbox_woken = True
            try:
                self._loop.call_soon_threadsafe(self._receive)
            except RuntimeError:  # the loop is closed: whoever waits was told
                pass

    def _deliver(self) -> None:
        self._outbox_woken = False
        outbox = self._outbox
        while outbox:
            job = outbox.popleft()
            task, job.task = job.task, None
            if task is None:
                continue
            trio.lowlevel.reschedule(
                task, outcome.Value(job.value) if job.error is None else outcome.Error(job.error)
            )

    async def aclose(self) -> None:
        """Interrupt what runs, close every connection, end the thread."""
        if not self._open:
            return
        self._open = False
        try:
            self._loop.call_soon_threadsafe(self._closing.set)
        except RuntimeError:
            return
        with trio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self._over.wait()
            self._thread.join(1.0)

    # --- the database thread ------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        finally:
            self._tell(self._over.set)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(self._settings, self._finished)
        self._closing = asyncio.Event()
        self._started.set()
        await self._closing.wait()
        self._receive()
        await self._pool.close()

    def _receive(self) -> None:
        self._inbox_woken = False
        inbox, pool = self._inbox, self._pool
        while inbox:
            job = inbox.popleft()
            if job.task is None:
                pool.cancel(job)
            else:
                pool.submit(job)

    def _finished(self, job: Job) -> None:
        self._outbox.append(job)
        if not self._outbox_woken:
            self._outbox_woken = True
            self._tell(self._deliver)

    def _tell(self, call: Any) -> None:
        try:
            self._token.run_sync_soon(call, idempotent=True)
        except trio.RunFinishedError:
            pass


@asynccontextmanager
async def open_database(settings: config.Database) -> AsyncIterator[Bridge]:
    """Open the database that `settings` names. Connects with the first unit of work, and again for ever when it is away."""
    bridge = Bridge(settings)
    DB_HEALTHY.sample(lambda: float(bridge.healthy))
    try:
        yield bridge
    finally:
        await bridge.aclose()
