"""When accounts were last here (XEP-0012): collected, and written for many accounts at once.

One commit for each logout would cost more than all else that a logout does. What is collected is lost when this process is killed:
an account then seems to have left when it did the time before.
"""

from __future__ import annotations

from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import LastSeen
from rookery.shared.db.api import Fenced
from rookery.workers.account import userdata
from rookery.workers.hosted import HostedWorker

#: How many are written at once.
MAX_ROWS: Final = 1000
_log = structlog.get_logger()


class Seen:
    """What is not written yet, the newest of each account; collected for `seconds`."""

    def __init__(self, worker: HostedWorker, seconds: float) -> None:
        self._seconds = seconds
        self._worker = worker
        self._pending: dict[str, tuple[int, LastSeen]] = {}
        self._arrived = trio.Event()
        self._lock = trio.Lock()

    def note(self, partition: int, item: LastSeen) -> None:
        """The last available resource of an account went away."""
        known = self._pending.get(item.account)
        if known is None or known[1].at <= item.at:
            self._pending[item.account] = (partition, item)
        if len(self._pending) == 1:
            self._arrived.set()

    async def run(self) -> None:
        """Write what was collected, again and again, until cancelled."""
        while True:
            await self._arrived.wait()
            await trio.sleep(self._seconds)
            try:
                await self.write()
            except Fenced:
                return  # the process stops
            except Exception:
                _log.exception("last_seen_failed")

    async def write(self) -> None:
        """Write what has been noted before now. Raises Fenced."""
        async with self._lock:
            while self._pending:
                accounts = list(self._pending)[:MAX_ROWS]
                batch = [self._pending.pop(account)[1] for account in accounts]
                if not self._pending:
                    self._arrived = trio.Event()
                incarnation = self._worker.node.incarnation
                await self._worker.database(0, lambda conn: userdata.set_last(conn, incarnation, batch))  # noqa: B023

    def drop(self, partition: int) -> None:
        """The partition is another process's now."""
        for account in [account for account, (number, _) in self._pending.items() if number == partition]:
            del self._pending[account]
        if not self._pending:
            self._arrived = trio.Event()
