"""From the first byte to a bound resource: the negotiation of a client's stream (RFC 6120 sections 4 to 7, RFC 7395).

A pure machine: events of the parser and answers of the cluster in, effects out. What a phase allows stands in TABLE; everything
else is the stream error that OTHERWISE names for it. While `asking`, the shell holds further events back.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from rookery.edge.authentication import Challenge, Exchange, NeedCheck, NeedCredentials, Outcome
from rookery.edge.effects import (
    AskBind,
    AskCredentials,
    AskRegister,
    AskResume,
    AuthEnded,
    Begin,
    CheckPassword,
    Close,
    Effect,
    Restart,
    Send,
    StartTls,
)
from rookery.edge.features import (
    HostedDomain,
    Policy,
    Security,
    after_authentication,
    before_authentication,
    mechanisms,
)
from rookery.edge.framing import Framing
from rookery.shared.bus.messages import Bound, Credentials, NotResumed, Resumed
from rookery.shared.xeps import registration
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import JidError, StanzaError, StreamError
from rookery.shared.xmpp.jid import Jid, prepare_domain, prepare_local, prepare_resource
from rookery.shared.xmpp.sasl.common import SaslFailure
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event, StreamClosed, StreamOpened
from rookery.shared.xmpp.xml import Element

#: Failed bindings and registrations on one stream before it is closed.
MAX_TRIES: Final = 10


class Phase(Enum):
    """What the stream waits for."""

    HEADER = "a stream header"
    FEATURES = "STARTTLS, authentication or registration"
    EXCHANGE = "a SASL response"
    BINDING = "a resource"
    TLS = "the TLS handshake"
    BOUND = "nothing: the session has begun"
    CLOSED = "nothing: the stream is over"


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


class Negotiation:
    """One stream's negotiation. `token` gives fresh unpredictable text for stream ids and nonces."""

    __slots__ = (
        "_exchange", "_failures", "_framing", "_h", "_host", "_iq", "_mechanism", "_opened", "_policy", "_token", "_tries",
        "account", "asking", "lang", "phase", "security",
    )  # fmt: skip

    def __init__(
        self, policy: Policy, security: Security, framing: Framing, token: Callable[[], str]
    ) -> None:
        self._policy = policy
        self._framing = framing
        self._token = token
        self._host: HostedDomain | None = None
        self._opened = False
        self._exchange: Exchange | None = None
        self._mechanism = ""
        self._failures = 0
        self._tries = 0
        self._h = 0
        self._iq: Stanza | None = None
        self.security = security
        self.phase = Phase.HEADER
        self.account = ""
        self.lang = ""
        #: Whether an answer of the cluster is awaited.
        self.asking = False

    @property
    def domain(self) -> str:
        """The host of this stream, "" before its header."""
        return self._host.name if self._host is not None else ""

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

    # --- the end ---

    def fail(self, error: StreamError) -> list[Effect]:
        """End with a stream error; our header comes before it in any case (section 4.9.1.2)."""
        out: list[Effect] = []
        if not self._opened:
            self._opened = True
            out.append(Send(self._framing.open(self.domain or self._policy.fallback(), "", self._token())))
        out.append(Send(self._framing.error(error)))
        return [*out, *self._close(error)]

    def _close(self, error: StreamError | None) -> list[Effect]:
        out: list[Effect] = []
        if not self._opened:
            out.append(Send(self._framing.open(self.domain or self._policy.fallback(), "", self._token())))
        self.phase = Phase.CLOSED
        self.asking = False
        self._exchange = None
        return [*out, Send(self._framing.close()), Close(error)]

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
        if self.account:
            self.phase = Phase.BINDING
            offered = after_authentication(self._policy, host)
        else:
            self.phase = Phase.FEATURES
            offered = before_authentication(self._policy, self.security, host)
        return [*out, Send(self._framing.features(offered))]

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

    # --- registration before authentication (XEP-0077 section 3.1) ---

    def _early_stanza(self, event: Event) -> list[Effect]:
        assert isinstance(event, Stanza)
        assert self._host is not None
        wanted = event.kind == "iq" and event.has(registration.NS, "query") and event.id
        if not (wanted and self._host.registration and self.security.may_authenticate):
            raise StreamError("not-authorized")
        if event.type == "get":
            answer = Stanza.build(
                "iq", registration.blank_form(), type="result", id=event.id, from_=self.domain
            )
            return [Send(self._framing.stanza(answer))]
        if event.type != "set":
            raise StreamError("not-authorized")
        self._iq = event
        query = event.find(registration.NS, "query")
        assert query is not None
        username = query.find_text(registration.NS, "username") or ""
        password = query.find_text(registration.NS, "password") or ""
        email = query.find_text(registration.NS, "email") or ""
        if not username or not password:
            return self.registered(StanzaError("not-acceptable", "a username and a password are required"))
        try:
            username = prepare_local(username)
        except JidError:
            return self.registered(StanzaError("jid-malformed"))
        self.asking = True
        return [AskRegister(f"{username}@{self.domain}", self.domain, username, password, email)]

    def registered(self, error: StanzaError | None) -> list[Effect]:
        """The answer to AskRegister."""
        return self._answer(error)

    def _answer(self, error: StanzaError | None, *payload: Element) -> list[Effect]:
        iq, self._iq = self._iq, None
        self.asking = False
        if iq is None:
            return []
        if error is None:
            return [Send(self._framing.stanza(Stanza.build("iq", *payload, type="result", id=iq.id)))]
        out: list[Effect] = [Send(self._framing.stanza(iq.replace(from_="", to="").error(error)))]
        self._tries += 1
        if self._tries >= MAX_TRIES:
            out += self.fail(StreamError("policy-violation", "too many attempts"))
        return out

    # --- binding ---

    def _bind(self, event: Event) -> list[Effect]:
        assert isinstance(event, Stanza)
        if event.kind != "iq" or event.type != "set" or not event.has(ns.BIND, "bind"):
            raise StreamError("not-authorized", "bind a resource first")
        self._iq = event
        if not event.id or len(event.payloads) != 1:
            return self._answer(StanzaError("bad-request"))
        bind = event.find(ns.BIND, "bind")
        assert bind is not None
        resource = bind.find_text(ns.BIND, "resource") or ""
        try:
            resource = prepare_resource(resource) if resource else ""
        except JidError:
            return self._answer(StanzaError("bad-request", "the resource is malformed"))
        self.asking = True
        return [AskBind(self.account, resource)]

    # --- resumption (XEP-0198 section 5) ---

    def _too_early(self, event: Event) -> list[Effect]:
        """Stream management before its time: nothing is said about any stream (section 3)."""
        return self._sm_failed("unexpected-request")

    def _sm_failed(self, condition: str, h: int = -1, text: str = "") -> list[Effect]:
        self.asking = False
        out: list[Effect] = [Send(self._framing.element(sm.failed(condition, h, text)))]
        self._tries += 1
        if self._tries >= MAX_TRIES:
            out += self.fail(StreamError("policy-violation", "too many attempts"))
        return out

    def _resume(self, event: Event) -> list[Effect]:
        assert isinstance(event, Element)
        previd = event.get("previd")
        try:
            h = sm.parse_number(event.get("h"))
        except ValueError:
            return self._sm_failed("bad-request", text="h is a number from 0 to 4294967295")
        if previd is None:
            return self._sm_failed("bad-request", text="previd names the stream")
        token = sm.read_token(previd)
        if not token:
            return self._sm_failed("item-not-found")
        self.asking = True
        self._h = h
        return [AskResume(self.account, token, h)]

    def resumed(self, resumed: Resumed) -> list[Effect]:
        """The router moved the stream here."""
        management = resumed.management
        self.asking = False
        self.phase = Phase.BOUND
        element = sm.resumed(bytes(management.token), max(0, management.frontier - management.base_in))
        bound = Bound(resumed.full, resumed.grant, resumed.own_first, resumed.copies)
        return [Send(self._framing.element(element)), Begin(bound, self.lang)]

    def not_resumed(self, answer: NotResumed) -> list[Effect]:
        """The router has no such stream for this account, or the client counts too high."""
        if answer.sent >= 0:
            self.asking = False
            return self.fail(sm.too_high(self._h, answer.sent))
        return self._sm_failed("item-not-found", answer.h)

    def bound(self, bound: Bound) -> list[Effect]:
        """The router granted a resource."""
        out = self._answer(None, Element(ns.BIND, "bind", None, Element(ns.BIND, "jid", None, bound.full)))
        self.phase = Phase.BOUND
        return [*out, Begin(bound, self.lang)]

    def refused(self, error: StanzaError) -> list[Effect]:
        """The router refused, or did not answer."""
        return self._answer(error)


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
