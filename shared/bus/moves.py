"""What the bus does with items while their partition has no known holder, or gets another one.

Order within a partition holds across a live move: the former holder is asked to pass a barrier. Links are in order, so when
it has, everything that it refused is back; only then do later items go to the new holder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from rookery.shared.bus.api import Call
from rookery.shared.bus.batch import BadBatch, Entry, read_fields
from rookery.shared.bus.calls import Calls
from rookery.shared.bus.messages import TAGS, Barrier, Item, Kind, Passed, Refused
from rookery.shared.bus.parking import Key, Parking
from rookery.shared.bus.pump import Stats

#: A former holder that does not pass a barrier in this time is not waited for.
BARRIER_SECONDS: Final = 3.0


class Sender(Protocol):
    """The bus, as far as moves need it: `shared.bus.core.BusCore`."""

    parking: Parking
    calls: Calls
    stats: Stats
    clock: Callable[[], float]
    resolver: Callable[[Kind, int], tuple[str, int] | None]
    on_holder: Callable[[Kind, int], None]
    on_returned: Callable[[Kind, int, Item], None]

    def put(self, incarnation: str, entry: Entry) -> None:
        """Queue an entry for one process."""

    def post_call(self, kind: Kind, partition: int, item: Item, call: int) -> None:
        """Send to whoever holds the partition; `call` is 0 for what is no request."""

    def serial(self) -> int:
        """A number that this process has not used before."""

    def warn(self, event: str, **fields: object) -> None:
        """Log at most once a second for each event."""


class Moves:
    """The part of a bus that parks, refuses and takes back."""

    def __init__(self, core: Sender) -> None:
        self._core = core
        self._parking = core.parking

    def park(self, kind: Kind, partition: int, item: Item, call: int, *, left: bool = False) -> None:
        """Nobody is known to hold the partition, or earlier items wait already; `left`: a dead process left it."""
        core = self._core
        if call:
            core.calls.asked(call, "")
        if not self._parking.park((kind, partition), item, call, core.clock(), left=left):
            core.warn("bus_parking_full", kind=kind.label, partition=partition)

    def refuse(self, source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        """Give an item back to its sender."""
        core = self._core
        core.stats.refused += 1
        if kind is Kind.EDGE and not isinstance(item, Call):
            return  # it was for this process alone: nobody else could be given it
        plain, call = (item.request, item.id) if isinstance(item, Call) else (item, 0)
        back = Refused(kind, partition, epoch, TAGS[type(plain)], plain, call)
        core.put(source, (Kind.EDGE, 0, 0, back, 0))

    def on_refused(self, source: str, item: Item) -> None:
        """An item came back: it goes to the next holder, when that is known and all before it is back."""
        assert isinstance(item, Refused)
        core = self._core
        try:
            plain = read_fields(item.tag, tuple(item.fields))
            kind = Kind(item.kind)
        except (BadBatch, ValueError):
            core.stats.bad_items += 1
            return
        if item.call:
            if item.call not in core.calls:
                return  # the caller has given up
            core.calls.asked(item.call, "")
        key = (kind, int(item.partition))
        self._parking.park(key, plain, item.call, core.clock(), item.epoch)
        core.on_returned(*key, plain)
        if not self._parking.held(key):  # perhaps a later holder is known already
            self._release(key)

    def holder_changed(self, former: str | None, keys: list[Key], *, wait: bool) -> None:
        """See `BusCore.holder_changed`."""
        if former is None or not wait:
            for key in keys:
                self._release(key, changed=former is not None)
            return
        core = self._core
        token = core.serial()
        self._parking.raise_barrier(token, former, keys, core.clock() + BARRIER_SECONDS)
        core.put(former, (Kind.EDGE, 0, 0, Barrier(token), 0))

    def wait(self, entries: Iterable[Entry]) -> None:
        """What a former holder left behind goes to the next one behind what the services send again."""
        core = self._core
        for kind, partition, _, item, call in entries:
            if not call or call in core.calls:
                self._parking.park((kind, partition), item, call, core.clock(), left=True)

    def repeat(self, entries: Iterable[Entry]) -> None:
        """Post what a dead process left behind: before what was posted since it was known to be gone, and waits."""
        core = self._core
        for kind, partition, _, item, call in entries:
            if (kind, partition) in self._parking or core.resolver(kind, partition) is None:
                self.park(kind, partition, item, call, left=True)
            else:
                core.post_call(kind, partition, item, call)

    def _release(self, key: Key, *, changed: bool = False) -> None:
        core, parking = self._core, self._parking
        if parking.held(key):
            return
        holder = core.resolver(*key)
        if holder is None:
            return
        if holder[1] <= parking.refused_under(key):
            return  # the holder that we know has refused these items
        waiting = parking.pop(key)
        if changed:
            core.on_holder(*key)
        for parked in waiting:
            if not parked.call or parked.call in core.calls:
                core.post_call(*key, parked.item, parked.call)

    def on_barrier(self, source: str, item: Item) -> None:
        """We are a former holder: what came before has been taken or refused, so we pass."""
        assert isinstance(item, Barrier)
        self._core.put(source, (Kind.EDGE, 0, 0, Passed(item.token), 0))

    def on_passed(self, source: str, item: Item) -> None:
        """A former holder has passed."""
        assert isinstance(item, Passed)
        self._free(self._parking.lower_barrier(item.token, source))

    def lost(self, peer: str) -> None:
        """A former holder will pass nothing any more."""
        self._free(self._parking.lower_for(peer, 0.0))

    def tick(self) -> None:
        """A second has passed: drop what waited too long, stop waiting for barriers, ask for holders again."""
        core, parking = self._core, self._parking
        now = core.clock()
        for key, parked in parking.expire(now):
            core.stats.expired += 1
            core.warn(
                "bus_item_expired", kind=key[0].label, partition=key[1], item=type(parked.item).__name__
            )
        self._free(parking.lower_for(None, now))

    def _free(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._release(key, changed=True)
