"""Who waits without end: in a closed loop a lost stanza would silence its pair for the rest of the run."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Stalls(Generic[T]):
    """Looks now and then at counts that grow; costs nothing per stanza. `patience` in nanoseconds."""

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._seen: dict[T, tuple[int, int]] = {}

    def look(self, now: int, waiting: Iterable[tuple[T, int]]) -> list[T]:
        """Those of `waiting` (who, how far it is) that have not moved for as long as the patience lasts, once each."""
        seen: dict[T, tuple[int, int]] = {}
        stalled = []
        for who, count in waiting:
            before = self._seen.get(who)
            since = before[1] if before is not None and before[0] == count else now
            if now - since >= self._patience:
                stalled.append(who)
                since = now
            seen[who] = (count, since)
        self._seen = seen
        return stalled
