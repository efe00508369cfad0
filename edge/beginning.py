"""The part of negotiation behind authentication, and before it for those without an account: binding, resumption, registration.

`edge.negotiation` has the rest and the table of what is allowed when; this is the base of its machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rookery.edge.authentication import Exchange
from rookery.edge.effects import AskBind, AskRegister, AskResume, Begin, Close, Effect, Phase, Send
from rookery.edge.features import HostedDomain, Policy, Security
from rookery.edge.framing import Framing
from rookery.shared.bus.messages import Bound, NotResumed, Resumed
from rookery.shared.xeps import registration
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import JidError, StanzaError, StreamError
from rookery.shared.xmpp.jid import conform_resource, prepare_local
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event
from rookery.shared.xmpp.xml import Element

#: Failed bindings, resumptions and registrations on one stream before it is closed.
MAX_TRIES: Final = 10


class Beginning:
    """What a negotiation knows. `token` gives fresh unpredictable text for stream ids and nonces."""

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

    # --- registration before authentication (XEP-0077 section 3.1) ---

    def _early_stanza(self, event: Event) -> list[Effect]:
        assert isinstance(event, Stanza)
        assert self._host is not None
        wanted = event.kind == "iq" and event.has(registration.NS, "query") and event.id
        if not (wanted and self._host.registration and self.security.may_authenticate):
            raise StreamError("not-authorized")
        if event.type == "get":
            answer = Stanza.build(
                "iq",
                registration.blank_form(self._policy.instructions),
                type="result",
                id=event.id,
                from_=self.domain,
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
        self.asking = True
        return [AskBind(self.account, conform_resource(resource) if resource else "")]

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
