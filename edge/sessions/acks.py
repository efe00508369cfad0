"""Acknowledgements of written deliveries on their way to the routers: collected, since nobody waits for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: So many are reported at once: the router keeps what was not reported, and stops long answers when that is much.
MANY: Final = 32


class Acks:
    """Numbers of streams whose deliveries have left, with what was acknowledged when they came in here."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[int, int] = {}

    def add(self, sid: int, acked: int) -> bool:
        """Deliveries of this stream have left, up to `acked`. True when they are so many that they are to be reported now."""
        if acked - self._waiting.setdefault(sid, acked) < MANY:
            return False
        del self._waiting[sid]
        return True

    def drop(self, sid: int) -> bool:
        """The session ends; whether it has something to report."""
        return self._waiting.pop(sid, None) is not None

    def take(self) -> Iterable[int]:
        """All that have something to report."""
        waiting, self._waiting = self._waiting, {}
        return list(waiting)
