"""Asks the back ends of domains who may log in: each with a time-out, a limit and a breaker; then whether the account is there and open."""

from __future__ import annotations

import hmac
import random
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import CheckLogin, LoginChecked
from rookery.shared.bus.notices import account_changed
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.db.api import Connection
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import prepare_local
from rookery.workers.account import store
from rookery.workers.account.guests import Guests
from rookery.workers.account.logins import settings
from rookery.workers.account.logins.api import Answer, AwayError, BackEnd
from rookery.workers.account.logins.breaker import Breaker
from rookery.workers.account.logins.directory import Directory
from rookery.workers.account.logins.http_service import HttpService
from rookery.workers.account.logins.oidc import Issuer
from rookery.workers.account.logins.settings import ANONYMOUS, Anonymous, Auth, Http, Ldap, Oidc
from rookery.workers.hosted import HostedWorker

#: Passwords that are remembered as right, in all.
MAX_CACHED: Final = 10_000
_CALL_MS: Final = 8000
_OPEN: Final = "SELECT disabled FROM account WHERE domain = $1 AND localpart = $2"
#: Conditions of RFC 6120 section 6.5.
#: The mechanism of clients whose certificate an edge has verified.
CERTIFICATE: Final = "EXTERNAL"
AWAY, WRONG, DISABLED = "temporary-auth-failure", "not-authorized", "account-disabled"
_log = structlog.get_logger()


class _Domain:
    """One domain's back end, as this process asks it."""

    def __init__(self, name: str, auth: Auth) -> None:
        self.name = name
        self.auth = auth
        self.breaker = Breaker()
        self.limiter = trio.CapacityLimiter(auth.at_once)
        self.back_end: BackEnd | None = None

    async def ask(self, localpart: str, secret: str) -> Answer:
        """Raises AwayError."""
        if self.limiter.statistics().tasks_waiting >= self.auth.at_once:
            raise AwayError("too many questions wait")
        async with self.limiter:
            if not self.breaker.allows(trio.current_time()):
                raise AwayError("it was away just now")
            try:
                with trio.fail_after(self.auth.timeout_seconds):
                    if self.back_end is None:
                        self.back_end = made(self.auth)
                    answer = await self.back_end.check(self.name, localpart, secret)
            except (AwayError, trio.TooSlowError, OSError, ImportError) as error:
                if self.breaker.failed(trio.current_time(), random.random()):
                    _log.error(
                        "login_back_end_away",
                        domain=self.name,
                        reason=str(error)[:300] or type(error).__name__,
                    )
                raise AwayError(str(error) or "it was too slow") from None
            except BaseException:
                self.breaker.given_up()
                raise
        if self.breaker.open:
            _log.warning("login_back_end_back", domain=self.name)
        self.breaker.succeeded()
        return answer


def made(auth: Auth) -> BackEnd:
    """The back end of these settings. Raises OSError for a file that cannot be read, ImportError for a library that is missing."""
    if isinstance(auth, Oidc):
        return Issuer(auth)
    if isinstance(auth, Ldap):
        return Directory(auth)
    assert isinstance(auth, Http)  # guests are not asked for
    return HttpService(auth)


