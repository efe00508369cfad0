"""The shell of a custodian in the middle: a router or a worker that hands on what others have handed to it.

It puts itself as custodian into what it hands on, hears of acceptance, of other holders and of links that began anew from its node, and
tells its owner what is settled: who came before is told then. So acceptance goes back along the chain, and each hop sends again only to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import trio

from rookery.shared.bus.messages import Gate, Handle, Kind, Origin, Route
from rookery.shared.cluster.api import Node
from rookery.shared.custody.inflight import Place
from rookery.shared.custody.kept import LEFT, Handed, Kept
from rookery.shared.custody.successors import Successors

#: What one process keeps at most before it refuses more: twice what one edge may have un-accepted.
MAX_ITEMS: Final = 65_536
MAX_BYTES: Final = 128 * 1024 * 1024
#: What nobody accepted in this time is sent again, in case something was lost unnoticed.
AGAIN_SECONDS: Final = 15.0


class Custodian:
    """What one service of this process has handed on. `settled` is called with what needs nothing more; `clock` gives seconds."""

    def __init__(
        self,
        node: Node,
        settled: Callable[[Handed], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kept = kept = Kept(MAX_ITEMS, MAX_BYTES)
        self._node = node
        self._settled = settled
        self._clock = clock
        self._successors = Successors[Kept](lambda: (kept,), node.bus.post)
        #: Who held a place when something was sent there last.
        self._holders: dict[Place, tuple[str, int]] = {}
        node.on_accepted.append(self._on_accepted)
        node.on_holder.append(self._on_holder)
        node.on_reset.append(self._on_reset)

    def hand_on(
        self, came: int, place: Place, item: Route | Handle | Gate, *, sent: bool, once: bool = False
    ) -> None:
        """Send `item`, which came to partition `came`, to its next hop, and keep it until that has accepted it.

        Nothing is kept for who keeps nothing. `sent` and `once` are as in `shared.custody.kept`. What is kept already is not sent
        again: only who has to be told is noted.
        """
        kind, partition = place
        former = item.origin
        if former.custodian:
            item = item._replace(origin=former._replace(custodian=self._node.incarnation))
            handed = Handed(place, item, once, self._clock(), former, came)
            if not self.kept.add((former.stream, former.n, sent), handed):
                return
            self._successors.stale = True
            if place not in self._holders:
                self._note(place)
        self._node.bus.post(kind, partition, item)

    def has(self, came: int, origin: Origin, *, sent: bool) -> bool:
        """Whether this stanza, which comes again, was handed on and not accepted; then whoever sent it now is told in the end."""
        return self.kept.reclaim((origin.stream, origin.n, sent), origin, came)

    def regain(self, origin: Origin, *, sent: bool) -> Origin | None:
        """A hop gives back what this process handed to it: for whom it is kept now, None when it is not any more."""
        if origin.custodian != self._node.incarnation:
            return origin
        handed = self.kept.take((origin.stream, origin.n, sent))
        return None if handed is None else handed.former

    def forget(self, came: int) -> None:
        """Another process holds this partition of the owner now: it is sent again what came here."""
        self.kept.leave(came, self._clock())

    def repeat(self) -> None:
        """Send again what was not accepted for too long."""
        late = self._clock() - AGAIN_SECONDS
        self.kept.expire(late)
        self._again(tuple(self.kept.places()), late)

    async def run(self) -> None:
        """Repeat now and then; runs until cancelled."""
        while True:
            await trio.sleep(AGAIN_SECONDS)
            self.repeat()

    # --- what the node tells ---

    def _on_accepted(self, uids: Sequence[tuple[bytes, int]]) -> None:
        kept = self.kept
        if len(kept):
            for stream, n in uids:
                for handed in kept.accepted(stream, n):
                    self._ended(handed)

    def _on_holder(self, kind: Kind, partition: int) -> None:
        """Another process holds the place now, or the same is back: it gets again what was not accepted, before anything newer."""
        place = kind, partition
        former = self._holders.pop(place, None)
        if place in self.kept.places():
            self._note(place)
            self._again((place,), same=former is not None and former == self._holders.get(place))

    def _on_reset(self, peer: str) -> None:
        """A process gave our link up: what was on the way to it may be lost."""
        places = [
            place
            for place, holder in self._holders.items()
            if holder[0] == peer and holder == self._node.bus.resolver(*place)
        ]
        self._again(places, same=True)

    def _note(self, place: Place) -> None:
        holder = self._node.bus.resolver(*place)
        if holder is not None:
            self._holders[place] = holder

    def _again(self, places: Sequence[Place], before: float = float("inf"), same: bool = False) -> None:
        if places:
            self._successors.again(places, before, same)
            given_up, self.kept.given_up = self.kept.given_up, []
            for handed in given_up:
                self._ended(handed)

    def _ended(self, handed: Handed) -> None:
        if handed.came != LEFT:
            self._settled(handed)
