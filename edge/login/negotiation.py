"""From the first byte to a bound resource: the negotiation of a client's stream (RFC 6120 sections 4 to 7, RFC 7395).

A pure machine: events of the parser and answers of the cluster in, effects out. What a phase allows stands in TABLE; everything
else is the stream error that OTHERWISE names for it. While its stream is `asking`, the shell holds further events back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rookery.edge.login.authentication import Authentication
from rookery.edge.login.binding import Binding, Resuming
from rookery.edge.login.effects import Effect, Phase, Restart, Send, StartTls
from rookery.edge.login.features import after_authentication, before_authentication, external
from rookery.edge.login.framing import Framing
from rookery.edge.login.inline import Inline
from rookery.edge.login.registering import Registering
from rookery.edge.login.stream import Stream
from rookery.edge.policy import HostedDomain, Policy, Security
from rookery.shared.bus.messages import Bound, NotResumed, Resumed
from rookery.shared.xeps import sasl2
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import JidError, StanzaError, StreamError
from rookery.shared.xmpp.jid import Jid, bare_of, prepare_domain
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
    (sasl2.NS, "authenticate"): "authenticate",
    (sasl2.NS, "response"): "response",
    (sasl2.NS, "abort"): "abort",
    (sasl2.NS, "next"): "next",
    (sasl2.NS, "task-data"): "task-data",
    (sm.NS, "enable"): "enable",
    (sm.NS, "resume"): "resume",
}
#: What a phase answers to what it does not allow.
OTHERWISE: Final = {
    Phase.HEADER: "bad-format",
    Phase.FEATURES: "not-authorized",
    Phase.EXCHANGE: "not-authorized",
    Phase.TASK: "not-authorized",
    Phase.BINDING: "not-authorized",
    Phase.TLS: "not-authorized",
    Phase.BOUND: "unsupported-stanza-type",
}


class Negotiation:
    """One stream's negotiation: header and STARTTLS itself, the rest in parts that the cluster's answers are given to."""

    __slots__ = ("authentication", "binding", "inline", "registering", "resuming", "stream")

    def __init__(
        self, policy: Policy, security: Security, framing: Framing, token: Callable[[], str]
    ) -> None:
        self.stream = Stream(policy, security, framing, token)
        self.inline = Inline(self.stream)
        self.authentication = Authentication(self.stream, self.inline)
        self.registering = Registering(self.stream)
        self.binding = Binding(self.stream)
        self.resuming = Resuming(self.stream)

    def handle(self, event: Event) -> list[Effect]:
        """Take one event of the parser."""
        stream = self.stream
        if stream.phase is Phase.CLOSED:
            return []
        if isinstance(event, StreamError):
            return stream.fail(event)
        if isinstance(event, StreamClosed):
            return stream.close(None)
        if isinstance(event, StreamOpened):
            word = "header"
        elif isinstance(event, Stanza):
            word = "stanza"
        else:
            word = _WORDS.get((event.ns, event.name), "element")
        act = TABLE.get((stream.phase, word))
        try:
            if act is None:
                return stream.fail(StreamError("bad-format" if word == "header" else OTHERWISE[stream.phase]))
            return act(self, event)
        except StreamError as error:
            return stream.fail(error)
        except SaslFailure as failure:
            return self.authentication.failed(failure)

    # --- the header ---

    def open(self, event: Event) -> list[Effect]:
        """The client's header: ours, and what is offered."""
        assert isinstance(event, StreamOpened)
        stream = self.stream
        host = self._host_of(event)
        _check_version(event.version)
        stream.host = host
        stream.lang = event.lang or stream.lang
        try:
            to = Jid.parse(event.from_).full if event.from_ else ""
        except JidError:
            to = ""
        stream.from_ = bare_of(to)
        out = [stream.open(host.name, to)]
        stream.phase = Phase.BINDING if stream.account else Phase.FEATURES
        return [*out, Send(self._features(host))]

    def _features(self, host: HostedDomain) -> bytes:
        """`<stream:features/>`: few kinds for a domain, so each is written once."""
        stream = self.stream
        framing, security, policy = stream.framing, stream.security, stream.policy
        bound = security.binding is not None
        key = (
            framing.websocket,
            bool(stream.account),
            security.secure,
            security.starttls,
            security.plaintext,
            bound,
            external(security, host),
        )
        told = host.told.get(key)
        if told is None:
            if stream.account:
                offered = after_authentication(policy, host)
            else:
                offered = before_authentication(policy, security, host)
            told = host.told[key] = framing.features(offered)
        return told

    def _host_of(self, event: StreamOpened) -> HostedDomain:
        if not event.to:
            raise StreamError("improper-addressing", "a stream header has a to")
        try:
            name = prepare_domain(event.to)
        except JidError:
            name = ""
        former = self.stream.host
        host = self.stream.policy.find(name) if name else None
        # A stream never changes its host, least of all after authentication (section 4.7.2, CVE-2018-10847).
        if host is None or (former is not None and former.name != host.name):
            raise StreamError("host-unknown")
        return host

    # --- answers of the cluster: to what came with the authentication, or to a step of its own ---

    def bound(self, bound: Bound, enabled: Element | None, ends: Element | None = None) -> list[Effect]:
        """The answer to AskBind; `enabled` of stream management and `ends` of the archive, as far as they were asked for."""
        return self.inline.bound(bound, enabled, ends) if self.inline.active else self.binding.bound(bound)

    def unbound(self, error: StanzaError) -> list[Effect]:
        """AskBind was refused, or had no answer."""
        return self.inline.refused(error) if self.inline.active else self.binding.refused(error)

    def resumed(self, resumed: Resumed) -> list[Effect]:
        """The answer to AskResume."""
        return self.inline.resumed(resumed) if self.inline.active else self.resuming.resumed(resumed)

    def not_resumed(self, answer: NotResumed) -> list[Effect]:
        """There is no such stream."""
        return self.inline.not_resumed(answer) if self.inline.active else self.resuming.not_resumed(answer)

    # --- STARTTLS ---

    def starttls(self, event: Event) -> list[Effect]:
        """`<starttls/>`."""
        stream = self.stream
        if stream.security.secure or not stream.security.starttls:
            return [Send(stream.framing.element(Element(ns.TLS, "failure"))), *stream.close(None)]
        stream.phase = Phase.TLS
        return [Send(stream.framing.element(Element(ns.TLS, "proceed"))), StartTls(stream.domain)]

    def secured(self, security: Security) -> list[Effect]:
        """The handshake is done: everything that was said before does not count (section 5.4.3.3)."""
        stream = self.stream
        stream.security = security
        stream.lang = ""
        stream.renew()
        return [Restart()]


