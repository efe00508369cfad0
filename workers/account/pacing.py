"""Answers about passwords at the pace that `guessing` allows: at once, after a pause, or not for now."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import NamedTuple

import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import ChangeAccount, CheckLogin, GetCredentials, LoggedIn
from rookery.shared.db.api import Fenced
from rookery.shared.observe.metrics import RATELIMIT
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.workers.account import token_store
from rookery.workers.account.guessing import Guesses
from rookery.workers.account.logins.checking import CERTIFICATE
from rookery.workers.account.registration import network_of
from rookery.workers.hosted import DeadlineError, HostedWorker

#: So long the database is asked whether a client is known; then it is not.
_LOOK_MS = 2000


class Question(NamedTuple):
    """A call that wants to know of a password: what answers it, and in whose lane that runs."""

    partition: int
    call: Call
    answer: Callable[[], Awaitable[None]]
    lane: str


class Pacing:
    """The pace of one process, for all accounts that it holds."""

    def __init__(self, worker: HostedWorker) -> None:
        self._worker = worker
        limits = worker.node.config.limits
        self.guesses = Guesses(
            limits.auth_failures_per_account, limits.auth_failures_window, limits.preauth_seconds
        )
        self._numbers = count()

    def lane(self) -> str:
        """A lane that nobody else waits in."""
        return f"login {next(self._numbers)}"

    def right(self, item: LoggedIn) -> None:
        """That was no guess."""
        self.guesses.right(item.account, network_of(item.address), trio.current_time(), item.agent)

    def ask(self, question: Question, request: GetCredentials | CheckLogin | ChangeAccount) -> None:
        """Answer at once, after a pause, or not for now: somebody may be guessing a password."""
        pause: float | None = 0.0
        agent = "" if isinstance(request, ChangeAccount) else request.agent
        if request.address and request.account and request.mechanism != CERTIFICATE:
            pause = self.guesses.pause(
                request.account, network_of(request.address), trio.current_time(), agent
            )
        if pause != 0.0 and agent:
            # It may be a client of the account's user, from wherever that is.
            work = partial(self._look, question, request.account, agent, pause)
            self._worker.job(question.partition, self.lane(), work)
        else:
            self._go(question, pause)

    def _go(self, question: Question, pause: float | None) -> None:
        if pause is None:
            RATELIMIT.labels("account").inc()
            self._worker.node.bus.reply(question.call, StanzaError("resource-constraint", type="wait"))
        elif pause:
            # Beside the lane of the account: whoever is logged in does not wait.
            RATELIMIT.labels("account").inc()
            self._worker.job(question.partition, self.lane(), partial(self._later, question, pause))
        else:
            self._worker.job(question.partition, question.lane, question.answer)

    async def _later(self, question: Question, pause: float) -> None:
        await trio.sleep(pause)
        await question.answer()

    async def _look(self, question: Question, account: str, agent: str, pause: float | None) -> None:
        """A client that holds a token of the account has guesses of its own."""
        jid, deadline = Jid.trusted(account), int(time.time() * 1000) + _LOOK_MS
        try:
            holds = await self._worker.database(
                question.partition,
                lambda conn: token_store.holds(conn, jid.local or "", jid.domain, agent),
                deadline,
            )
        except DeadlineError:
            holds = False
        except Fenced:
            return
        known = holds and self.guesses.client(account, agent, trio.current_time())
        self._go(question, 0.0 if known else pause)
