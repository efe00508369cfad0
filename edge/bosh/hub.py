"""All sessions of BOSH at this edge, and the way to those of other edges.

A sid ends with the incarnation of the edge that owns the session. A request that reaches another edge is handed to the owner on the
bus, and the answer comes back the same way: a load balancer may send each request anywhere. When the owner is gone, so is the
session (`item-not-found`): the client begins anew, and resumes its stream if it had stream management.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from rookery.edge.bosh.machine import Answer, Machine
from rookery.edge.bosh.terms import agree, told
from rookery.edge.bosh.transport import BoshTransport, Stream
from rookery.edge.bosh.wrapper import REPEAT, TEXT_XML, Ask, BadBodyError, read, read_wish, terminal
from rookery.edge.context import Context
from rookery.shared.bus.messages import BoshAsk, BoshTold, Kind
from rookery.shared.observe.exchange import Response
from rookery.shared.xeps.bosh import Options
from rookery.shared.xmpp.body import BodyParser, Wrapped, empty
from rookery.shared.xmpp.errors import JidError, StreamError
from rookery.shared.xmpp.events import StreamLimits
from rookery.shared.xmpp.jid import prepare_domain

#: What the wrapper of a request may add to the size of what is inside.
WRAPPER_BYTES: Final = 4096
#: Requests of other edges' sessions that wait here, at most.
MAX_FORWARDED: Final = 20_000


class Client(Protocol):
    """Whoever sent a request."""

    def reply(self, answer: Response) -> None:
        """The answer; dropped when the client is gone."""


class Local(NamedTuple):
    """A request that came to this edge: its client, and what each answer to it has as further headers."""

    client: Client
    headers: tuple[tuple[str, str], ...]


class _Remote(NamedTuple):
    """A request that another edge handed over."""

    edge: str
    id: int


class Place(NamedTuple):
    """Where the sessions are: this edge, the living ones, and how a stream is begun here (address, transport, by TLS).

    `adopt` returns None for an address that has too many connections.
    """

    incarnation: str
    edges: Callable[[], list[str]]
    adopt: Callable[[str, BoshTransport, bool], Stream | None]


class Hub:
    """See the module's text."""

    def __init__(self, context: Context, options: Options, place: Place) -> None:
        self._context = context
        self._options = options
        self._place = place
        self._sessions: dict[str, BoshTransport] = {}
        #: Requests of sessions elsewhere: the edge that has to answer, and whom.
        self._forwarded: dict[int, tuple[str, Local]] = {}
        self._ids = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def items(self) -> dict[type, Callable[[str, Any], None]]:
        """Who handles what of the bus."""
        return {BoshAsk: self._on_ask, BoshTold: self._on_told}

    def post(self, body: bytes, host: str, secure: bool, local: Local) -> None:
        """A request came to this edge; it is answered later, at the soonest at the end of the turn."""
        self._take(body, host, secure, local)

    # --- from here and from other edges ---

    def _choose(self, size: int, sid: str) -> StreamLimits | None:
        """What an element of a document of this size may cost. Raises StreamError."""
        session = self._sessions.get(sid)
        limits = self._context.before
        if sid:
            found = None if session is None else session.limits
            if found is None:
                return None
            limits = found
        if size > limits.bytes + WRAPPER_BYTES:
            raise StreamError("policy-violation")
        return limits

    def _take(self, body: bytes, host: str, secure: bool, token: Local | _Remote) -> None:
        wrapped = empty(body)
        if wrapped is None:
            parser = BodyParser(partial(self._choose, len(body)))
            try:
                wrapped = parser.parse(body)
            except StreamError as error:
                condition = "policy-violation" if error.condition == "policy-violation" else "bad-request"
                self._unreadable(parser.attributes, condition, token)
                return
        try:
            ask = read(wrapped, len(body))
            if not ask.sid:
                self._create(ask, wrapped, host, secure, token)
                return
        except BadBodyError as error:
            self._unreadable(wrapped.attrs, error.condition, token)
            return
        session = self._sessions.get(ask.sid)
        if session is None:
            self._elsewhere(ask.sid, body, host, secure, token)
        elif session.secured and not secure:
            # Section 19.1: the session goes on, or anybody could end it.
            self._answer(token, 403, b"this session is one over TLS\n")
        else:
            session.request(ask, token)

    def _unreadable(self, attrs: dict[str, str], condition: str, token: Local | _Remote) -> None:
        """A document breaks the rules: that ends its session when it comes from someone who knows the number that is due."""
        session = self._sessions.get(attrs.get("sid", ""))
        rid = attrs.get("rid", "")
        if session is not None and rid.isdecimal() and len(rid) < 17 and session.machine.expects(int(rid)):
            session.refuse(condition, token)
        else:
            self._answer(token, 200, terminal(condition))

    def _create(self, ask: Ask, wrapped: Wrapped, host: str, secure: bool, token: Local | _Remote) -> None:
        wish = read_wish(wrapped)
        if ask.type:
            raise BadBodyError
        if not ask.to:
            raise BadBodyError("improper-addressing")
        try:
            domain = prepare_domain(ask.to)
        except JidError:
            raise BadBodyError("host-unknown") from None
        if self._context.policy.find(domain) is None:
            raise BadBodyError("host-unknown")
        terms = agree(wish, self._options)
        sid = f"{self._context.token()}.{self._place.incarnation}"
        machine = Machine(terms, ask, told(terms, sid, ask.rid, domain))
        transport = BoshTransport(self._context.reactor, machine, self._reply, lambda: self._forget(sid))
        transport.secured = secure
        stream = self._place.adopt(host, transport, secure)
        if stream is None:
            self._answer(token, 429, b"too many connections\n")
            return
        transport.begin(stream)
        self._sessions[sid] = transport
        transport.request(ask, token)

    def _forget(self, sid: str) -> None:
        self._sessions.pop(sid, None)

    # --- answers ---

    def _reply(self, answer: Answer, content: str) -> None:
        """What a session answers, at the end of a turn."""
        token, status, data = answer
        if isinstance(token, Local):
            token.client.reply(Response(status, data, content, token.headers))
        else:
            assert isinstance(token, _Remote)
            self._answer(token, status, data, content)

    def _answer(self, token: Local | _Remote, status: int, data: bytes, content: str = TEXT_XML) -> None:
        if isinstance(token, _Remote):
            self._context.bus.post_to(token.edge, BoshTold(token.id, status, data, content))
        else:
            # A handler has not returned yet: what it is answered leaves with the end of the turn.
            self._context.reactor.dirty(_Last(token, Response(status, data, content, token.headers)))

    # --- sessions of other edges ---

    def _elsewhere(self, sid: str, body: bytes, host: str, secure: bool, token: Local | _Remote) -> None:
        edge = sid.rpartition(".")[2]
        if (
            isinstance(token, _Remote)
            or edge == self._place.incarnation
            or edge not in self._place.edges()
            or len(self._forwarded) >= MAX_FORWARDED
        ):
            self._answer(token, 200, terminal("item-not-found"))
            return
        self._ids += 1
        self._forwarded[self._ids] = edge, token
        self._context.bus.post_to(edge, BoshAsk(self._ids, body, host, secure), kind=Kind.EDGE)

    def _on_ask(self, source: str, item: BoshAsk) -> None:
        self._context.reactor.touch()
        self._take(item.body, item.host, item.secure, _Remote(source, item.id))

    def _on_told(self, source: str, item: BoshTold) -> None:
        waiting = self._forwarded.pop(item.id, None)
        if waiting is not None and waiting[0] == source:
            self._answer(waiting[1], item.status, item.data, item.content)

    def on_lost(self, edge: str) -> None:
        """An edge is gone with its sessions."""
        self._settle(edge, terminal("item-not-found"))

    def on_reset(self, edge: str) -> None:
        """What another edge was told, or told us, may be lost: clients repeat their requests."""
        self._settle(edge, REPEAT)

    def _settle(self, edge: str, data: bytes) -> None:
        for id_, (owner, token) in list(self._forwarded.items()):
            if owner == edge:
                del self._forwarded[id_]
                self._answer(token, 200, data)


class _Last:
    """An answer that leaves at the end of the turn."""

    __slots__ = ("_local", "_response")

    def __init__(self, local: Local, response: Response) -> None:
        self._local = local
        self._response = response

    def flush(self) -> None:
        self._local.client.reply(self._response)

    def abort(self, reason: str) -> None:
        """Nothing is left to close."""