def _check_version(version: str) -> None:
    """RFC 6120 section 4.7.5: a client without version 1.0 cannot negotiate."""
    major, _, minor = version.partition(".")
    if not (
        major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit() and int(major[:9]) >= 1
    ):
        raise StreamError("unsupported-version")


#: What is allowed when. A second header inside of one document never comes here: the parser refuses it.
TABLE: Final[dict[tuple[Phase, str], Callable[[Negotiation, Event], list[Effect]]]] = {
    (Phase.HEADER, "header"): Negotiation.open,
    (Phase.FEATURES, "starttls"): Negotiation.starttls,
    (Phase.FEATURES, "auth"): lambda it, event: it.authentication.auth(event),
    (Phase.FEATURES, "authenticate"): lambda it, event: it.authentication.authenticate(event),
    (Phase.FEATURES, "response"): lambda it, event: it.authentication.misplaced(event),
    (Phase.FEATURES, "abort"): lambda it, event: it.authentication.abort(event),
    (Phase.FEATURES, "stanza"): lambda it, event: it.registering.stanza(event),
    (Phase.FEATURES, "enable"): lambda it, event: it.resuming.too_early(event),
    (Phase.FEATURES, "resume"): lambda it, event: it.resuming.too_early(event),
    (Phase.EXCHANGE, "response"): lambda it, event: it.authentication.response(event),
    (Phase.EXCHANGE, "abort"): lambda it, event: it.authentication.abort(event),
    (Phase.EXCHANGE, "auth"): lambda it, event: it.authentication.second(event),
    (Phase.EXCHANGE, "authenticate"): lambda it, event: it.authentication.second(event),
    (Phase.TASK, "next"): lambda it, event: it.inline.next(event),
    (Phase.TASK, "task-data"): lambda it, event: it.inline.task_data(event),
    (Phase.TASK, "abort"): lambda it, event: it.authentication.abort(event),
    (Phase.TASK, "auth"): lambda it, event: it.authentication.second(event),
    (Phase.TASK, "authenticate"): lambda it, event: it.authentication.second(event),
    (Phase.BINDING, "stanza"): lambda it, event: it.binding.stanza(event),
    (Phase.BINDING, "enable"): lambda it, event: it.resuming.too_early(event),
    (Phase.BINDING, "resume"): lambda it, event: it.resuming.resume(event),
}
