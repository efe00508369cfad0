"""What the next holder of a router partition is told: the streams of this edge there, and again what the former one did not accept.

It changes when a router ends or gives its partitions away; a router that gave the link to this edge up is told the same once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final, Protocol

from rookery.edge.sessions.attachments import Attachments
from rookery.edge.sessions.endings import Endings
from rookery.edge.sessions.mirror import chunks
from rookery.edge.sessions.recent_messages import RecentMessages
from rookery.edge.sessions.session import Session
from rookery.edge.sessions.streams import Streams
from rookery.shared.bus.api import Bus
from rookery.shared.bus.messages import Item, Kind, MirrorRequest, Unbind
from rookery.shared.cluster.api import Node
from rookery.shared.custody.successors import Successors as Waiting

#: A stanza that nobody accepted in this time is sent again, in case something was lost unnoticed.
AGAIN_SECONDS: Final = 15.0


class Told(Protocol):
    """The table of sessions as it is told of: the lower half of `edge.sessions.table`."""

    bus: Bus
    post: Callable[[Kind, int, Item], None]
    partition: Callable[[str], int]
    incarnation: str
    attachments: Attachments
    by_partition: dict[int, dict[int, Session]]
    endings: Endings
    late: RecentMessages
    streams: Streams
    unsettled: set[Session]
    waiting: Waiting[Session]
    flushed: set[Session]

    def clock(self) -> float:
        """The reactor's clock, read now."""


class Successors:
    """Mirrors and re-sending for the whole edge."""

    __slots__ = ("_moved", "_node", "_sessions")

    def __init__(self, sessions: Told, node: Node) -> None:
        self._sessions = sessions
        self._node = node
        #: Router partitions that another process has begun to hold, until it serves them.
        self._moved: set[int] = set()

    def mirror(self, item: MirrorRequest) -> None:
        """A router asks for the streams of a partition: it has begun to hold it."""
        sessions, partition = self._sessions, item.partition
        if not self._attach(partition, item.epoch, item.router):
            return
        bound = sessions.by_partition.get(partition, {})
        described = (part for session in bound.values() for part in session.describe())
        closed = sessions.endings.described(partition)
        late = sessions.late.chunks(sessions.incarnation, partition, sessions.partition)
        mirrors = chunks(sessions.incarnation, partition, chain(closed, described))
        # The ends of the closed ones come right behind, before anything is delivered to them.
        ends = (Unbind(session.full, session.grant, "closed") for session in closed)
        answers: Iterable[Item] = chain(late, mirrors, ends)
        for answer in answers:
            sessions.bus.post_to(item.router, answer, kind=Kind.ROUTER, partition=partition, epoch=item.epoch)

    def bequeath(self) -> None:
        """This edge ends: another one remembers what was acknowledged here and may have no row yet."""
        sessions = self._sessions
        heirs = [edge for edge in self._node.edges() if edge != sessions.incarnation]
        if heirs:
            for number, chunk in enumerate(sessions.late.legacy(sessions.incarnation)):
                sessions.bus.post_to(heirs[number % len(heirs)], chunk)

    def on_claimed(self, kind: Kind, partition: int, epoch: int, router: str) -> None:
        """A router has taken the partition from a dead one and will ask for its streams: the former one may deliver nothing any more."""
        if kind is Kind.ROUTER:
            self._attach(partition, epoch, router)

    def _attach(self, partition: int, epoch: int, router: str) -> bool:
        """Let this router deliver, and no other; False when it is deposed itself."""
        attachments = self._sessions.attachments
        former = attachments.epoch(partition)
        if not attachments.attach(partition, epoch, router):
            return False
        if former and former != epoch:
            self._moved.add(partition)
        return True

    def on_holder(self, kind: Kind, partition: int) -> None:
        """Another process holds the partition now, or the same is back: it gets again what was not accepted."""
        if kind is Kind.ROUTER:
            holder = self._sessions.bus.resolver(kind, partition)
            known = self._sessions.attachments.epoch(partition)
            same = partition not in self._moved and holder is not None and holder[1] == known
            self._moved.discard(partition)
            self._send_again(frozenset((partition,)), same=same)

    def on_reset(self, peer: str) -> None:
        """A process gave our link up: what was on the way to its partitions may be lost, answers to its questions too."""
        resolver = self._sessions.bus.resolver
        held = {p for p in range(self._node.partitions) if (resolver(Kind.ROUTER, p) or ("",))[0] == peer}
        for partition, epoch in self._sessions.attachments.of(peer):
            self.mirror(MirrorRequest(partition, epoch, peer))
        self._send_again(frozenset(held), same=True)

    def repeat(self, now: float) -> None:
        """Every few seconds: send again what was not accepted for too long."""
        sessions = self._sessions
        sessions.flushed = {session for session in sessions.flushed if not session.mirror.age()}
        self._send_again(frozenset(range(self._node.partitions)), now - AGAIN_SECONDS)

    def _send_again(self, partitions: frozenset[int], before: float = math.inf, same: bool = False) -> None:
        if not partitions:
            return
        sessions = self._sessions
        places = {(Kind.ROUTER, partition) for partition in partitions}
        for session in sessions.waiting.again(places, before, same):
            if session.connection is None and not session.unaccepted:
                sessions.streams.settled(session)
        if before == math.inf:
            for partition, item in sessions.endings.again(partitions):
                sessions.post(Kind.ROUTER, partition, item)
            for partition in partitions:
                for session in sessions.by_partition.get(partition, {}).values():
                    session.tell_client_state()
                    if session.manager is not None:
                        session.manager.machine.lost()
                        session.manager.moved()
