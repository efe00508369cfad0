"""Time of a simulated cluster: a hundred processes on one core, as if each had its own.

`ElasticClock` goes only while nothing wants to run: what the one core computes takes no time, waiting for Postgres and sleeping take theirs. So a
process is never late because another one computed. `simulate_database` lets Postgres' `now()` follow it, since leases live by that.
"""

from __future__ import annotations

import time
from typing import Any, Final

import trio

from rookery.shared.db.api import Connection, Database

#: A round of the loop in which others want to run takes so long, in seconds: whoever waits in a circle for a time to come gets there.
ROUND: Final = 20e-6
#: Seconds between two looks of Postgres at the clock.
TICK: Final = 0.1

_SCHEMA: Final = (
    "CREATE SCHEMA simulated",
    "CREATE SEQUENCE simulated.clock",
    "CREATE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql STABLE AS "
    "$$ SELECT timestamptz '2030-01-01' + last_value * interval '1 millisecond' FROM simulated.clock $$",
)


class ElasticClock(trio.abc.Clock, trio.abc.Instrument):
    """Give it to `trio.run` as the clock and as an instrument."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._waits_since: float | None = None

    def start_clock(self) -> None:
        """It goes while something is waited for."""

    def current_time(self) -> float:
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return deadline - self._now

    def before_io_wait(self, timeout: float) -> None:
        self._waits_since = time.perf_counter() if timeout > 0 else None

    def after_io_wait(self, timeout: float) -> None:
        # Whoever sleeps is woken at its time: that this machine had other work to do is not told.
        waited = ROUND if self._waits_since is None else time.perf_counter() - self._waits_since
        self._now += max(ROUND, min(waited, timeout if timeout > 0 else ROUND))


async def simulate_database(db: Database, name: str) -> None:
    """Let new connections to the database `name` take `simulated.now()` for `now()`. Call it before there is anything in it."""

    async def make(conn: Connection) -> None:
        for statement in _SCHEMA:
            await conn.execute(statement)
        await conn.execute(f'ALTER DATABASE "{name}" SET search_path = public, simulated, pg_catalog')

    await db.run(0, make)


async def tell_time(db: Database) -> None:
    """Tell Postgres the time, until cancelled."""

    while True:
        now = round(trio.current_time() * 1000)

        async def tell(conn: Connection, now: int = now) -> Any:
            await conn.execute("SELECT setval('simulated.clock', $1)", now)

        await db.run(0, tell)
        await trio.sleep(TICK)
