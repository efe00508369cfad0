"""Guests (XEP-0175): accounts that are made by a login without a name, and removed with all that they left when their session is over.

A session that may be resumed is one. Nothing has to be told of its end: every few seconds the holder of a partition compares its guests
with the sessions that the router has, so the death of any process leaves none behind.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import CheckLogin, Kind, ListSessions, LoginChecked, SessionList
from rookery.shared.bus.notices import account_changed
from rookery.shared.db.api import Connection, DatabaseUnavailable, Fenced
from rookery.shared.net.addresses import Nets
from rookery.shared.net.limits import Failures
from rookery.shared.xeps.anonymous import Options
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.workers.account import registration, store
from rookery.workers.account.logins.settings import Anonymous
from rookery.workers.hosted import HostedWorker

#: A guest that has no session so soon after its login may still be binding a resource; in seconds.
YOUNG: Final = 60
_CALL_MS: Final = 8000
_CALL_SECONDS: Final = 4.0
_PAGE: Final = 500
_HOUR: Final = 3600.0
#: Conditions of RFC 6120 section 6.5.
_FULL: Final = "temporary-auth-failure"
_COUNT: Final = "SELECT count(*) FROM (SELECT FROM account WHERE domain = $1 LIMIT $2) AS counted"
_GUESTS: Final = """
SELECT localpart || '@' || domain AS jid FROM account
WHERE domain = ANY($1::text[]) AND created < now() - make_interval(secs => $2) ORDER BY id LIMIT $3"""
#: Guests that one look considers; the rest are for the next one.
_MOST: Final = 100_000
_log = structlog.get_logger()


class Guests:
    """Lets guests in, and removes them."""

    def __init__(self, worker: HostedWorker) -> None:
        self._worker = worker
        self._exempt = Nets(worker.node.config.limits.exempt_nets)
        self._seconds = worker.node.config.options(Options).sweep_seconds
        self._came: dict[str, Failures] = {}
        self._settings: Mapping[str, Anonymous] = {}
        #: Who had no session when it was looked last.
        self._alone: set[str] = set()

    def learn(self, settings: Mapping[str, Anonymous]) -> None:
        """These domains have guests."""
        for domain in self._came.keys() - settings.keys():
            del self._came[domain]
        for domain, said in settings.items():
            if self._settings.get(domain) != said:
                self._came[domain] = Failures(said.per_hour, _HOUR)
        self._settings = settings

    async def enter(self, partition: int, request: CheckLogin) -> LoginChecked:
        """Make an account for a guest."""
        said = self._settings.get(request.domain)
        if said is None:
            return LoginChecked(failed=_FULL)
        now, worker, came = trio.current_time(), self._worker, self._came[request.domain]
        counted = bool(request.address) and request.address not in self._exempt
        if counted and came.blocked(request.address, now):
            return LoginChecked(failed=_FULL)
        localpart = str(uuid.uuid4())  # (XEP-0175 section 2 recommends one)

        async def work(conn: Connection) -> bool:
            if await conn.fetchval(_COUNT, request.domain, said.guests) >= said.guests:
                return False
            made = await store.create_account(
                conn, localpart, request.domain, [], "", worker.node.incarnation
            )
            return made is not None

        if not await worker.database(partition, work, int(time.time() * 1000) + _CALL_MS):
            return LoginChecked(failed=_FULL)
        if counted:
            came.add(request.address, now)
        account = f"{localpart}@{request.domain}"
        worker.tell(account_changed(account, "created"))
        worker.client_log("guest_came", account=account, address=request.address)
        return LoginChecked(account)

    # --- removal ---

    async def run(self) -> None:
        """Look for guests without a session until cancelled."""
        while True:
            await trio.sleep(self._seconds)
            try:
                await self.sweep()
            except Fenced:
                return  # the process stops
            except (DatabaseUnavailable, BusTimeout, StanzaError) as error:
                _log.debug("guests_not_looked_at", reason=str(error))
            except Exception:
                _log.exception("guests_failed")

    async def sweep(self) -> int:
        """Look once; returns how many were removed. Raises DatabaseUnavailable, Fenced, BusTimeout, StanzaError."""
        if not self._settings:
            return 0
        domains, node = list(self._settings), self._worker.node
        rows = await node.db.run(0, lambda conn: conn.fetch(_GUESTS, domains, YOUNG, _MOST))
        by_partition: dict[int, set[str]] = {}
        for row in rows:
            partition = node.partition(row["jid"])
            if node.epoch(Kind.ACCOUNT, partition) is not None:
                by_partition.setdefault(partition, set()).add(row["jid"])
        alone: set[str] = set()
        for partition, guests in by_partition.items():
            for domain in {guest.rpartition("@")[2] for guest in guests}:
                guests -= await self._here(partition, domain)
            alone |= guests
        twice, self._alone = alone & self._alone, alone
        return await self._remove(twice)

    async def _here(self, partition: int, domain: str) -> set[str]:
        """Accounts with a session, as far as the router has them in memory."""
        found: set[str] = set()
        after = ""
        while True:
            answer = await self._ask(partition, ListSessions("", domain, after, _PAGE))
            found.update(bare_of(row[0]) for row in answer.rows)
            if len(answer.rows) < _PAGE:
                return found
            after = answer.rows[-1][0]

    async def _ask(self, partition: int, question: ListSessions) -> SessionList:
        answer = await self._worker.node.bus.call(Kind.ROUTER, partition, question, timeout=_CALL_SECONDS)
        assert isinstance(answer, SessionList)
        return answer

    async def _remove(self, accounts: Iterable[str]) -> int:
        worker, gone = self._worker, 0
        for account in accounts:
            partition = worker.node.partition(account)
            # The router reads what it has of this account, streams that sleep included.
            if (await self._ask(partition, ListSessions(account, "", "", 0))).total:
                continue
            localpart, _, domain = account.partition("@")
            work = partial(
                store.delete_account, localpart=localpart, domain=domain, incarnation=worker.node.incarnation
            )
            removed = await worker.database(partition, work, int(time.time() * 1000) + _CALL_MS)
            worker.client_log("guest_gone", account=account)
            registration.removed(worker, account, removed)
            gone += 1
        return gone
