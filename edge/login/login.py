"""Carries out what negotiation wants: writes, restarts, and asks account workers and routers.

It exists from the first byte until a resource is bound; then its client's connection forgets it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Final, Protocol, assert_never

from rookery.edge.admission import Rank
from rookery.edge.context import Context
from rookery.edge.login import holders
from rookery.edge.login.asking import Asking, unanswered
from rookery.edge.login.effects import (
    Admit,
    AskBind,
    AskCredentials,
    AskForm,
    AskInvited,
    AskKeys,
    AskLogin,
    AskRedeem,
    AskRegister,
    AskResume,
    AskToken,
    AuthEnded,
    Begin,
    CheckPassword,
    Close,
    Effect,
    Phase,
    Restart,
    Send,
    StartTls,
    Wait,
)
from rookery.edge.login.framing import Framing
from rookery.edge.login.negotiation import Negotiation
from rookery.edge.policy import Security
from rookery.edge.sessions.management import manager
from rookery.edge.sessions.session import Session
from rookery.shared.bus.messages import (
    Bind,
    Bound,
    NotResumed,
    Resume,
    Resumed,
)
from rookery.shared.observe import metrics
from rookery.shared.xeps import message_archive
from rookery.shared.xmpp.errors import StanzaError, StreamError
from rookery.shared.xmpp.sasl import ht
from rookery.shared.xmpp.stream import Event

#: To find a label's counter takes longer than to count. Mechanisms that a client makes up are counted under one name.
_ended: Final = lru_cache(maxsize=64)(metrics.AUTH.labels)


def _nothing() -> None:
    pass


class Client(Protocol):
    """What a login asks of its connection."""

    host: str
    #: Why the stream is over, "" while it is not.
    reason: str

    def write(self, data: bytes) -> None:
        """Queue bytes (one message on a WebSocket)."""

    def end(self, reason: str, error: StreamError | None) -> None:
        """The stream is over; everything was written."""

    def restart(self) -> None:
        """The stream begins anew."""

    def admit(self) -> None:
        """The client is authenticated: its stanzas have the size of a session's."""

    def start_tls(self, domain: str) -> None:
        """`<proceed/>` is queued: begin the handshake."""

    def until(self, seconds: float) -> None:
        """Give negotiation so long from now."""

    def ask(self, question: Callable[[], Awaitable[None]]) -> None:
        """Run `question` in a task of its own; nothing more of this stream is handled until `answered`."""

    def answered(self) -> None:
        """The answer has been applied."""

    def bound(self, sid: int, stream: bytes, bound: Bound) -> Session:
        """The router granted a resource: put its session into the table."""

    def resumed(self, sid: int, resumed: Resumed) -> Session:
        """The router lets a stream go on here: put its session into the table."""

    def begin(self, session: Session) -> None:
        """All was said: the session begins, and this login is forgotten."""


