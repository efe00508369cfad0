"""From the first byte to a bound resource: the negotiation of a client's stream (RFC 6120 sections 4 to 7, RFC 7395).

A pure machine: events of the parser and answers of the cluster in, effects out. What a phase allows stands in TABLE; everything
else is the stream error that OTHERWISE names for it. While `asking`, the shell holds further events back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rookery.edge.authentication import Challenge, Exchange, NeedCheck, NeedCredentials, Outcome
from rookery.edge.beginning import Beginning
from rookery.edge.effects import (
    AskCredentials,
    AuthEnded,
    CheckPassword,
    Effect,
    Phase,
    Restart,
    Send,
    StartTls,
)
from rookery.edge.features import (
    HostedDomain,
    Security,
    after_authentication,
    before_authentication,
    mechanisms,
)
from rookery.shared.bus.messages import Credentials
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import JidError, StreamError
from rookery.shared.xmpp.jid import Jid, prepare_domain
from rookery.shared.xmpp.sasl.common import SaslFailure
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event, StreamClosed, StreamOpened
from rookery.shared.xmpp.xml import Element

#: First-level elements that negotiation knows, by expanded name; everything else is "stanza" or "element".
_WORDS: Final = {
    (ns.TLS, "starttls"): "starttls",
    (ns.SASL, "auth"): "auth",
    (ns.SASL, "response"): "response",
    (ns.SASL, "abort"): "abort",
    (sm.NS, "enable"): "enable",
    (sm.NS, "resume"): "resume",
}
#: What a phase answers to what it does not allow.
OTHERWISE: Final = {
    Phase.HEADER: "bad-format",
    Phase.FEATURES: "not-authorized",
    Phase.EXCHANGE: "not-authorized",
    Phase.BINDING: "not-authorized",
    Phase.TLS: "not-authorized",
    Phase.BOUND: "unsupported-stanza-type",
}


class Negotiation(Beginning):
    """One stream's negotiation."""

    __slots__ = ()

    def handle(self, event: Event) -> list[Effect]:
        """Take one event of the parser."""
        if self.phase is Phase.CLOSED:
            return []
        if isinstance(event, StreamError):
            return self.fail(event)
        if isinstance(event, StreamClosed):
            return self._close(None)
        if isinstance(event, StreamOpened):
            word = "header"
        elif isinstance(event, Stanza):
            word = "stanza"
        else:
            word = _WORDS.get((event.ns, event.name), "element")
        act = TABLE.get((self.phase, word))
        try:
            if act is None:
                return self.fail(StreamError("bad-format" if word == "header" else OTHERWISE[self.phase]))
            return act(self, event)
        except StreamError as error:
            return self.fail(error)
        except SaslFailure as failure:
            return self._failed(failure)

    # --- the header ---

    def _open(self, event: Event) -> list[Effect]:
        assert isinstance(event, StreamOpened)
        host = self._host_of(event)
        _check_version(event.version)
        self._host = host
        self.lang = event.lang or self.lang
        self._opened = True
        try:
            to = Jid.parse(event.from_).full if event.from_ else ""
        except JidError:
            to = ""
        out: list[Effect] = [Send(self._framing.open(host.name, to, self._token()))]
        self.phase = Phase.BINDING if self.account else Phase.FEATURES
        return [*out, Send(self._features(host))]

    def _features(self, host: HostedDomain) -> bytes:
        """`<stream:features/>`: few kinds for a domain, so each is written once."""
        framing, security = self._framing, self.security
        bound = security.binding is not None
        key = (
            framing.websocket,
            bool(self.account),
            security.secure,
            security.starttls,
            security.plaintext,
            bound,
        )
        told = host.told.get(key)
        if told is None:
            if self.account:
                offered = after_authentication(self._policy, host)
            else:
                offered = before_authentication(self._policy, security, host)
            told = host.told[key] = framing.features(offered)
        return told

    def _host_of(self, event: StreamOpened) -> HostedDomain:
        if not event.to:
            raise StreamError("improper-addressing", "a stream header has a to")
        try:
            name = prepare_domain(event.to)
        except JidError:
            name = ""
        host = self._policy.find(name) if name else None
        # A stream never changes its host, least of all after authentication (section 4.7.2, CVE-2018-10847).
        if host is None or (self._host is not None and self._host.name != host.name):
            raise StreamError("host-unknown")
        return host

    # --- STARTTLS ---

    def _starttls(self, event: Event) -> list[Effect]:
        if self.security.secure or not self.security.starttls:
            return [Send(self._framing.element(Element(ns.TLS, "failure"))), *self._close(None)]
        self.phase = Phase.TLS
        return [Send(self._framing.element(Element(ns.TLS, "proceed"))), StartTls(self.domain)]

    def secured(self, binding: bytes | None) -> list[Effect]:
        """The handshake is done: everything that was said before does not count (section 5.4.3.3)."""
        self.security = Security(secure=True, binding=binding)
        self.phase = Phase.HEADER
        self._opened = False
        self.lang = ""
        return [Restart()]

    # --- SASL ---

    def _auth(self, event: Event) -> list[Effect]:
        assert isinstance(event, Element)
        self._mechanism = event.get("mechanism") or ""
        offered = mechanisms(self._policy, self.security)
        if not offered:
            raise SaslFailure("encryption-required")
        if self._mechanism not in offered:
            self._mechanism = "unknown"
            raise SaslFailure("invalid-mechanism")
        self._exchange = Exchange(
            self._mechanism,
            domain=self.domain,
            nonce=self._token(),
            binding=self.security.binding,
            keys=self._policy.mechanisms[0],
        )
        if not event.text:
            # No initial response: an empty challenge asks for the first message (section 6.4.2).
            self.phase = Phase.EXCHANGE
            return [Send(self._framing.element(Element(ns.SASL, "challenge")))]
        return self._went(self._exchange.message(event.text))

    def _response(self, event: Event) -> list[Effect]:
        assert isinstance(event, Element)
        assert self._exchange is not None
        return self._went(self._exchange.message(event.text or "="))

    def _abort(self, event: Event) -> list[Effect]:
        raise SaslFailure("aborted")

    def _misplaced(self, event: Event) -> list[Effect]:
        raise SaslFailure("malformed-request")

    def _second_auth(self, event: Event) -> list[Effect]:
        raise StreamError("policy-violation", "one authentication at a time")

    def _went(self, outcome: Outcome) -> list[Effect]:
        self.asking = False
        if isinstance(outcome, NeedCredentials):
            self.asking = True
            return [AskCredentials(outcome.account, outcome.mechanism)]
        if isinstance(outcome, NeedCheck):
            self.asking = True
            return [CheckPassword(outcome.password, outcome.credentials)]
        if isinstance(outcome, Challenge):
            self.phase = Phase.EXCHANGE
            return [Send(self._framing.element(Element(ns.SASL, "challenge", None, outcome.text)))]
        self.account = outcome.account
        self._exchange = None
        self.phase = Phase.HEADER
        self._opened = False
        return [
            Send(self._framing.element(Element(ns.SASL, "success", None, outcome.text or None))),
            AuthEnded(self._mechanism, "success"),
            Restart(),
        ]

    def _failed(self, failure: SaslFailure) -> list[Effect]:
        self.asking = False
        self._exchange = None
        self.phase = Phase.FEATURES
        text = Element(ns.SASL, "text", {"xml:lang": "en"}, failure.text) if failure.text else None
        out: list[Effect] = [
            Send(
                self._framing.element(
                    Element(ns.SASL, "failure", None, Element(ns.SASL, failure.condition), text)
                )
            ),
            AuthEnded(self._mechanism or "unknown", failure.condition),
        ]
        self._failures += 1
        if self._failures >= self._policy.failures:
            out += self.fail(StreamError("policy-violation", "too many failed authentications"))
        return out

    def credentials(self, credentials: Credentials) -> list[Effect]:
        """The answer to AskCredentials."""
        if self._exchange is None:
            return []
        try:
            return self._went(self._exchange.credentials(credentials))
        except SaslFailure as failure:
            return self._failed(failure)

    def checked(self, right: bool) -> list[Effect]:
        """The answer to CheckPassword."""
        if self._exchange is None:
            return []
        try:
            return self._went(self._exchange.checked(right))
        except SaslFailure as failure:
            return self._failed(failure)

    def denied(self, condition: str = "temporary-auth-failure") -> list[Effect]:
        """AskCredentials had no answer, or this address has failed too often."""
        return self._failed(SaslFailure(condition)) if self.phase is not Phase.CLOSED else []