class Logins:
    """Who may log in to the domains whose passwords are elsewhere."""

    def __init__(self, worker: HostedWorker) -> None:
        self._worker = worker
        self.guests = Guests(worker)
        self._domains: dict[str, _Domain | None] = {}
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()

    def learn(self, rows: Sequence[DomainRow]) -> None:
        """The rows were read: back ends whose settings changed begin anew, and what they said is forgotten."""
        former, self._domains = self._domains, {}
        for row in rows:
            if not row.auth:
                continue
            try:
                auth = settings.load(settings.stored({"auth": row.auth}) or {})
            except ValueError as error:
                _log.error("login_back_end_unusable", domain=row.name, reason=str(error)[:300])
                self._domains[row.name] = None
                continue
            known = former.get(row.name)
            self._domains[row.name] = (
                known if known is not None and known.auth == auth else _Domain(row.name, auth)
            )
        if former != self._domains:
            self._right.clear()
        named = ((name, known.auth) for name, known in self._domains.items() if known is not None)
        self.guests.learn({name: auth for name, auth in named if isinstance(auth, Anonymous)})

    def external(self, domain: str) -> bool:
        """Whether the passwords of a domain are kept elsewhere."""
        return domain in self._domains

    def token_seconds(self, domain: str) -> float:
        """How long a client of such a domain may come back with a token; 0 for never."""
        known = self._domains.get(domain)
        return known.auth.token_hours * 3600 if known is not None else 0.0

    async def check(self, partition: int, request: CheckLogin) -> LoginChecked:
        """Answer an edge."""
        await self._worker.domains.known()
        if request.mechanism == CERTIFICATE:
            return await self._certified(partition, request)
        known, local = self._domains.get(request.domain), request.account.partition("@")[0]
        if known is not None and request.mechanism == ANONYMOUS in known.auth.mechanisms:
            return await self.guests.enter(partition, request)
        if known is None or request.mechanism not in known.auth.mechanisms or not request.secret:
            return LoginChecked(failed=AWAY if request.domain in self._domains else WRONG)
        cached = self._digest(request, local)
        if local and self._right.get(cached, 0.0) > time.time():
            return await self._enter(partition, known, local)
        try:
            answer = await known.ask(local, request.secret)
            name = prepare_local(answer.localpart) if answer.localpart else ""
        except AwayError as error:
            _log.debug("login_back_end_no_answer", domain=request.domain, reason=str(error)[:300])
            return LoginChecked(failed=AWAY)
        except JidError:
            name = ""
        if not name or local not in ("", name):
            return LoginChecked(failed=WRONG)
        if known.auth.cache_seconds and local:
            until = time.time() + known.auth.cache_seconds
            self._remember(cached, min(until, answer.until or until))
        return await self._enter(partition, known, name)

    async def _certified(self, partition: int, request: CheckLogin) -> LoginChecked:
        """The edge has verified a certificate of the account (XEP-0178), whoever keeps its password: is there one, and may it log in?"""
        local, _, domain = request.account.partition("@")
        if not local or domain != request.domain:
            return LoginChecked(failed=WRONG)

        async def work(conn: Connection) -> str:
            row = await conn.fetchrow(_OPEN, domain, local)
            return WRONG if row is None else DISABLED if row["disabled"] else ""

        failed = await self._worker.database(partition, work, int(time.time() * 1000) + _CALL_MS)
        return LoginChecked(failed=failed) if failed else LoginChecked(request.account)

    def _digest(self, request: CheckLogin, local: str) -> bytes:
        """What a password is remembered by: nothing that could be found out from it."""
        return hmac.digest(self._key, f"{request.domain}\0{local}\0{request.secret}".encode(), "sha256")

    def _remember(self, digest: bytes, until: float) -> None:
        self._right[digest] = until
        self._right.move_to_end(digest)
        if len(self._right) > MAX_CACHED:
            self._right.popitem(last=False)

    async def _enter(self, partition: int, known: _Domain, local: str) -> LoginChecked:
        """The secret is right: is there an account, and may it log in?"""
        domain, worker = known.name, self._worker

        async def work(conn: Connection) -> str:
            row = await conn.fetchrow(_OPEN, domain, local)
            if row is not None:
                return DISABLED if row["disabled"] else ""
            if not known.auth.make_accounts:
                return WRONG
            try:
                made = await store.create_account(conn, local, domain, [], "", worker.node.incarnation)
            except store.UnknownDomainError:
                return WRONG
            return "" if made is None else "made"

        came = await worker.database(partition, work, int(time.time() * 1000) + _CALL_MS)
        account = f"{local}@{domain}"
        if came == "made":
            worker.tell(account_changed(account, "created"))
            worker.client_log("account_made_at_login", account=account)
        return LoginChecked(account) if came in ("", "made") else LoginChecked(failed=came)
