"""What comes from one client: its parser, the rate that it may send at, what a turn has left over, and why it is not read.

A turn handles so many events of one client; the rest waits here, and its socket is not read meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from rookery.edge.client.limits import Shaper, weight
from rookery.edge.context import Context
from rookery.edge.sessions.session import Session
from rookery.shared.net.timers import NEVER
from rookery.shared.net.transport import ASKING, BACKLOG, CONGESTED, FULL, SHAPED, Transport
from rookery.shared.observe import metrics
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.stream import Event, FrameParser, StreamParser

#: Stanzas that one connection may send in one turn.
TURN_STANZAS: Final = 64
#: What ends a turn early, and what keeps a backlog waiting.
_PAUSED: Final = ASKING | FULL
_BUSY: Final = _PAUSED | SHAPED
_LIMITED: Final = metrics.RATELIMIT.labels("session")


class Reader(Protocol):
    """Whose inbox it is."""

    def other(self, event: Event) -> Session | None:
        """Handle what is no stanza of a session; returns the session that the stream has then."""

    def wake(self, at: float) -> None:
        """Call `Inbox.unshape` at `at`."""


class Inbox:
    """See the module's text."""

    __slots__ = (
        "_context", "_epoch", "_in_clear", "_reader", "_websocket", "closed", "left", "parser", "shaper", "transport",
    )  # fmt: skip
    transport: Transport

    def __init__(self, context: Context, websocket: bool, reader: Reader) -> None:
        self._context = context
        self._websocket = websocket
        self._reader = reader
        #: Changes with every restart: what a loop over events then still has is not to be handled.
        self._epoch = 0
        #: Whether the last restart was that of STARTTLS.
        self._in_clear = False
        #: Whether the stream is over: nothing more is handled.
        self.closed = False
        #: Events of an earlier turn.
        self.left: deque[Event] | None = None
        #: None while the client has no limits (as a session).
        self.shaper: Shaper | None = None
        self.parser = self._new_parser(authenticated=False)

    def _new_parser(self, *, authenticated: bool) -> StreamParser | FrameParser:
        limits = self._context.after if authenticated else self._context.before
        return FrameParser(limits) if self._websocket else StreamParser(limits)

    def admit(self) -> None:
        """What comes from now on is of a client that has authenticated."""
        self.parser.limits = self._context.after

    # --- events ---

    def handle(self, events: Iterable[Event], session: Session | None) -> None:
        """Handle events in order, as many as a turn allows; keep the rest."""
        if self.left is not None:
            self.left.extend(events)
            return
        transport = self.transport
        shaper = self.shaper
        budget = TURN_STANZAS
        spent = 0
        epoch = self._epoch
        rest = iter(events)
        for event in rest:
            if session is not None and event.__class__ is Stanza:
                session.take(event)
            else:
                session = self._reader.other(event)
            budget -= 1
            spent += 1 if shaper is None else weight(event)
            if self.closed:
                return
            if epoch != self._epoch:
                # What came in clear behind <starttls/> is forgotten; behind anything else a client has to wait.
                if not self._in_clear and next(rest, None) is not None:
                    self._reader.other(StreamError("policy-violation", "wait for the restart of the stream"))
                return
            if budget <= 0 or transport.held & _PAUSED:
                break
        self.shape(0, spent)
        left = deque(rest)
        if left:
            self.left = left
            transport.hold(BACKLOG)
            if not transport.held & _BUSY:
                transport.again()
        elif session is not None and self._context.is_congested:
            self.congest()

    def again(self, session: Session | None) -> None:
        """Handle what an earlier turn left."""
        left = self.left
        if left is None or self.closed or self.transport.held & _BUSY:
            return
        self.left = None
        self.handle(left, session)
        if not self.behind and not self.closed:
            self.transport.release(BACKLOG)

    @property
    def behind(self) -> bool:
        """Whether events of an earlier turn are not handled yet."""
        return self.left is not None

    def restart(self, *, authenticated: bool, in_clear: bool) -> None:
        """The stream begins anew: what came before is not of the new one.

        Before TLS it came in clear and is forgotten (RFC 6120 section 5.4.3.3); after SASL a client has to wait for our answer.
        """
        self._epoch += 1
        self._in_clear = in_clear
        left = self.left
        self.left = None
        self.parser.close()
        self.parser = self._new_parser(authenticated=authenticated)
        self.transport.release(BACKLOG)
        if left and not in_clear:
            self._reader.other(StreamError("policy-violation", "wait for the restart of the stream"))

    def close(self) -> None:
        """The stream is over."""
        self.closed = True
        self.left = None
        self.parser.close()

    # --- reasons not to read ---

    def shape(self, size: int, stanzas: int) -> None:
        """Bytes and stanzas came: do not read for a while when they were more than the client may send."""
        shaper = self.shaper
        if shaper is not None and shaper.take(size, stanzas, self._context.reactor.now):
            if not self.transport.held & SHAPED:
                _LIMITED.inc()
            self.transport.hold(SHAPED)
            self._reader.wake(shaper.until)

    def unshape(self, now: float) -> float:
        """Read again when the client may send again; returns when to look (NEVER: nothing waits for that)."""
        shaper = self.shaper
        if shaper is None or not self.transport.held & SHAPED:
            return NEVER
        if now < shaper.until:
            return shaper.until
        self.release(SHAPED)
        return NEVER

    def congest(self) -> None:
        """The bus has no room: do not read until it has."""
        if not self.transport.held & CONGESTED:
            self.transport.hold(CONGESTED)
            self._context.congested.append(self)

    def uncongested(self) -> None:
        """The bus has room again."""
        if not self.closed:
            self.release(CONGESTED)

    def release(self, reason: int) -> None:
        """Read again when no other reason is left; first what is left over."""
        self.transport.release(reason)
        if self.left is not None:
            self.transport.again()
