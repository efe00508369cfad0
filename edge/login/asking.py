"""What a login asks account workers: each question ends in effects of the negotiation."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Final, Protocol

import trio

from rookery.edge.context import Context
from rookery.edge.login.effects import (
    AskCredentials,
    AskForm,
    AskInvited,
    AskKeys,
    AskLogin,
    AskRedeem,
    AskRegister,
    AskToken,
    CheckPassword,
    Effect,
)
from rookery.edge.login.negotiation import Negotiation
from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import (
    AddKeys,
    ArchiveEnds,
    AskArchive,
    AskInvitation,
    AskPuzzle,
    Bound,
    CheckLogin,
    Credentials,
    Done,
    GetCredentials,
    IssueToken,
    Item,
    Kind,
    LoggedIn,
    LoginChecked,
    LoginToken,
    Puzzled,
    Redeem,
    Register,
)
from rookery.shared.observe import metrics
from rookery.shared.xeps import captcha, message_archive
from rookery.shared.xeps.captcha import Puzzle
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.sasl.keys import derive_keys, verify_plain
from rookery.shared.xmpp.xml import Element

#: A binding waits so long for the ends of the archive, and goes on without them.
ARCHIVE_SECONDS: Final = 4.0


class Asker(Protocol):
    """Whose login it is."""

    host: str


def unanswered() -> StanzaError:
    """Nobody has answered in time."""
    return StanzaError("resource-constraint", "try again later", type="wait")


class Asking:
    """The questions of one login."""

    __slots__ = ("_client", "_context", "_negotiation")

    def __init__(self, client: Asker, context: Context, negotiation: Negotiation) -> None:
        self._client = client
        self._context = context
        self._negotiation = negotiation

    def _blocked(self) -> bool:
        """Whether this address has failed too often."""
        context = self._context
        blocked = context.failures.blocked(self._client.host, context.reactor.clock())
        if blocked:
            metrics.RATELIMIT.labels("auth").inc()
        return blocked

    def _failed(self) -> None:
        """Something was tried that does not hold."""
        context, host = self._context, self._client.host
        if host not in context.exempt:
            context.failures.add(host, context.reactor.clock())

    def _address(self) -> str:
        """Where the client is, "" where no limits hold."""
        return "" if self._client.host in self._context.exempt else self._client.host

    def logged_in(self, account: str, mechanism: str, agent: str) -> None:
        """A client has authenticated; by a password it might have been a guess."""
        address = self._address()
        if address and (mechanism == "PLAIN" or mechanism.startswith("SCRAM-")):
            partition = self._context.sessions.partition(account)
            self._context.bus.post(Kind.ACCOUNT, partition, LoggedIn(account, address, agent))

    async def _call(self, account: str, request: Item) -> Item | None:
        """The answer of the account's worker, None for none."""
        partition = self._context.sessions.partition(account)
        try:
            return await self._context.bus.call(Kind.ACCOUNT, partition, request)
        except (BusTimeout, StanzaError):
            return None

    async def credentials(self, ask: AskCredentials) -> list[Effect]:
        """The keys of an account."""
        authentication = self._negotiation.authentication
        if self._blocked():
            return authentication.denied()
        request = GetCredentials(ask.account, ask.mechanism, self._address(), ask.agent)
        answer = await self._call(ask.account, request)
        return (
            authentication.credentials(answer) if isinstance(answer, Credentials) else authentication.denied()
        )

    async def check(self, ask: CheckPassword) -> list[Effect]:
        """Whether a password makes these keys."""
        right = await trio.to_thread.run_sync(verify_plain, ask.password, ask.credentials)
        if right and ask.credentials.missing:
            self._context.spawn(partial(self._complete, ask))
        return self._negotiation.authentication.checked(right)

    async def _complete(self, ask: CheckPassword) -> None:
        """The password is known for once: add the keys that the account lacks. What fails is done at another login."""
        policy, (account, _, proved, *_) = self._context.policy, ask.credentials
        for mechanism in ask.credentials.missing:
            salt = secrets.token_bytes(16)
            make = partial(derive_keys, ask.password, mechanism, salt, policy.iterations)
            stored, server = await trio.to_thread.run_sync(make)
            await self._call(
                account, AddKeys(account, mechanism, policy.iterations, salt, stored, server, proved)
            )

    async def login(self, ask: AskLogin) -> list[Effect]:
        """Whether a secret opens an account whose password is kept elsewhere."""
        authentication = self._negotiation.authentication
        if self._blocked():
            return authentication.denied()
        # Whose token it is follows from the token: then any worker may say.
        request = CheckLogin(ask.domain, ask.account, ask.mechanism, ask.secret, self._address(), ask.agent)
        answer = await self._call(ask.account or f"{ask.secret[-32:]}@{ask.domain}", request)
        return authentication.login(answer) if isinstance(answer, LoginChecked) else authentication.denied()

    async def redeem(self, ask: AskRedeem) -> list[Effect]:
        """Whether a token is one."""
        authentication = self._negotiation.authentication
        if self._blocked():
            return authentication.denied()
        answer = await self._token(ask.request)
        return authentication.denied() if answer is None else authentication.redeemed(answer)

    async def token(self, ask: AskToken) -> list[Effect]:
        """A token for a client that has authenticated."""
        return self._negotiation.inline.issued(await self._token(ask.request))

    async def keys(self, ask: AskKeys) -> list[Effect]:
        """Keys of one more mechanism."""
        answer = await self._call(ask.request.account, ask.request)
        return (
            self._negotiation.inline.upgraded()
            if isinstance(answer, Done)
            else self._negotiation.authentication.denied()
        )

    async def _token(self, request: Redeem | IssueToken) -> LoginToken | None:
        answer = await self._call(request.account, request)
        return answer if isinstance(answer, LoginToken) else None

    async def archive(self, account: str, bound: Bound) -> Element | None:
        """`<metadata/>` of the archive for a client that has just bound (XEP-0386), None for no answer: it can ask itself."""
        bus, request = self._context.bus, AskArchive(account, bound.owed)
        try:
            answer = await bus.call(
                Kind.OFFLINE, self._context.sessions.partition(account), request, timeout=ARCHIVE_SECONDS
            )
        except (BusTimeout, StanzaError):
            return None
        assert isinstance(answer, ArchiveEnds)
        if not answer.first:
            return message_archive.ends(())
        return message_archive.ends(
            ((answer.first, answer.first_at / 1000), (answer.last, answer.last_at / 1000))
        )

    async def register(self, ask: AskRegister) -> list[Effect]:
        """A new account."""
        partition = self._context.sessions.partition(ask.account)
        request = Register(
            ask.domain, ask.username, ask.password, ask.email, self._client.host, ask.token, tuple(ask.puzzle)
        )
        error: StanzaError | None = None
        if ask.puzzle.id and self._blocked():
            return self._negotiation.registering.registered(unanswered())
        try:
            await self._context.bus.call(Kind.ACCOUNT, partition, request)
        except BusTimeout:
            error = unanswered()
        except StanzaError as refused:
            error = refused
            if refused.app == captcha.REFUSED:
                # Whoever tries answers is slowed down as with passwords.
                self._failed()
        return self._negotiation.registering.registered(error)

    async def form(self, ask: AskForm) -> list[Effect]:
        """What people who make accounts are asked."""
        answer: Puzzle | StanzaError
        try:
            told = await self._context.bus.call(
                Kind.ACCOUNT, self._context.sessions.partition(ask.domain), AskPuzzle(ask.domain)
            )
            assert isinstance(told, Puzzled)
            answer = Puzzle(*told)
        except BusTimeout:
            answer = unanswered()
        except StanzaError as refused:
            answer = refused
        return self._negotiation.registering.asked(answer)

    async def invited(self, ask: AskInvited) -> list[Effect]:
        """Whether an invitation is one."""
        context = self._context
        if self._blocked():
            return self._negotiation.registering.invited(StanzaError("item-not-found"))
        error: StanzaError | None = None
        request = AskInvitation(ask.domain, ask.token)
        try:
            await context.bus.call(Kind.ACCOUNT, context.sessions.partition(ask.domain), request)
        except BusTimeout:
            error = unanswered()
        except StanzaError as refused:
            error = refused
            if refused.condition == "item-not-found":
                # Tokens cannot be guessed, and whoever tries is slowed down as with passwords.
                self._failed()
        return self._negotiation.registering.invited(error)
