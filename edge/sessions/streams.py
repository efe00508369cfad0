"""An edge's streams by their ids, as long as something of them is un-accepted: a stream outlives its socket, and even its session here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from rookery.edge.sessions.session import Session
from rookery.shared.bus.messages import Kind

_log = structlog.get_logger()
#: Un-accepted stanzas of a closed stream are kept at most so long.
ORPHAN_SECONDS: Final = 300.0
#: Commits are slow when a stanza waits so long for its acceptance: usually it takes milliseconds.
SLOW_SECONDS: Final = 1.0
#: A stanza's uid, (stream, n).
Uid = tuple[bytes, int]


class Streams:
    """Who gets `Accepted` and `Copied`. `unsettled` are the sessions with un-accepted stanzas."""

    __slots__ = ("_by_stream", "_elders", "_lagging", "_on_end", "_orphans", "unsettled")

    def __init__(self, on_end: Callable[[bytes], None]) -> None:
        #: Told of streams whose end a router has dealt with: that is uid number 0.
        self._on_end = on_end
        self.unsettled: set[Session] = set()
        self._by_stream: dict[bytes, Session] = {}
        #: What streams that went on under a new binding at this very edge have un-accepted from before.
        self._elders: dict[bytes, list[Session]] = {}
        self._orphans: deque[tuple[float, Session]] = deque()
        #: Managed streams that may have more handled than their router knows.
        self._lagging: set[Session] = set()

    def add(self, session: Session) -> Session | None:
        """A session begins; returns the one that had its stream before, which must end."""
        former = self._by_stream.get(session.stream)
        self._by_stream[session.stream] = session
        if former is not None and former.unaccepted:
            self._elders.setdefault(former.stream, []).append(former)
        return former

    def get(self, stream: bytes) -> Session | None:
        """The session of a stream."""
        return self._by_stream.get(stream)

    def slow(self, now: float) -> bool:
        """Whether the cluster takes long to accept what it is sent; `now` in seconds of the loop's clock."""
        return any(session.waits(now - SLOW_SECONDS) for session in self.unsettled)

    def closed(self, session: Session, now: float) -> None:
        """The session is over; what it has un-accepted is seen through."""
        if session.unaccepted:
            self._orphans.append((now, session))
        else:
            self.settled(session)

    def settled(self, session: Session) -> None:
        """Nothing of it is un-accepted: one that is over is forgotten."""
        if session.connection is not None or session.asleep:
            return
        stream = session.stream
        if self._by_stream.get(stream) is session:
            del self._by_stream[stream]
        elif (elders := self._elders.get(stream)) is not None and session in elders:
            elders.remove(session)
            if not elders:
                del self._elders[stream]

    def sifted(
        self, uids: Sequence[Uid], copied: bool, lost: frozenset[int], ended: Callable[[bytes], int]
    ) -> Sequence[Uid]:
        """Those of the uids that a router may speak of which has lost these partitions to another; `ended` is `Endings.partition`.

        It may have died before its word came, or stood still: its successor has to say it, and knows what was committed.
        """
        if not lost:
            return uids
        return [
            (stream, n)
            for stream, n in uids
            if not (self._concerns(stream, n, copied, lost) if n else ended(stream) in lost)
        ]

    def _concerns(self, stream: bytes, n: int, copied: bool, lost: frozenset[int]) -> bool:
        session = self._by_stream.get(stream)
        if session is None:
            return False
        for one in (session, *self._elders.get(stream, ())):
            place = one.place(n, copied)
            if place is not None:
                return place[0] is Kind.ROUTER and place[1] in lost
        return False

    def accepted(self, uids: Sequence[tuple[bytes, int]], copied: bool) -> None:
        """The cluster has taken these stanzas, or (`copied`) the streams' own routers have done their part."""
        by_stream = self._by_stream
        urgent: set[Session] | None = None
        for stream, n in uids:
            if not n:
                self._on_end(stream)
                continue
            session = by_stream.get(stream)
            if session is None:
                continue
            if session.accepted(n, copied) and session.connection is None:
                self.settled(session)
            manager = session.manager
            if manager is not None:
                if manager.machine.wanted or session.connection is None:
                    urgent = urgent or set()
                    urgent.add(session)
                else:
                    self._lagging.add(session)
            if self._elders and stream in self._elders:
                for elder in list(self._elders[stream]):
                    if elder.accepted(n, copied):
                        self.settled(elder)
        for session in urgent or ():
            assert session.manager is not None
            session.manager.moved()

    def tick(self, now: float) -> None:
        """Once a second: tell routers what was handled though nobody asked; give up what nobody accepts."""
        while self._orphans and self._orphans[0][0] < now - ORPHAN_SECONDS:
            _, session = self._orphans.popleft()
            if session.unaccepted:
                _log.warning("stanzas_not_accepted", count=session.unaccepted, account=session.bare)
                session.give_up()
            self.unsettled.discard(session)
            self.settled(session)
        lagging, self._lagging = self._lagging, set()
        for session in lagging:
            if session.manager is not None:
                session.manager.moved()
