"""Carries a client's stream on a session of BOSH: to its connection it is a `Transport` whose writes are elements.

Its bytes count as gone when the client has shown that it has them. So a message that was said into a connection that broke goes
another way when the session ends, though the client has no stream management.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from rookery.edge.bosh.machine import Answer, Machine, Token
from rookery.edge.bosh.wrapper import Ask
from rookery.shared.net.reactor import Reactor
from rookery.shared.net.timers import NEVER
from rookery.shared.net.transport import Peer
from rookery.shared.xmpp.events import Event, StreamClosed, StreamLimits

_ERROR: Final = b"<stream:error"
#: The terminal condition (XEP-0124 section 17.2) for a stream that we give up without a word of its own.
_CONDITIONS: Final = {"shutdown": "system-shutdown"}
_LOST: Final = "remote-connection-failed"


class Stream(Peer, Protocol):
    """What speaks through the transport: it takes what was parsed already."""

    @property
    def limits(self) -> StreamLimits:
        """What the client may say by now."""

    def on_events(self, events: list[Event], size: int) -> None:
        """What a request had inside; its size is in bytes."""


class BoshTransport:
    """See the module's text. `reply` answers a request, `gone` is called when the session may be forgotten."""

    __slots__ = (
        "_error", "_gone", "_peer", "_pulling", "_reactor", "_reply", "held", "machine", "open", "secured", "wake_slot",
    )  # fmt: skip
    _peer: Stream

    def __init__(
        self,
        reactor: Reactor,
        machine: Machine,
        reply: Callable[[Answer, str], None],
        gone: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self.machine = machine
        self._reply = reply
        self._gone = gone
        self._error = False
        self._pulling = False
        self.open = True
        self.held = 0
        self.wake_slot = 0
        #: Whether the first request came over TLS: then all must (section 19.1).
        self.secured = False

    def begin(self, stream: Stream) -> None:
        """What clients say goes there."""
        self._peer = stream

    # --- requests ---

    @property
    def limits(self) -> StreamLimits | None:
        """What an element may cost; None when nothing is heard any more."""
        return self._peer.limits if self.open else None

    def request(self, ask: Ask, token: Token) -> None:
        """A request came for this session."""
        self.machine.request(ask, token, self._reactor.now)
        self._pull()

    def refuse(self, condition: str, token: Token) -> None:
        """A request of this session cannot be read."""
        self.machine.fail(condition, token)
        self._pull()

    def _pull(self) -> None:
        """Hand on what is in order, unless the stream is not to be read now."""
        self._reactor.dirty(self)
        if self._pulling:
            return
        self._pulling = True
        machine = self.machine
        while self.open and not self.held:
            ask = machine.following(self._reactor.now)
            if ask is None:
                break
            self._peer.on_progress(self.waiting == 0)
            self._peer.on_events(self._events(ask), ask.size)
        self._pulling = False
        if machine.over and machine.condition and self.open:
            # It was the client that broke a rule: its stream may be resumed by another session.
            self._lost("error")

    def _events(self, ask: Ask) -> list[Event]:
        if not ask.sid or ask.restart:
            # XEP-0206 section 5: what else such a request has inside is ignored.
            return [ask.header]
        return [*ask.events, StreamClosed()] if ask.type else ask.events

    # --- Transport ---

    @property
    def queued(self) -> int:
        """Bytes ever written."""
        return self.machine.queued

    @property
    def waiting(self) -> int:
        """Bytes that the client may not have."""
        return self.machine.queued - self.machine.confirmed

    @property
    def since(self) -> float:
        """A client that asks for nothing is dealt with here: what waits for it has never waited long."""
        return (self._reactor.clock() or 1e-9) if self.waiting else 0.0

    def write(self, data: bytes) -> None:
        """Queue one element; the stream's own header and end are none here."""
        if data and not self.machine.over:
            self._error = self._error or data.startswith(_ERROR)
            self.machine.write(data)
            self._reactor.dirty(self)

    def finish(self) -> None:
        """End the session in order, or with the stream's error."""
        self.machine.finish("remote-stream-error" if self._error else "")
        self._reactor.dirty(self)

    def abort(self, reason: str) -> None:
        """End the session without a word of the stream."""
        if self.open:
            self.machine.finish(_CONDITIONS.get(reason, _LOST))
            self._reactor.dirty(self)
            self._lost(reason)

    def _lost(self, reason: str) -> None:
        self.open = False
        self._peer.on_lost(reason)

    def hold(self, reason: int) -> None:
        """Hand on nothing."""
        self.held |= reason

    def release(self, reason: int) -> None:
        """Go on when no other reason is left."""
        if self.held & reason:
            self.held &= ~reason
            if not self.held and self.machine.behind:
                self._reactor.again(self)

    def again(self) -> None:
        """Continue in the next turn."""
        self._reactor.again(self)

    def secure(self, domain: str) -> bool:
        """There is no STARTTLS inside of HTTP (XEP-0206 section 2)."""
        return False

    # --- Source, Flushable, Timed: for the reactor ---

    def on_again(self) -> None:
        """The next turn has come."""
        self._peer.on_again()
        self._pull()

    def on_events(self, mask: int) -> None:
        """It has no socket."""

    def flush(self) -> None:
        """The end of a turn: answer what is due."""
        machine = self.machine
        for answer in machine.flush(self._reactor.now):
            self._reply(answer, machine.terms.content)
        if machine.over and self.open:
            self._lost("closed")
        self._reactor.at(self, machine.due)

    def on_timer(self, now: float) -> float:
        """A request has waited long enough, or the client is gone."""
        machine = self.machine
        if not machine.forgotten(now):
            machine.tick(now)
            self._reactor.dirty(self)
            return machine.due
        self._gone()
        if self.open:
            machine.fail("item-not-found", None)
            self._reactor.dirty(self)
            self._lost("timeout")
        return NEVER
