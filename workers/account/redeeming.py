"""Answers edges about login tokens (XEP-0484): checks proofs, hands out tokens, and forgets those that have expired."""

from __future__ import annotations

import random
import time
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import IssueToken, LoginToken, Redeem
from rookery.shared.db.api import Connection, DatabaseUnavailable
from rookery.shared.db.secrets import shared_secrets
from rookery.shared.xeps import fast
from rookery.shared.xmpp.jid import Jid
from rookery.workers.account import token_store, tokens
from rookery.workers.account.logins.checking import Logins
from rookery.workers.account.token_store import Next, Used
from rookery.workers.account.tokens import Kept, Seal
from rookery.workers.hosted import HostedWorker

_RETRY: Final = 0.5
#: Expired tokens are looked for about once in so many seconds, and so many are deleted by one statement.
_SWEEP_SECONDS: Final = 3600.0
_SWEEP_ROWS: Final = 5000
#: A call waits for Postgres no longer than this; its caller gives up soon after.
_CALL_MS: Final = 8000
_log = structlog.get_logger()


class Tokens:
    """The tokens of the accounts of one process."""

    def __init__(self, worker: HostedWorker, logins: Logins) -> None:
        self._worker = worker
        self._logins = logins
        self._options = worker.node.config.options(fast.Options)
        self._seal: Seal | None = None

    async def run(self) -> None:
        """Delete what has expired, until cancelled."""
        while True:
            await trio.sleep(_SWEEP_SECONDS * random.uniform(0.5, 1.5))
            try:
                await self._worker.node.db.run(
                    0, lambda conn: token_store.expire(conn, _SWEEP_ROWS), op="tokens"
                )
            except DatabaseUnavailable:
                continue

    async def redeem(self, partition: int, request: Redeem) -> LoginToken:
        """Check a proof. One statement, and a second one when a token is used for the first time, is due, counted or ended."""
        account, seal = Jid.trusted(request.account), await self._sealed()
        rotate = self._options.rotate_hours * 3600
        local, domain = account.local or "", account.domain

        async def work(conn: Connection) -> list[Kept]:
            return await token_store.read(conn, local, domain, request.agent, rotate)

        if not self._options.enabled:
            return LoginToken(failed="credentials-expired")
        kept = await self._worker.database(partition, work, _deadline())
        verdict = tokens.judge(seal, kept, request)
        if verdict.failed or verdict.kept is None:
            return LoginToken(failed=verdict.failed)
        found = verdict.kept
        await self._worker.domains.known()
        if bool(found.salt) == self._logins.external(domain):
            # The passwords of the domain have moved since: what one of them opened is closed.
            return LoginToken(failed="credentials-expired")
        mechanism = request.wanted or ("" if request.invalidate or not found.due else found.mechanism)
        older = kept[-1].serial < found.serial
        if found.used and not (mechanism or request.invalidate or request.counter >= 0 or older):
            return LoginToken(proof=verdict.proof)
        token, following = self._next(seal, request, mechanism, found.salt)
        used = Used(
            found.serial,
            request.counter,
            request.invalidate,
            kept[0].serial,
            request.software,
            request.device,
        )

        async def note(conn: Connection) -> int | None:
            return await token_store.use(
                conn, local, domain, request.agent, used, following, self._worker.node.incarnation
            )

        expires = await self._worker.database(partition, note, _deadline())
        if expires is None:
            return LoginToken(failed="credentials-expired")
        return LoginToken(token, expires if token else 0, verdict.proof)

    async def issue(self, partition: int, request: IssueToken) -> LoginToken:
        """Make a token for a client that has authenticated by other means."""
        account, seal = Jid.trusted(request.account), await self._sealed()
        token, new = self._next(seal, request, request.mechanism, request.proved)
        if not self._options.enabled or new is None:
            return LoginToken()
        if not request.proved:
            await self._worker.domains.known()
            # Nobody else tells when the password is another one, so the back end is asked again after a while.
            new = new._replace(seconds=min(new.seconds, self._logins.token_seconds(account.domain)))
            if not new.seconds:
                return LoginToken()
        agent = request.agent, request.software, request.device

        async def work(conn: Connection) -> int | None:
            most = self._options.agents_per_account
            return await token_store.issue(
                conn, account.local or "", account.domain, agent, new, most, self._worker.node.incarnation
            )

        expires = await self._worker.database(partition, work, _deadline())
        return LoginToken() if expires is None else LoginToken(token, expires)

    def _next(
        self, seal: Seal, request: Redeem | IssueToken, mechanism: str, salt: bytes
    ) -> tuple[str, Next | None]:
        if not mechanism:
            return "", None
        token = tokens.fresh()
        verifier = seal.verifier(token, mechanism, tokens.owner(request.account, request.agent))
        return token, Next(mechanism, verifier, salt, self._options.days * 86_400.0)

    async def _sealed(self) -> Seal:
        while self._seal is None:
            try:
                shared = await shared_secrets(self._worker.node.db, tokens.PURPOSE)
            except DatabaseUnavailable:
                await trio.sleep(_RETRY)
            else:
                self._seal = Seal(shared, self._options.sealing_key)
        return self._seal


def _deadline() -> int:
    return int(time.time() * 1000) + _CALL_MS
