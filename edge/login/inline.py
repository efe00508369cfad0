"""What a client wants at once with its authentication (XEP-0388 section 2.6.1): a token (XEP-0484), an earlier stream (XEP-0198), a resource (XEP-0386).

A pure machine. It is `active` from `<authenticate/>` to the end of that attempt; then the cluster's answers come here rather than to the
steps that a client takes one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

from rookery.edge.login.effects import Admit, AskBind, AskResume, AskToken, Begin, Effect, Phase, Send
from rookery.edge.login.exchange import NeedRedeem
from rookery.edge.login.features import after_authentication, token_mechanisms, upgrades
from rookery.edge.login.stream import Stream
from rookery.edge.login.upgrading import Upgrading
from rookery.shared.bus.messages import Bound, IssueToken, LoginToken, NotResumed, Redeem, Resumed
from rookery.shared.xeps import bind2, carbons, fast, message_archive, sasl2, sasl_upgrade
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stream import Event
from rookery.shared.xmpp.xml import Element


class Inline:
    """The requests of one attempt, and what came of them."""

    __slots__ = ("_additional", "_h", "_proved", "_request", "_said", "_stream", "_tasks", "token")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._request: sasl2.Request | None = None
        self._tasks = Upgrading(stream)
        self._additional = ""
        self._proved = b""
        self._h = 0
        #: What became of the token that the client came with; it may bring the next one.
        self.token: LoginToken | None = None
        #: What `<success/>` will have.
        self._said: list[Element] = []

    @property
    def active(self) -> bool:
        """Whether answers of the cluster belong here."""
        return self._request is not None

    @property
    def agent(self) -> str:
        """The id that the client of this attempt says it has, "" for none."""
        return self._request.agent.id if self._request is not None else ""

    def begin(self, request: sasl2.Request) -> None:
        """An attempt begins."""
        self._request = request
        self._said = []
        self.token = None

    def end(self) -> None:
        """It failed: nothing of what it wanted is done (section 2.6.2)."""
        self._request = None

    def succeeded(self, additional: str, proved: bytes, missing: Sequence[str] = ()) -> list[Effect]:
        """The client is authenticated, by keys with the salt `proved` or (b"") by other means. The account has no keys for `missing`."""
        request, stream = self._asked(), self._stream
        self._proved = proved
        tasks = sasl_upgrade.wanted(request.upgrades, upgrades(stream.policy, stream.host), missing)
        if tasks and proved:
            return self._tasks.begin(tasks, additional, proved)
        self._additional = additional
        return self._admitted()

    def _admitted(self) -> list[Effect]:
        """Nothing stands between the client and its session any more."""
        return [Admit(), *self._tokens(self._asked())]

    # --- tasks (XEP-0480) ---

    def next(self, event: Event) -> list[Effect]:
        """`<next/>`."""
        assert isinstance(event, Element)
        return self._tasks.next(event)

    def task_data(self, event: Event) -> list[Effect]:
        """`<task-data/>`."""
        assert isinstance(event, Element)
        return self._tasks.data(event)

    def upgraded(self) -> list[Effect]:
        """The answer to AskKeys: they are stored. Success says nothing of the exchange, since `<continue/>` did."""
        if self._stream.phase is Phase.CLOSED:
            return []
        following = self._tasks.stored()
        if following is not None:
            return following
        self._additional = ""
        return self._admitted()

    def _go_on(self, request: sasl2.Request) -> list[Effect]:
        """Resumption comes first, then binding (XEP-0386 section 4)."""
        return self._resume(request.resume) if request.resume is not None else self._bind()

    def _asked(self) -> sasl2.Request:
        assert self._request is not None
        return self._request

    # --- tokens ---

    def _tokens(self, request: sasl2.Request) -> list[Effect]:
        if self.token is not None:
            return self.issued(self.token)
        wanted, agent = self._wanted(request), request.agent
        if not wanted:
            return self._go_on(request)
        self._stream.asking = True
        issue = IssueToken(self._stream.account, agent.id, wanted, self._proved, agent.software, agent.device)
        return [AskToken(issue)]

    def _wanted(self, request: sasl2.Request) -> str:
        """The mechanism that a token is to be made for: one of those that are offered, for a client that says who it is."""
        offered = token_mechanisms(self._stream.policy, self._stream.security)
        if request.mechanism == "EXTERNAL":
            return ""  # a token would outlive the certificate, which the client shows anyway
        return request.token if request.agent.id and request.token in offered else ""

    def redeem(self, claim: NeedRedeem, mechanism: str) -> Redeem:
        """What the account worker is asked about a token."""
        request = self._asked()
        agent, use = request.agent, request.fast
        assert use is not None
        return Redeem(
            claim.account,
            agent.id,
            mechanism,
            claim.binding,
            claim.proof,
            use.counter,
            use.invalidate,
            self._wanted(request),
            agent.software,
            agent.device,
        )

    def issued(self, token: LoginToken | None) -> list[Effect]:
        """The answer to AskToken, None for none: then the client goes on without."""
        self._stream.asking = False
        if token is not None and token.token:
            self._said.append(fast.token(token.token, token.expires))
        return self._go_on(self._asked())

    # --- resumption ---

    def _resume(self, element: Element) -> list[Effect]:
        try:
            h = sm.parse_number(element.get("h"))
        except ValueError:
            return self._not_resumed("bad-request", text="h is a number from 0 to 4294967295")
        token = sm.read_token(element.get("previd") or "")
        if not token:
            return self._not_resumed("item-not-found")
        self._stream.asking = True
        self._h = h
        return [AskResume(self._stream.account, token, h)]

    def resumed(self, resumed: Resumed) -> list[Effect]:
        """The router moved the stream here: a resource is bound already, so what else was asked for is ignored."""
        management = resumed.management
        bound = Bound(resumed.full, resumed.grant, resumed.own_first, resumed.copies)
        element = sm.resumed(bytes(management.token), max(0, management.frontier - management.base_in))
        return self._begin(bound, [element], None)

    def not_resumed(self, answer: NotResumed) -> list[Effect]:
        """The router has no such stream for this account, or the client counts too high."""
        self._stream.asking = False
        if answer.sent >= 0:
            return self._stream.fail(sm.too_high(self._h, answer.sent))
        return self._not_resumed("item-not-found", answer.h)

    def _not_resumed(self, condition: str, h: int = -1, text: str = "") -> list[Effect]:
        self._said.append(sm.failed(condition, h, text))
        return self._bind()

    # --- binding ---

    def _bind(self) -> list[Effect]:
        stream, request = self._stream, self._asked()
        wanted = request.bind
        if wanted is None:
            return self._success(stream.account, Phase.BINDING)
        stream.asking = True
        resource = bind2.resource(wanted.tag, stream.account, request.agent.id, stream.token())
        marks = (message_archive.MARK, *((carbons.MARK,) if wanted.carbons else ()))
        return [AskBind(stream.account, resource, marks, wanted.enable)]

    def bound(self, bound: Bound, enabled: Element | None, ends: Element | None = None) -> list[Effect]:
        """The router granted a resource; `enabled` is the answer of stream management, `ends` are those of the archive (section 4.2)."""
        wanted = self._asked().bind
        assert wanted is not None
        answers = [answer for answer in (ends, enabled) if answer is not None]
        return self._begin(bound, [bind2.bound(answers)], wanted.active)

    def refused(self, error: StanzaError) -> list[Effect]:
        """The router refused, or did not answer: the client is authenticated, and may bind a resource as RFC 6120 has it."""
        return [*self._success(self._stream.account, Phase.BINDING), *self._stream.tried()]

    # --- the end ---

    def _begin(self, bound: Bound, said: list[Element], active: bool | None) -> list[Effect]:
        self._said += said
        return [*self._success(bound.full, Phase.BOUND), Begin(bound, self._stream.lang, active)]

    def _success(self, jid: str, phase: Phase) -> list[Effect]:
        stream = self._stream
        stream.asking = False
        stream.phase = phase
        element = sasl2.success(self._additional, jid, self._said)
        self._request = None
        self._said = []
        return [Send(stream.framing.element(element)), Send(self._features(phase))]

    def _features(self, phase: Phase) -> bytes:
        """Features follow at once, there is no new header (section 2.6.1)."""
        stream = self._stream
        assert stream.host is not None
        key = (stream.framing.websocket, "inline", phase)
        told = stream.host.told.get(key)
        if told is None:
            offered = after_authentication(stream.policy, stream.host)
            if phase is Phase.BOUND:
                offered = [one for one in offered if one.ns not in (ns.BIND, ns.SESSION)]
            told = stream.host.told[key] = stream.framing.features(offered)
        return told
