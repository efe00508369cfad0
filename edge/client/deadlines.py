"""When a connection has to have done something: negotiate, shake hands, be heard. A pure machine for each connection.

What its socket does not take, its shaper and its stream management have deadlines of their own.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from rookery.edge.timers import NEVER
from rookery.shared.config import Limits

#: After so many quiet seconds the XML parser is freed until the next byte.
HIBERNATE_SECONDS: Final = 10.0
#: How long a closed stream may take to say its last words.
LINGER_SECONDS: Final = 2.0


class Silence(Enum):
    """What the silence of a client asks for."""

    NOTHING = "nothing"
    HIBERNATE = "free its parser"
    ASK = "ask whether it lives"
    DEAD = "close: it was asked, and has not answered"


class Deadlines:
    """See the module's text. All times are those of the reactor's clock."""

    __slots__ = ("_answer_seconds", "_idle_seconds", "asked", "end", "handshake", "heard", "hibernates")

    def __init__(self, limits: Limits, now: float) -> None:
        self._idle_seconds = limits.idle_seconds
        self._answer_seconds = limits.idle_answer_seconds
        #: Absolute end of negotiation, later of lingering; NEVER for a session.
        self.end = now + limits.preauth_seconds
        self.handshake = NEVER
        #: When something came last; since when the client was asked whether it lives (0.0: it was not).
        self.heard = now
        self.asked = 0.0
        #: Whether its parser is free: the next byte begins a new wait.
        self.hibernates = False

    @property
    def first(self) -> float:
        """The first that ends the connection whatever it does."""
        return min(self.end, self.handshake)

    def missed(self) -> bool:
        """`first` has passed: there is none any more. True when the handshake was under way."""
        handshake = self.handshake != NEVER
        self.end = self.handshake = NEVER
        return handshake

    def linger(self, now: float) -> float:
        """The stream is over: when the connection has to be, too."""
        self.end = now + LINGER_SECONDS
        return self.end

    def quiet(self, now: float) -> float:
        """The client was heard at `now`: when its silence is to be looked at."""
        return now + min(HIBERNATE_SECONDS, self._idle_seconds)

    def silence(self, now: float) -> tuple[Silence, float]:
        """What the silence of a bound client asks for, and when to look again."""
        if self.asked:
            until = self.asked + self._answer_seconds
            return (Silence.NOTHING if now < until else Silence.DEAD), until
        silent = now - self.heard
        if silent >= self._idle_seconds:
            self.asked = now
            return Silence.ASK, now + self._answer_seconds
        if silent >= HIBERNATE_SECONDS:
            self.hibernates = True
            return Silence.HIBERNATE, self.heard + self._idle_seconds
        return Silence.NOTHING, self.quiet(self.heard)
