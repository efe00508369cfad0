"""What routers send for a binding before their answer to it has been looked at. A pure machine for the whole edge."""

from __future__ import annotations

from typing import Final

from rookery.shared.bus.messages import End, Item

#: A router keeps no more for one session.
MANY: Final = 20_000


class EarlyItems:
    """Items by the number of the stream that they are for, each with the process that sent it."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        self._items: dict[int, list[tuple[str, Item]]] = {}

    def expect(self, sid: int) -> None:
        """A binding is asked for: keep what comes for it."""
        self._items[sid] = []

    def keep(self, sid: int, source: str, item: Item) -> bool:
        """Keep an item; False when nothing is expected for this stream."""
        items = self._items.get(sid)
        if items is None:
            return False
        if len(items) < MANY:
            items.append((source, item))
        return True

    def ended(self, sid: int) -> bool:
        """Whether the router has ended the stream meanwhile."""
        return any(isinstance(item, End) for _, item in self._items.get(sid, ()))

    def take(self, sid: int) -> list[tuple[str, Item]]:
        """The binding has its answer, or has failed: what came, in order, and no more is kept."""
        return self._items.pop(sid, [])
