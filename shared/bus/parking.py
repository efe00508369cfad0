"""Items whose holder is unknown, or that must wait until a former holder has given back what it refused. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from rookery.shared.bus.messages import Item, Kind

#: Items park at most this many seconds.
PARK_SECONDS: Final = 30.0
#: And at most so many; what comes on top is lost, as when a process dies.
PARK_ITEMS: Final = 65_536

Key = tuple[Kind, int]


class Parked(NamedTuple):
    """One waiting item: `refused` is the epoch under which a holder refused it, 0 when none did."""

    deadline: float
    item: Item
    call: int
    refused: int


class Parking:
    """Waiting items by (kind, partition), in order, and the barriers that hold a partition back.

    What came back refused, or what a dead process left behind, was posted before whatever waits since, so it stands before it.
    """

    def __init__(self) -> None:
        self._items: dict[Key, tuple[deque[Parked], deque[Parked]]] = {}
        self._barriers: dict[int, tuple[float, str, list[Key]]] = {}
        self._held: dict[Key, int] = {}
        self.count = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._items or key in self._held

    def __bool__(self) -> bool:
        return bool(self._items) or bool(self._held)

    def held(self, key: Key) -> bool:
        """Whether a barrier holds the partition back."""
        return key in self._held

    def park(
        self, key: Key, item: Item, call: int, now: float, refused: int = 0, *, left: bool = False
    ) -> bool:
        """Let an item wait; `refused` is the epoch under which it came back, `left`: a dead process left it. False when there is no room."""
        if self.count >= PARK_ITEMS:
            return False
        self.count += 1
        queues = self._items.get(key) or self._items.setdefault(key, (deque(), deque()))
        queues[0 if refused or left else 1].append(Parked(now + PARK_SECONDS, item, call, refused))
        return True

    def refused_under(self, key: Key) -> int:
        """The highest epoch under which one of the waiting items was refused."""
        queues = self._items.get(key)
        return max((parked.refused for parked in queues[0]), default=0) if queues else 0

    def pop(self, key: Key) -> list[Parked]:
        """Take what waits for a partition."""
        items = [parked for queue in self._items.pop(key, ()) for parked in queue]
        self.count -= len(items)
        return items

    def expire(self, now: float) -> Iterator[tuple[Key, Parked]]:
        """Drop what has waited too long."""
        for key, queues in list(self._items.items()):
            for queue in queues:
                while queue and queue[0].deadline <= now:
                    self.count -= 1
                    yield key, queue.popleft()
            if not queues[0] and not queues[1]:
                del self._items[key]

    # --- barriers ---

    def raise_barrier(self, token: int, peer: str, keys: list[Key], deadline: float) -> None:
        """Hold partitions back until `peer` has passed the barrier, is lost, or `deadline` is over."""
        self._barriers[token] = (deadline, peer, keys)
        for key in keys:
            self._held[key] = self._held.get(key, 0) + 1

    def lower_barrier(self, token: int, peer: str) -> list[Key]:
        """The peer has passed: partitions that nothing holds back any more."""
        barrier = self._barriers.get(token)
        if barrier is None or barrier[1] != peer:
            return []
        del self._barriers[token]
        return self._lower(barrier[2])

    def lower_for(self, peer: str | None, now: float) -> list[Key]:
        """The peer is lost, or (None) time is over: partitions that nothing holds back any more."""
        due = [
            t
            for t, (deadline, who, _) in self._barriers.items()
            if (deadline <= now if peer is None else who == peer)
        ]
        free: list[Key] = []
        for token in due:
            free += self._lower(self._barriers.pop(token)[2])
        return free

    def _lower(self, keys: list[Key]) -> list[Key]:
        free: list[Key] = []
        for key in keys:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
                free.append(key)
        return free
