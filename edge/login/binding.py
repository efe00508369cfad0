"""The last step of a negotiation: a resource is bound (RFC 6120 section 7), or an earlier stream goes on (XEP-0198 section 5)."""

from __future__ import annotations

from rookery.edge.login.answering import Answering
from rookery.edge.login.effects import AskBind, AskResume, Begin, Effect, Phase, Send
from rookery.edge.login.stream import Stream
from rookery.shared.bus.messages import Bound, NotResumed, Resumed
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError, StreamError
from rookery.shared.xmpp.jid import conform_resource
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event
from rookery.shared.xmpp.xml import Element


class Binding:
    """Bindings of one stream. A pure machine."""

    __slots__ = ("_request", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._request = Answering(stream)

    def stanza(self, event: Event) -> list[Effect]:
        """A stanza of a client that has authenticated: only a request to bind is allowed."""
        assert isinstance(event, Stanza)
        if event.kind != "iq" or event.type != "set" or not event.has(ns.BIND, "bind"):
            raise StreamError("not-authorized", "bind a resource first")
        self._request.begin(event)
        if not event.id or len(event.payloads) != 1:
            return self.refused(StanzaError("bad-request"))
        bind = event.find(ns.BIND, "bind")
        assert bind is not None
        resource = bind.find_text(ns.BIND, "resource") or ""
        self._stream.asking = True
        return [AskBind(self._stream.account, conform_resource(resource) if resource else "")]

    def bound(self, bound: Bound) -> list[Effect]:
        """The router granted a resource."""
        jid = Element(ns.BIND, "jid", None, bound.full)
        out = self._request.answer(None, Element(ns.BIND, "bind", None, jid))
        self._stream.phase = Phase.BOUND
        return [*out, Begin(bound, self._stream.lang)]

    def refused(self, error: StanzaError) -> list[Effect]:
        """The router refused, or did not answer."""
        return self._request.answer(error)


class Resuming:
    """Resumptions of one stream. A pure machine."""

    __slots__ = ("_h", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        #: What the client says that it has.
        self._h = 0

    def too_early(self, event: Event) -> list[Effect]:
        """Stream management before its time: nothing is said about any stream (section 3)."""
        return self._failed("unexpected-request")

    def resume(self, event: Event) -> list[Effect]:
        """`<resume/>`."""
        assert isinstance(event, Element)
        previd = event.get("previd")
        try:
            h = sm.parse_number(event.get("h"))
        except ValueError:
            return self._failed("bad-request", text="h is a number from 0 to 4294967295")
        if previd is None:
            return self._failed("bad-request", text="previd names the stream")
        token = sm.read_token(previd)
        if not token:
            return self._failed("item-not-found")
        self._stream.asking = True
        self._h = h
        return [AskResume(self._stream.account, token, h)]

    def resumed(self, resumed: Resumed) -> list[Effect]:
        """The router moved the stream here."""
        stream, management = self._stream, resumed.management
        stream.asking = False
        stream.phase = Phase.BOUND
        element = sm.resumed(bytes(management.token), max(0, management.frontier - management.base_in))
        bound = Bound(resumed.full, resumed.grant, resumed.own_first, resumed.copies)
        return [Send(stream.framing.element(element)), Begin(bound, stream.lang)]

    def not_resumed(self, answer: NotResumed) -> list[Effect]:
        """The router has no such stream for this account, or the client counts too high."""
        if answer.sent >= 0:
            self._stream.asking = False
            return self._stream.fail(sm.too_high(self._h, answer.sent))
        return self._failed("item-not-found", answer.h)

    def _failed(self, condition: str, h: int = -1, text: str = "") -> list[Effect]:
        stream = self._stream
        stream.asking = False
        return [Send(stream.framing.element(sm.failed(condition, h, text))), *stream.tried()]