class Login:
    """The negotiation of one connection with its surroundings."""

    __slots__ = (
        "_asking",
        "_client",
        "_context",
        "_counted",
        "_mechanism",
        "_negotiation",
        "_question",
        "_release",
        "_resumed",
        "_running",
        "_session",
    )

    def __init__(self, client: Client, context: Context, security: Security, framing: Framing) -> None:
        self._client = client
        self._context = context
        self._negotiation = Negotiation(context.policy, security, framing, context.token)
        self._asking = Asking(client, context, self._negotiation)
        self._session: Session | None = None
        #: How the client has authenticated, and whether its stream began elsewhere: for the log.
        self._mechanism = ""
        self._resumed = False
        #: Whether it had its turn: a client whose stream cannot be resumed binds without a second one.
        self._counted = False
        #: What is to be asked next, and whether a task is there that will.
        self._question: Callable[[], Awaitable[list[Effect]]] | None = None
        self._running = False
        #: What to call once the session has begun.
        self._release: Callable[[], None] = _nothing

    @property
    def account(self) -> str:
        """Who has authenticated, "" before."""
        return self._negotiation.stream.account

    @property
    def in_handshake(self) -> bool:
        """Whether STARTTLS is under way: nothing can be said meanwhile."""
        return self._negotiation.stream.phase is Phase.TLS

    def handle(self, event: Event) -> None:
        """Take one event of the parser."""
        self._apply(self._negotiation.handle(event))

    def secured(self, binding: bytes | None, addresses: tuple[str, ...] = ()) -> None:
        """A TLS handshake is done: of STARTTLS, or of direct TLS before the first byte. `addresses` are those of the client's certificate."""
        security = Security(secure=True, binding=binding, addresses=addresses)
        if self.in_handshake:
            self._apply(self._negotiation.secured(security))
        else:
            self._negotiation.stream.security = security

    def close(self) -> None:
        """End in order."""
        self._apply(self._negotiation.stream.close(None))

    def fail(self, error: StreamError) -> None:
        """End with a stream error."""
        self._apply(self._negotiation.stream.fail(error))

    def _apply(self, effects: list[Effect]) -> None:
        client = self._client
        for effect in effects:
            if isinstance(effect, Send):
                client.write(effect.data)
            elif isinstance(effect, Close):
                client.end("error" if effect.error else "closed", effect.error)
            elif isinstance(effect, Restart):
                client.restart()
            elif isinstance(effect, Admit):
                client.admit()
            elif isinstance(effect, StartTls):
                client.start_tls(effect.domain)
            elif isinstance(effect, AuthEnded):
                self._auth_ended(effect)
            elif isinstance(effect, Begin):
                assert self._session is not None
                self._session.lang = effect.lang
                self._log_login(self._session)
                client.begin(self._session)
                self._release()
                if effect.active is not None:
                    self._session.client_state(effect.active)
            elif isinstance(effect, AskCredentials):
                self._ask(partial(self._asking.credentials, effect))
            elif isinstance(effect, CheckPassword):
                self._ask(partial(self._asking.check, effect))
            elif isinstance(effect, AskLogin):
                self._ask(partial(self._asking.login, effect))
            elif isinstance(effect, AskRedeem):
                self._ask(partial(self._asking.redeem, effect))
            elif isinstance(effect, AskToken):
                self._ask(partial(self._asking.token, effect))
            elif isinstance(effect, AskKeys):
                self._ask(partial(self._asking.keys, effect))
            elif isinstance(effect, AskRegister):
                self._ask(partial(self._register, effect))
            elif isinstance(effect, AskInvited):
                self._ask(partial(self._asking.invited, effect))
            elif isinstance(effect, AskForm):
                self._ask(partial(self._asking.form, effect))
            elif isinstance(effect, Wait):
                client.until(effect.seconds)
            elif isinstance(effect, AskBind):
                self._ask(partial(self._bind, effect))
            elif isinstance(effect, AskResume):
                self._ask(partial(self._resume, effect))
            else:
                assert_never(effect)

    def _auth_ended(self, effect: AuthEnded) -> None:
        _ended(effect.mechanism, effect.result).inc()
        if effect.result != "success":
            self._log_failure("authentication", effect.account, effect.result, effect.mechanism)
        if effect.result == "not-authorized" and self._client.host not in self._context.exempt:
            self._context.failures.add(self._client.host, self._context.reactor.clock())
        elif effect.result == "success":
            self._mechanism = effect.mechanism
            self._asking.logged_in(self.account, effect.mechanism, effect.agent)
            # Binding has its own time; everything before had to be done in the first.
            self._client.until(self._context.limits.preauth_seconds)

    def _log_login(self, session: Session) -> None:
        client, stream = self._client, self._negotiation.stream
        self._context.log(
            "client_resumed" if self._resumed else "client_login",
            account=session.bare,
            resource=session.resource,
            address=client.host,
            mechanism=self._mechanism,
            secure=stream.security.secure,
            stream=stream.id,
            session=session.stream.hex(),
        )

    def _log_failure(self, step: str, account: str, reason: str, mechanism: str = "") -> None:
        stream = self._negotiation.stream
        self._context.log(
            "client_login_failed",
            account=account,
            domain=stream.domain,
            address=self._client.host,
            step=step,
            mechanism=mechanism or self._mechanism,
            reason=reason,
            stream=stream.id,
        )

    # --- questions to the cluster ---

    def _ask(self, question: Callable[[], Awaitable[list[Effect]]]) -> None:
        self._question = question
        if not self._running:
            self._running = True
            self._client.ask(self._run)

    async def _run(self) -> None:
        """Ask one thing after the other in one task, while each answer leads to the next question."""
        while (question := self._question) is not None:
            self._question = None
            effects = await question()
            if self._client.reason:
                return
            self._apply(effects)
        self._running = False
        if not self._negotiation.stream.asking:
            self._client.answered()

    async def _admitted(self, rank: Rank, step: str) -> list[Effect] | None:
        """Wait for a turn. None: go on; else the stream ends so (RFC 6120 section 4.9.3.17)."""
        if self._counted or await self._context.admission.enter(rank, self._client):
            self._counted = True
            return None
        if self._client.reason:
            return []
        self._log_failure(step, self.account, "too-many-logins")
        return self._negotiation.stream.fail(
            StreamError("resource-constraint", "too many logins at once, try again later")
        )

    async def _bind(self, ask: AskBind) -> list[Effect]:
        deadline = holders.deadline(self._context)
        rank = Rank.FAST if self._mechanism in ht.BINDINGS else Rank.SCRAM
        if (refused := await self._admitted(rank, "bind")) is not None:
            return refused
        sessions = self._context.sessions
        sid, stream = sessions.reserve(), secrets.token_bytes(16)
        partition = sessions.partition(ask.account)
        request = Bind(ask.account, ask.resource, sessions.incarnation, sid, stream, ask.marks)
        try:
            answer = await holders.ask(self._context, self._client, partition, lambda: request, deadline)
        except StanzaError as error:
            sessions.forget(sid)
            return self._unbound(ask, error)
        assert answer is None or isinstance(answer, Bound)
        bound, ends = answer, None
        if bound is not None and message_archive.MARK in ask.marks:
            ends = await self._asking.archive(ask.account, bound)
        deposed = bound is None or sessions.outdated(partition, bound.grant)
        if self._client.reason or bound is None or deposed:
            # The client did not wait, or the router that granted this has a successor that does not know of it.
            sessions.forget(sid)
            if bound is not None:
                sessions.unbind(bound.full, bound.grant, "closed")
            return self._unbound(ask, unanswered()) if deposed and not self._client.reason else []
        session = self._session = self._client.bound(sid, stream, bound)
        enabled = None
        if ask.enable is not None:
            enabled, self._release = await manager.enable(sessions, session, ask.enable)
            if self._gone():
                # The client did not wait: nobody knows of its stream, so nobody can resume it.
                sessions.close(session, "closed", resumable=False)
                return []
        return self._negotiation.bound(bound, enabled, ends)

    def _gone(self) -> bool:
        return bool(self._client.reason)

    def _unbound(self, ask: AskBind, error: StanzaError) -> list[Effect]:
        self._log_failure("bind", ask.account, error.condition)
        return self._negotiation.unbound(error)

    async def _register(self, ask: AskRegister) -> list[Effect]:
        if await self._context.admission.enter(Rank.REGISTER, self._client):
            return await self._asking.register(ask)
        self._log_failure("registration", ask.account, "too-many-logins")
        return self._negotiation.registering.registered(unanswered())

    async def _resume(self, ask: AskResume) -> list[Effect]:
        deadline = holders.deadline(self._context)
        if (refused := await self._admitted(Rank.RESUME, "resume")) is not None:
            return refused
        sessions, sid = self._context.sessions, 0
        partition = sessions.partition(ask.account)

        def request() -> Resume:
            nonlocal sid
            # What came for an earlier attempt is of a router that has a successor now: it is given again.
            sessions.forget(sid)
            sid = sessions.reserve()
            return Resume(ask.account, ask.token, ask.h, sessions.incarnation, sid)

        try:
            answer = await holders.ask(self._context, self._client, partition, request, deadline)
        except StanzaError:
            answer = None
        if isinstance(answer, NotResumed):
            sessions.forget(sid)
            self._log_failure("resume", ask.account, "item-not-found" if answer.sent < 0 else "h-too-high")
            return self._negotiation.not_resumed(answer)
        assert answer is None or isinstance(answer, Resumed)
        if answer is None or sessions.outdated(partition, answer.grant):
            # Not <failed/>: the stream may well be there, and the client shall try again rather than give it up.
            sessions.forget(sid)
            self._log_failure("resume", ask.account, "internal-server-error")
            return self._negotiation.stream.fail(StreamError("internal-server-error", "try again later"))
        if sessions.ended_early(sid):
            sessions.forget(sid)
            return self._negotiation.stream.fail(StreamError("conflict", "resumed by another connection"))
        self._session = self._client.resumed(sid, answer)
        self._resumed = True
        if self._client.reason:
            # The client did not wait: the stream is without a socket once more.
            sessions.forget(sid)
            sessions.close(self._session, "closed", resumable=True)
            return []
        return self._negotiation.resumed(answer)
