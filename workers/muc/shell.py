"""What all rooms of a process share: the node, the two writers, the ways out, acceptance."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from rookery.shared.bus.messages import Accepted, Kind, Origin
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import Database, UnitOfWork
from rookery.shared.store.holding import Holding
from rookery.shared.store.ids import Seal
from rookery.shared.store.rows import Row
from rookery.shared.store.writer import Done
from rookery.shared.xeps.multi_user_chat import Options
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.part import Part
from rookery.workers.muc.store.rows import Rows

T = TypeVar("T")


class Archive(Protocol):
    """What of `shared.store.writer` is needed."""

    def put(self, row: Row, done: Done, holding: Holding) -> None:
        """Store a row with the next commit."""

    @property
    def full(self) -> bool:
        """Whether no more should be taken."""


class Writer(Protocol):
    """What of `workers.muc.store.writer` is needed."""

    def put(self, rows: Rows, done: Callable[[], None] | None, holding: Holding) -> None:
        """Write with the next commit."""

    def later(self, rows: Rows, holding: Holding) -> None:
        """Write soon."""


class Ways(Protocol):
    """How what is for one address leaves, and patience with the database (`HostedWorker`)."""

    def route(self, stanza: Stanza) -> None:
        """To whoever serves the addressee."""

    def pass_on(self, partition: int, stanza: Stanza, origin: Origin) -> None:
        """The same; it is kept until that has accepted it."""

    def job(self, partition: int, key: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do it soon, behind what else is to be done for the key."""

    async def database(self, partition: int, work: UnitOfWork[T]) -> T:
        """Run a unit of work, however long it takes."""


class Shell:
    """Shared by the rooms of a process. `seal` is known before any room is loaded; `clock` gives Unix seconds."""

    def __init__(
        self,
        node: Node,
        archive: Archive,
        writer: Writer,
        ways: Ways,
        local: Callable[[str], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.node = node
        self.archive = archive
        self.writer = writer
        self.ways = ways
        self.local = local
        self.clock = clock
        self.options = node.config.options(Options)
        #: Seconds of silence after which an occupant of another server is asked whether it is there; 0: never.
        self.silence = self.options.silence_seconds
        #: Seconds after which users of a server that cannot be reached leave; 0: never.
        self.unreachable = self.options.unreachable_seconds
        self.seal: Seal | None = None
        self._accepted: dict[str, list[tuple[bytes, int]]] = {}
        self._armed = False

    @property
    def db(self) -> Database:
        """The database."""
        return self.node.db

    def accept(self, part: Part, origin: Origin) -> None:
        """The stanza needs nothing more: its custodian is told at the end of the turn, together with others."""
        part.uids.done(origin)
        if not origin.custodian:
            return
        self._accepted.setdefault(origin.custodian, []).append((origin.stream, origin.n))
        if not self._armed:
            self._armed = True
            bus = self.node.bus
            bus.post_to(
                bus.incarnation, Accepted(()), kind=Kind.MUC, partition=part.number, epoch=part.held.epoch
            )

    def flush_accepted(self) -> None:
        """Tell the custodians."""
        self._armed = False
        accepted, self._accepted = self._accepted, {}
        for custodian, uids in accepted.items():
            self.node.bus.post_to(custodian, Accepted(uids))
