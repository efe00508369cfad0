"""The partitions that this process holds, and the way of what arrives to the service that serves them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import Final

import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.fanout import by_partition
from rookery.shared.bus.messages import Fanout, Item, Kind, Mirror
from rookery.shared.cluster.api import Service

#: What hydration itself waits for: it goes to a service that is still acquiring.
HYDRATION: Final = (Mirror,)

#: Gives an item back to its sender: (source, kind, partition, epoch, item).
Refuse = Callable[[str, Kind, int, int, "Item | Call"], None]


class State(IntEnum):
    """ACQUIRING: items wait. SERVING. RELEASING: items go back to their senders."""

    ACQUIRING = 0
    SERVING = 1
    RELEASING = 2


class Part:
    """One held partition: `waiting` are items that came while it was being acquired."""

    __slots__ = ("epoch", "scope", "state", "waiting")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.state = State.ACQUIRING
        self.waiting: deque[tuple[str, int, Item | Call]] = deque()
        self.scope = trio.CancelScope()


class Parts:
    """Held partitions by kind. `dispatch` is the bus's receiver: two look-ups for an item of a served partition."""

    def __init__(self, services: Mapping[Kind, Service], partitions: int, refuse: Refuse) -> None:
        self._services = services
        self._refuse = refuse
        self._parts: dict[Kind, list[Part | None]] = {
            kind: [None] * partitions for kind in services if kind is not Kind.EDGE
        }

    def dispatch(self, source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        """Give an item to its service, let it wait, or give it back.

        What was sent under an older epoch goes back too: what its sender had sent before may have been refused when we did not
        hold the partition, and is on its way back to it.
        """
        if item.__class__ is Fanout and item.runs:
            self._fan_out(source, kind, item)
            return
        held = self._parts.get(kind)
        if held is None or not 0 <= partition < len(held):
            self._refuse(source, kind, partition, epoch, item)
            return
        part = held[partition]
        if part is None or part.epoch < epoch or part.state is State.RELEASING:
            self._refuse(source, kind, partition, epoch, item)
        elif isinstance(item, HYDRATION):
            self._services[kind].receive(source, partition, epoch, item)
        elif part.epoch != epoch:
            self._refuse(source, kind, partition, epoch, item)
        elif part.state is State.SERVING:
            self._services[kind].receive(source, partition, epoch, item)
        else:
            part.waiting.append((source, epoch, item))

    def _fan_out(self, source: str, kind: Kind, item: Fanout) -> None:
        """What belongs to served partitions goes to the service as one, the rest the way of its own partition."""
        served: list[str] = []
        first = (0, 0)
        for partition, epoch, one in by_partition(item):
            part = self.get(kind, partition)
            if part is not None and part.epoch == epoch and part.state is State.SERVING:
                if not served:
                    first = partition, epoch
                served.extend(one.recipients)
            else:
                self.dispatch(source, kind, partition, epoch, one)
        if served:
            whole = Fanout(item.stanza, served, item.origin, (), item.notify)
            self._services[kind].receive(source, *first, whole)

    def get(self, kind: Kind, partition: int) -> Part | None:
        """The part, when this process has it in any state."""
        held = self._parts.get(kind)
        return held[partition] if held is not None and 0 <= partition < len(held) else None

    def add(self, kind: Kind, partition: int, epoch: int) -> Part:
        """Begin to acquire."""
        part = self._parts[kind][partition] = Part(epoch)
        return part

    def serve(self, kind: Kind, partition: int, part: Part) -> None:
        """It is hydrated: what waited is received in order, then what comes."""
        receive = self._services[kind].receive
        part.state = State.SERVING
        while part.waiting:
            source, epoch, item = part.waiting.popleft()
            receive(source, partition, epoch, item)

    def remove(self, kind: Kind, partition: int) -> None:
        """It is released: nothing of it is here any more."""
        self._parts[kind][partition] = None

    def drop(self, kind: Kind, partition: int) -> None:
        """Another holds it: forget it at once; what waited goes back."""
        part = self._parts[kind][partition]
        if part is None:
            return
        self._parts[kind][partition] = None
        part.scope.cancel()
        self._services[kind].drop(partition)
        for source, epoch, item in part.waiting:
            self._refuse(source, kind, partition, epoch, item)
        part.waiting.clear()

    def all(self) -> Iterator[tuple[Kind, int, Part]]:
        """Every part."""
        for kind, held in self._parts.items():
            for partition, part in enumerate(held):
                if part is not None:
                    yield kind, partition, part

    def served(self, kind: Kind) -> list[tuple[int, int]]:
        """(partition, epoch) of what is served, as `Holds` tells it."""
        return [
            (partition, part.epoch)
            for partition, part in enumerate(self._parts.get(kind, ()))
            if part is not None and part.state is State.SERVING
        ]
