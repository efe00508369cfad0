"""What the next holder of a place is sent again: what its former one took and never accepted. Pure, but for what it posts.

A custodian has *keepers*: each keeps, in order, what it has passed on. When a place gets another holder, the keepers that wait for it
send again before anything newer goes there; when the same holder gave a link up, or time has passed, likewise.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from itertools import chain
from typing import Generic, Protocol, TypeVar

import structlog

from rookery.shared.bus.messages import Item, Kind
from rookery.shared.custody.inflight import Place

_log = structlog.get_logger()


class Sent(Protocol):
    """One kept item."""

    @property
    def place(self) -> Place:
        """Where it goes."""

    @property
    def item(self) -> Item:
        """What goes there."""


class Keeper(Protocol):
    """Keeps what was passed on, in order."""

    def places(self) -> Collection[Place]:
        """Where something was sent that is not accepted."""

    def again(self, places: Collection[Place], before: float, same: bool) -> Iterable[Sent]:
        """What to send again, in order; see `Inflight.again`."""


K = TypeVar("K", bound=Keeper)


class Successors(Generic[K]):
    """Re-sending for one custodian. `keepers` tells who keeps anything now; `post` sends to a place."""

    __slots__ = ("_index", "_keepers", "_post", "stale")

    def __init__(self, keepers: Callable[[], Iterable[K]], post: Callable[[Kind, int, Item], None]) -> None:
        self._keepers = keepers
        self._post = post
        #: Keepers by what they wait for. A process's end changes a hundred places at once, and each asks.
        self._index: dict[Place, list[K]] = {}
        #: Set when a keeper has kept something since: the index has to be made anew.
        self.stale = True

    def again(self, places: Collection[Place], before: float = math.inf, same: bool = False) -> list[K]:
        """Send again what these places have not accepted (older than `before`); returns the keepers that were asked.

        `same`: their holders are those that had it, so at-most-once items go, too.
        """
        late = before < math.inf
        asked = list(self._keepers()) if late else self._waiting(places)
        count: Counter[Place] = Counter()
        for keeper in asked:
            for sent in keeper.again(places, before, same):
                kind, partition = sent.place
                self._post(kind, partition, sent.item)
                count[sent.place] += 1
        if late and count:
            (kind, partition), _ = count.most_common(1)[0]
            _log.warning("stanzas_sent_again", count=count.total(), to=kind.label, partition=partition)
        return asked

    def _waiting(self, places: Collection[Place]) -> list[K]:
        if self.stale:
            self.stale = False
            self._index = {}
            for keeper in self._keepers():
                for place in keeper.places():
                    self._index.setdefault(place, []).append(keeper)
        index = self._index
        return list(dict.fromkeys(chain.from_iterable(index.get(place, ()) for place in places)))