def _check_version(version: str) -> None:
    """RFC 6120 section 4.7.5: a client without version 1.0 cannot negotiate."""
    major, _, minor = version.partition(".")
    if not (
        major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit() and int(major[:9]) >= 1
    ):
        raise StreamError("unsupported-version")


#: What is allowed when. A second header inside of one document never comes here: the parser refuses it.
TABLE: Final[dict[tuple[Phase, str], Callable[[Negotiation, Event], list[Effect]]]] = {
    (Phase.HEADER, "header"): Negotiation._open,
    (Phase.FEATURES, "starttls"): Negotiation._starttls,
    (Phase.FEATURES, "auth"): Negotiation._auth,
    (Phase.FEATURES, "response"): Negotiation._misplaced,
    (Phase.FEATURES, "abort"): Negotiation._abort,
    (Phase.FEATURES, "stanza"): Negotiation._early_stanza,
    (Phase.FEATURES, "enable"): Negotiation._too_early,
    (Phase.FEATURES, "resume"): Negotiation._too_early,
    (Phase.BINDING, "enable"): Negotiation._too_early,
    (Phase.BINDING, "resume"): Negotiation._resume,
    (Phase.EXCHANGE, "response"): Negotiation._response,
    (Phase.EXCHANGE, "abort"): Negotiation._abort,
    (Phase.EXCHANGE, "auth"): Negotiation._second_auth,
    (Phase.BINDING, "stanza"): Negotiation._bind,
}
