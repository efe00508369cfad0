"""Gives stanzas to sessions: numbers them, keeps them, posts them to the edge, and repeats them after a lost link."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from rookery.router.accounts.kept import Parcel, plain
from rookery.router.accounts.session import MAX_KEPT, MAX_KEPT_BYTES, Session
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.shared.bus.messages import Deliver, DeliverMany, Kind
from rookery.shared.xeps import client_state
from rookery.shared.xmpp.stanza import Stanza

_EDGE: Final = Kind.EDGE
#: Deliver's own constructor is a Python function around this call.
_new: Final = tuple.__new__


class Pushing:
    """Everything that a session is sent passes here."""

    def __init__(self, core: Core) -> None:
        self._core = core
        #: Called with a session that keeps so much that it must be ended.
        self.on_overrun: Callable[[Part, Session], None] = _ignore
        self._overrun: list[tuple[Part, Session]] = []
        #: Called with a session without a socket that something was kept for.
        self.on_asleep: Callable[[Part, Session], None] = _ignore
        self._most_postponed = core.node.config.options(client_state.Options)
        #: Called with a session without a socket, and what a room has sent to it.
        self.on_missed: Callable[[Part, Session, Stanza], None] = _unseen
        #: Inactive sessions that something has waited for (XEP-0352) since the last look.
        self.postponed_lately: dict[Session, Part] = {}

    def push(self, part: Part, session: Session, parcel: Parcel, like: Stanza | None = None) -> None:
        """Send one stanza to one session, or let it wait. `like` is the message that a copy of ours wraps."""
        if session.postponed is not None and self._waits(part, session, parcel, "", like):
            return
        n = session.give(parcel)
        core = self._core
        if session.edge:
            stanza, origin, _, _, _, _ = parcel
            core.bus.post_to(
                session.edge,
                _new(Deliver, (session.sid, session.grant, n, origin.stream, origin.n, stanza)),
                kind=_EDGE,
                partition=part.number,
                epoch=part.epoch,
            )
        else:
            self.on_asleep(part, session)
        core.count.local += 1
        if len(session.kept) >= MAX_KEPT or session.kept_bytes >= MAX_KEPT_BYTES:
            self._full(part, session)

    def _waits(
        self, part: Part, session: Session, parcel: Parcel, to: str, like: Stanza | None = None
    ) -> bool:
        """Whether an inactive client is spared this; else it first gets what waits."""
        postponed = session.postponed
        assert postponed is not None
        if not postponed.postpone(parcel.stanza, to, like):
            self.give_postponed(part, session)
            return False
        if postponed.exceeds(self._most_postponed):
            self.give_postponed(part, session)
        else:
            self.postponed_lately[session] = part
        return True

    def give_postponed(self, part: Part, session: Session) -> None:
        """Number and send all that waits for an inactive client."""
        postponed = session.postponed
        session.postponed = None
        assert postponed is not None
        for stanza, to in postponed.drain():
            if to:
                self.spread(plain(stanza), ((part, session, to),))
            else:
                self.push(part, session, plain(stanza))
        session.postponed = postponed

    def _full(self, part: Part, session: Session) -> None:
        """From here on its messages go to the store, until the edge has caught up: then they are given to it.

        Stored messages are given to available resources only; one that is not keeps all it is sent, up to its end.
        """
        if session.presence is not None and session.priority >= 0:
            session.stalled = session.behind = True
        if session.overrun:
            # Not now: whoever pushes may be in the middle of the account's sessions.
            self._overrun.append((part, session))

    def end_overrun(self) -> None:
        """End the sessions that do not take what they are sent."""
        overrun, self._overrun = self._overrun, []
        for part, session in overrun:
            self.on_overrun(part, session)

    def spread(self, parcel: Parcel, targets: Iterable[tuple[Part, Session, str]]) -> None:
        """Send one stanza to many sessions, each with its own `to`: one item for each edge, whatever their partitions are."""
        by_edge: dict[str, list[tuple[int, int, int, str]]] = {}
        for part, session, to in targets:
            if session.postponed is not None and self._waits(part, session, parcel, to):
                continue
            n = session.give(parcel, to)
            if session.edge:
                by_edge.setdefault(session.edge, []).append((session.sid, session.grant, n, to))
            else:
                self.on_asleep(part, session)
                if parcel.stanza.type == "groupchat":
                    self.on_missed(part, session, parcel.stanza)
            self._core.count.local += 1
            if session.full_up:
                self._full(part, session)
        stanza, origin = parcel.stanza, parcel.origin
        for edge, list_ in by_edge.items():
            # Edges look at the partition of each session, not at that of the item.
            self._core.bus.post_to(edge, DeliverMany(stanza, list_, origin.stream, origin.n))

    def repeat(self, part: Part, session: Session) -> None:
        """The link to its edge lost what was on the way: send again what the edge has not reported."""
        for n, (stanza, origin, *_), to in session.kept:
            if stanza.kind:
                if to:
                    stanza = stanza.replace(to=to)
                self._core.bus.post_to(
                    session.edge,
                    Deliver(session.sid, session.grant, n, origin.stream, origin.n, stanza),
                    kind=_EDGE,
                    partition=part.number,
                    epoch=part.epoch,
                )


def _ignore(part: Part, session: Session) -> None:
    pass


def _unseen(part: Part, session: Session, stanza: Stanza) -> None:
    pass
