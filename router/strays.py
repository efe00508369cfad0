"""Edges that were given up and are back: a process that was frozen, or all of them when the bus stood still.

Such an edge still has its sockets and does not know that its sessions were put to sleep, or ended. When it is heard again, those that
slept meanwhile go on where they are; the others it is told to end, so that their clients come back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.router.core import Core
from rookery.router.flushes import Flushes
from rookery.router.hibernation import Hibernation
from rookery.router.part import Account, Part
from rookery.router.pushing import Pushing
from rookery.router.sessions import Session
from rookery.shared.bus.messages import End

#: Edges that are remembered, and for how long in seconds: one that was away for longer has closed its idle streams itself.
MAX_EDGES: Final = 64
REMEMBERED: Final = 600.0


class Stray(NamedTuple):
    """A session as it was when its edge was given up."""

    part: Part
    account: Account
    session: Session
    grant: int
    sid: int


class Strays:
    """Sessions by the edge that they were lost with."""

    def __init__(self, core: Core, pushing: Pushing, hibernation: Hibernation, flushes: Flushes) -> None:
        self._core = core
        self._pushing = pushing
        self._hibernation = hibernation
        self._flushes = flushes
        self._by_edge: dict[str, tuple[float, list[Stray]]] = {}

    def lost(self, part: Part, account: Account, session: Session, edge: str) -> None:
        """The session's edge is given up."""
        known = self._by_edge.get(edge)
        if known is None:
            if len(self._by_edge) >= MAX_EDGES:
                del self._by_edge[next(iter(self._by_edge))]
            known = self._by_edge[edge] = (self._core.ticks(), [])
        known[1].append(Stray(part, account, session, session.grant, session.sid))

    def found(self, edge: str) -> int:
        """The edge is heard again; returns how many sessions go on."""
        _, strays = self._by_edge.pop(edge, (0.0, ()))
        return sum(self._attach(edge, stray) for stray in strays)

    def _attach(self, edge: str, stray: Stray) -> bool:
        part, account, session = stray.part, stray.account, stray.session
        if not part.live:
            return False  # its new holder has asked the edge
        asleep = not session.edge and session.resumable is not None
        if not asleep or account.resources.current(session.resource, stray.grant) is not session:
            end = End(stray.sid, stray.grant, "reset", "session lost", session.stream)
            self._core.bus.post_to(edge, end, partition=part.number, epoch=part.epoch)
            return False
        self._hibernation.woke(session)
        session.edge, session.sid = edge, stray.sid
        self._pushing.repeat(part, session)
        if session.behind:
            self._flushes.progressed(part, account, session)
        return True

    def tick(self) -> None:
        """Forget edges that do not come back."""
        now = self._core.ticks()
        for edge in [edge for edge, (at, _) in self._by_edge.items() if now - at > REMEMBERED]:
            del self._by_edge[edge]
