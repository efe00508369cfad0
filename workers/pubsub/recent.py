"""What was told a moment ago: the next holder of a partition of routers is told it again, before anything newer.

A router that dies may have taken notifications that no edge has; those for which there is no router wait, but not for ever. So each is
kept until all of it has arrived and a look later, and given again where a partition changes hands; routers drop what was told already. A new holder may not know of
sessions whose edge was silent; when that edge is heard again, they go on with the holder after it. So for a while after a takeover everything is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import trio

from rookery.shared.bus.api import Mark
from rookery.shared.bus.messages import Kind, Origin
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.fanout import fan_out
from rookery.shared.xmpp.stanza import Stanza

#: Seconds between looks.
LOOK: Final = 1.0
#: Seconds since a takeover for which all is kept: an edge that is silent for longer has ended its sessions.
GRACE: Final = 20.0
#: Recipients of what is kept at most; beyond them the oldest is forgotten.
MOST: Final = 500_000


class Notice(NamedTuple):
    """One notification, with its recipients in this cluster: (JID, partition of its bare JID). `notify` as in Fanout."""

    stanza: Stanza
    recipients: Sequence[tuple[str, int]]
    origin: Origin
    notify: str = ""


class Recent:
    """The notices of one process."""

    def __init__(self, node: Node, clock: Callable[[], float] = trio.current_time) -> None:
        self._node = node
        self._clock = clock
        #: Since the last look, and before it.
        self._young: list[Notice] = []
        self._old: list[Notice] = []
        self._mark: Mark | None = None
        self._some = trio.Event()
        #: Of all of them, by partition; made when partitions change hands, which many do at once.
        self._index: dict[int, list[Notice]] | None = None
        self._count = 0
        self._taken_over = -math.inf

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def send(self, notice: Notice) -> int:
        """Tell it, and keep it; returns how many recipients it has."""
        self._young.append(notice)
        self._index = None
        self._count += len(notice.recipients)
        while self._count > MOST and len(self) > 1:
            self._count -= len((self._old or self._young).pop(0).recipients)
        self._some.set()
        return self._tell(notice)

    def _tell(self, notice: Notice) -> int:
        stanza, recipients, origin, notify = notice
        return fan_out(self._node.bus, stanza, recipients, origin, notify=notify)

    def on_holder(self, kind: Kind, partition: int) -> None:
        """Another process holds a partition now, or the same is back."""
        if kind is not Kind.ROUTER:
            return
        self._taken_over = self._clock()
        if not len(self):
            return
        if self._index is None:
            self._index = {}
            for notice in (*self._old, *self._young):
                by_partition: dict[int, list[tuple[str, int]]] = {}
                for recipient in notice.recipients:
                    by_partition.setdefault(recipient[1], []).append(recipient)
                for number, recipients in by_partition.items():
                    self._index.setdefault(number, []).append(notice._replace(recipients=recipients))
        for notice in self._index.get(partition, ()):
            self._tell(notice)

    def look(self) -> None:
        """Forget what had arrived by the last look but one. Call it every LOOK seconds while there is something."""
        bus = self._node.bus
        if self._mark is not None and not self._mark.passed():
            return
        if self._clock() < self._taken_over + GRACE:
            return
        if any(bus.holder(Kind.ROUTER, number) is None for number in range(self._node.partitions)):
            return
        self._count -= sum(len(notice.recipients) for notice in self._old)
        self._old, self._young = self._young, []
        self._index = None
        self._mark = bus.mark()

    async def run(self) -> None:
        """Look while there is something; runs until cancelled."""
        while True:
            await self._some.wait()
            await trio.sleep(LOOK)
            self.look()
            if not len(self):
                self._some = trio.Event()
