"""SASL on a stream (RFC 6120 section 6, XEP-0388): the client's elements and the answers of the cluster in, effects out. A pure machine.

What is inside of the elements is `edge.login.exchange`.
"""

from __future__ import annotations

from rookery.edge.login.effects import (
    AskCredentials,
    AskLogin,
    AskRedeem,
    AuthEnded,
    CheckPassword,
    Effect,
    Phase,
    Restart,
    Send,
)
from rookery.edge.login.exchange import (
    Challenge,
    Exchange,
    NeedCheck,
    NeedCredentials,
    NeedLogin,
    NeedRedeem,
    Outcome,
    Success,
    Terms,
)
from rookery.edge.login.features import BINDING, mechanisms, token_mechanisms, version
from rookery.edge.login.inline import Inline
from rookery.edge.login.stream import Stream
from rookery.edge.login.styles import RFC6120, SASL2, Style
from rookery.shared.bus.messages import Credentials, LoginChecked, LoginToken
from rookery.shared.xeps import pipelining, sasl2
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.sasl import ht
from rookery.shared.xmpp.sasl.common import SaslFailure
from rookery.shared.xmpp.sasl.downgrade import advertised
from rookery.shared.xmpp.stream import Event
from rookery.shared.xmpp.xml import Element


class Authentication:
    """All attempts of one stream. What takes an event raises SaslFailure, which `failed` then answers."""

    __slots__ = ("_exchange", "_failures", "_mechanism", "_stream", "_style", "_wanted")

    def __init__(self, stream: Stream, inline: Inline) -> None:
        self._stream = stream
        self._wanted = inline
        self._style: Style = RFC6120
        self._exchange: Exchange | None = None
        self._mechanism = ""
        self._failures = 0

    # --- the client's elements ---

    def auth(self, event: Event) -> list[Effect]:
        """`<auth/>`."""
        assert isinstance(event, Element)
        self._style = RFC6120
        self._wanted.end()
        return self._start(event.get("mechanism") or "", event.text or None)

    def authenticate(self, event: Event) -> list[Effect]:
        """`<authenticate/>` (XEP-0388)."""
        assert isinstance(event, Element)
        self._style = SASL2
        if not self._stream.security.secure:
            raise SaslFailure("encryption-required")
        request = sasl2.parse(event)
        self._check_version(request.version)
        self._wanted.begin(request)
        if request.mechanism in ht.BINDINGS and (request.fast is None or not request.agent.id):
            # (XEP-0484 sections 3.4 and 4.1)
            raise SaslFailure("malformed-request", "a token comes with <fast/> and the id of its client")
        # The empty initial response is there, which RFC 6120 writes as "=".
        return self._start(request.mechanism, None if request.initial is None else request.initial or "=")

    def _check_version(self, said: str | None) -> None:
        """A client that spoke first has to know what is offered now (XEP-0509 section 4.2); else nothing was tried."""
        stream = self._stream
        if said is None:
            return
        assert stream.host is not None
        if said != version(stream.policy, stream.security, stream.host):
            self._mechanism = "unknown"
            raise SaslFailure("aborted", "the features are others now", app=pipelining.MISMATCH)

    def _start(self, mechanism: str, initial: str | None) -> list[Effect]:
        stream = self._stream
        self._mechanism = mechanism
        offered = mechanisms(stream.policy, stream.security, stream.host)
        if not offered:
            raise SaslFailure("encryption-required")
        # (a token's exchange has neither a nonce nor a signature of what was offered)
        by_token = mechanism in ht.BINDINGS
        signed = b""
        if stream.policy.downgrade_protection and not by_token:
            signed = advertised(offered, None if stream.security.binding is None else [BINDING])
        if self._style is SASL2:
            offered += token_mechanisms(stream.policy, stream.security)
        if self._mechanism not in offered:
            self._mechanism = "unknown"
            raise SaslFailure("invalid-mechanism")
        external = stream.host is not None and bool(stream.host.logins)
        keys = stream.policy.mechanisms[0]
        terms = Terms(
            stream.domain,
            "" if by_token else stream.token(),
            stream.security.binding,
            keys,
            external,
            signed,
            stream.security.addresses,
            self._is_hosted,
        )
        self._exchange = Exchange(self._mechanism, terms)
        if initial is None:
            # No initial response: an empty challenge asks for the first message (section 6.4.2).
            stream.phase = Phase.EXCHANGE
            return [self._send(self._style.challenge(None))]
        return self._went(self._exchange.message(initial))

    def _is_hosted(self, domain: str) -> bool:
        return self._stream.policy.find(domain) is not None

    def response(self, event: Event) -> list[Effect]:
        """`<response/>`."""
        assert isinstance(event, Element)
        self._same_style(event)
        assert self._exchange is not None
        return self._went(self._exchange.message(event.text or "="))

    def abort(self, event: Event) -> list[Effect]:
        """`<abort/>`."""
        assert isinstance(event, Element)
        if self._exchange is not None or self._stream.phase is Phase.TASK:
            self._same_style(event)
        raise SaslFailure("aborted")

    def _same_style(self, event: Element) -> None:
        if event.ns != self._style.ns:
            raise StreamError("not-authorized", "one exchange is of one profile")

    def misplaced(self, event: Event) -> list[Effect]:
        """`<response/>` before any `<auth/>`."""
        raise SaslFailure("malformed-request")

    def second(self, event: Event) -> list[Effect]:
        """`<auth/>` in the middle of an exchange."""
        raise StreamError("policy-violation", "one authentication at a time")

    # --- answers of the cluster ---

    def credentials(self, credentials: Credentials) -> list[Effect]:
        """The answer to AskCredentials."""
        exchange = self._running()
        if exchange is None:
            return []
        try:
            return self._went(exchange.credentials(credentials))
        except SaslFailure as failure:
            return self.failed(failure)

    def checked(self, right: bool) -> list[Effect]:
        """The answer to CheckPassword."""
        exchange = self._running()
        if exchange is None:
            return []
        try:
            return self._went(exchange.checked(right))
        except SaslFailure as failure:
            return self.failed(failure)

    def login(self, answer: LoginChecked) -> list[Effect]:
        """The answer to AskLogin."""
        exchange = self._running()
        if exchange is None:
            return []
        try:
            return self._went(exchange.login(answer))
        except SaslFailure as failure:
            return self.failed(failure)

    def redeemed(self, answer: LoginToken) -> list[Effect]:
        """The answer to AskRedeem."""
        exchange = self._running()
        if exchange is None:
            return []
        self._wanted.token = answer
        try:
            return self._went(exchange.redeemed(answer))
        except SaslFailure as failure:
            return self.failed(failure)

    def denied(self, condition: str = "temporary-auth-failure") -> list[Effect]:
        """AskCredentials had no answer, or this address has failed too often."""
        return self.failed(SaslFailure(condition)) if self._stream.phase is not Phase.CLOSED else []

    def _running(self) -> Exchange | None:
        """The exchange, None when its stream is over: then an answer comes too late."""
        return None if self._stream.phase is Phase.CLOSED else self._exchange

    # --- outcomes ---

    def _went(self, outcome: Outcome) -> list[Effect]:
        stream = self._stream
        stream.asking = False
        if isinstance(outcome, NeedCredentials):
            stream.asking = True
            return [AskCredentials(outcome.account, outcome.mechanism, self._wanted.agent)]
        if isinstance(outcome, NeedCheck):
            stream.asking = True
            return [CheckPassword(outcome.password, outcome.credentials)]
        if isinstance(outcome, NeedLogin):
            stream.asking = True
            ask = AskLogin(
                stream.domain, outcome.account, self._mechanism, outcome.secret, self._wanted.agent
            )
            return [ask]
        if isinstance(outcome, NeedRedeem):
            self._check_sender(outcome.account)
            stream.asking = True
            return [AskRedeem(self._wanted.redeem(outcome, self._mechanism))]
        if isinstance(outcome, Challenge):
            stream.phase = Phase.EXCHANGE
            return [self._send(self._style.challenge(outcome.text))]
        return self._succeeded(outcome)

    def _check_sender(self, account: str) -> None:
        """The header has said who that is (XEP-0388 section 2.3)."""
        if self._style is SASL2 and self._stream.from_ and self._stream.from_ != account:
            raise SaslFailure("invalid-authzid")

    def _succeeded(self, outcome: Success) -> list[Effect]:
        stream = self._stream
        self._check_sender(outcome.account)
        stream.account = outcome.account
        assert self._exchange is not None
        proved, missing = self._exchange.proved, self._exchange.missing
        self._exchange = None
        if self._style is SASL2:
            ended = AuthEnded(self._mechanism, "success", agent=self._wanted.agent)
            return [ended, *self._wanted.succeeded(outcome.text, proved, missing)]
        stream.renew()
        return [
            self._send(Element(ns.SASL, "success", None, outcome.text or None)),
            AuthEnded(self._mechanism, "success"),
            Restart(),
        ]

    def failed(self, failure: SaslFailure) -> list[Effect]:
        """End an exchange; too many failures end the stream."""
        stream = self._stream
        stream.asking = False
        account = self._exchange.account if self._exchange is not None else stream.account
        self._exchange = None
        # A task that fails takes the authentication back (XEP-0388 section 2.6.3).
        stream.account = ""
        stream.phase = Phase.FEATURES
        self._wanted.end()
        out: list[Effect] = [
            self._send(self._style.failure(failure)),
            AuthEnded(self._mechanism or "unknown", failure.condition, account),
        ]
        if failure.app != pipelining.MISMATCH:
            self._failures += 1
        if self._failures >= stream.policy.failures:
            out += stream.fail(StreamError("policy-violation", "too many failed authentications"))
        return out

    def _send(self, element: Element) -> Effect:
        return Send(self._stream.framing.element(element))
