"""The clients that are notified, of the accounts of all held partitions: what they miss, notifications and their answers.

What is due is in Postgres before it goes out, and until it is answered: a notification is sent again by whoever has the partition next.
An account is in memory from the first message that a client misses until all is told.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from functools import partial
from heapq import heappop, heappush
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import AccountChanged, Kind, Missed, NoLongerAway, Notified
from rookery.shared.xeps import push
from rookery.workers.hosted import HostedWorker
from rookery.workers.pubsub.push import rows
from rookery.workers.pubsub.push.client import Client, Outcome

_log = structlog.get_logger()
#: No answer in time.
_TIMEOUT: Final = ("wait", "remote-server-timeout")
#: An account with nothing due is remembered for so long, so that its next notification keeps its distance.
_REMEMBER_SECONDS: Final = 60.0


class _Known:
    """The clients of one account."""

    __slots__ = ("clients", "partition", "until")

    def __init__(self, partition: int, clients: list[Client]) -> None:
        self.partition = partition
        self.clients = clients
        self.until = 0.0


class Pushes:
    """Handles Missed, NoLongerAway and Notified. All of an account runs in its lane."""

    def __init__(self, worker: HostedWorker) -> None:
        self._worker = worker
        self._options = worker.node.config.options(push.Options)
        self._known: dict[str, _Known] = {}
        #: When to look at accounts, the next one first.
        self._looks: list[tuple[float, str]] = []
        self._wake = trio.Event()

    # --- requests ----------------------------------------------------------------------------------------------------

    def changed(self, account: str) -> None:
        """Rows were added or removed: read them again, and let the account's router do the same."""
        self._known.pop(account, None)
        self._tell_router(account)

    def _tell_router(self, account: str) -> None:
        node = self._worker.node
        node.bus.post(Kind.ROUTER, node.partition(account), AccountChanged(account, "push"))

    # --- what is missed ----------------------------------------------------------------------------------------------

    def on_missed(self, partition: int, item: Missed) -> None:
        """Clients were not there for messages."""
        self._worker.job(partition, item.account, partial(self._missed, partition, item))

    async def _missed(self, partition: int, item: Missed) -> None:
        known = await self._clients(partition, item.account)
        now = trio.current_time()
        wanted = [one for one in known.clients if one.resource in item.resources]
        became_due = [one for one in wanted if one.miss(item, now, self._options)]
        await self._write(known, item.account, became_due)
        self._look(item.account, known)

    def on_back(self, partition: int, item: NoLongerAway) -> None:
        """A client is there again."""
        self._worker.job(partition, item.account, partial(self._back, partition, item))

    async def _back(self, partition: int, item: NoLongerAway) -> None:
        known = await self._clients(partition, item.account)
        changed = [one for one in known.clients if one.resource == item.resource and one.back()]
        await self._write(known, item.account, changed)
        self._look(item.account, known)

    async def _clients(self, partition: int, account: str) -> _Known:
        known = self._known.get(account)
        if known is None:
            found = await self._worker.database(partition, lambda conn: rows.read(conn, account))
            known = self._known[account] = _Known(partition, found)
            for one in found:
                if one.due:
                    one.resume(trio.current_time(), self._options)
        return known

    async def _write(self, known: _Known, account: str, clients: Iterable[Client]) -> None:
        clients = list(clients)
        if clients:
            incarnation = self._worker.node.incarnation
            await self._worker.database(
                known.partition, lambda conn: rows.write(conn, incarnation, account, clients)
            )

    # --- notifications -----------------------------------------------------------------------------------------------

    def _look(self, account: str, known: _Known) -> None:
        """Come back when something of this account is due, or to forget it."""
        now = trio.current_time()
        at = min((one.next for one in known.clients), default=float("inf"))
        if at == known.until or (at == float("inf") and known.until > now):
            return  # so it is looked at anyway
        known.until = now + _REMEMBER_SECONDS if at == float("inf") else at
        heappush(self._looks, (known.until, account))
        if self._looks[0][0] == known.until:
            self._wake.set()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        while True:
            now = trio.current_time()
            while self._looks and self._looks[0][0] <= now:
                at, account = heappop(self._looks)
                known = self._known.get(account)
                if known is not None and known.until <= at:
                    self._worker.job(known.partition, account, partial(self._due, account))
            self._wake = trio.Event()
            with trio.move_on_at(self._looks[0][0] if self._looks else float("inf")):
                await self._wake.wait()

    async def _due(self, account: str) -> None:
        known = self._known.get(account)
        if known is None:
            return
        now = trio.current_time()
        known.until = 0.0
        if all(one.next == float("inf") for one in known.clients):
            del self._known[account]
            return
        for one in list(known.clients):
            if one.next > now:
                continue
            if one.id:
                await self._settle(account, known, one, _TIMEOUT)
            else:
                id = push.ASKS + secrets.token_urlsafe(12)
                self._worker.route(push.notification(account, one.app, id, one.send(id, now)))
        self._look(account, known)

    def on_notified(self, partition: int, item: Notified) -> None:
        """An app server has answered."""
        self._worker.job(partition, item.account, partial(self._notified, item))

    async def _notified(self, item: Notified) -> None:
        known = self._known.get(item.account)
        if known is None:
            return
        for one in known.clients:
            if one.id and one.id == item.id and one.app.service == item.service:
                error = (item.error[0], item.error[1]) if item.error else None
                await self._settle(item.account, known, one, error)
                self._look(item.account, known)
                return

    async def _settle(self, account: str, known: _Known, one: Client, error: tuple[str, str] | None) -> None:
        match one.answered(error, trio.current_time(), self._options):
            case Outcome.OVER:
                known.clients.remove(one)
                incarnation, app = self._worker.node.incarnation, one.app
                _log.info("push_disabled", account=account, service=app.service, error=error and error[1])
                await self._worker.database(
                    known.partition,
                    lambda conn: rows.disable(conn, incarnation, account, app.service, app.node),
                )
                self._tell_router(account)
            case Outcome.AGAIN | Outcome.DONE:
                await self._write(known, account, (one,))

    # --- partitions --------------------------------------------------------------------------------------------------

    async def acquire(self, partition: int) -> None:
        """Go on with what a former process had not done."""
        accounts = await self._worker.database(partition, lambda conn: rows.due(conn, partition))
        for account in accounts:
            self._worker.job(partition, account, partial(self._go_on, partition, account))

    async def _go_on(self, partition: int, account: str) -> None:
        self._look(account, await self._clients(partition, account))

    def forget(self, partition: int) -> None:
        """The partition is another process's now."""
        gone: Sequence[str] = [name for name, one in self._known.items() if one.partition == partition]
        for account in gone:
            del self._known[account]
