"""Who waits without end: in a closed loop a lost stanza would silence its pair for the rest of the run."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)
#: Who waits longer than this stands still: figures of the others do not tell about it.
DOUBT_SECONDS: Final = 5


class Stalls(Generic[T]):
    """Looks now and then at counts that grow; costs nothing per stanza. `patience` and `doubt` in nanoseconds."""

    def __init__(self, patience: int, doubt: int) -> None:
        self._patience = patience
        self._doubt = doubt
        #: Who did not move for longer than `doubt` at any time.
        self.slow: set[T] = set()
        self._seen: dict[T, tuple[int, int]] = {}

    def look(self, now: int, waiting: Iterable[tuple[T, int]]) -> list[T]:
        """Those of `waiting` (who, how far it is) that have not moved for as long as the patience lasts, once each."""
        seen: dict[T, tuple[int, int]] = {}
        stalled = []
        for who, count in waiting:
            before = self._seen.get(who)
            since = before[1] if before is not None and before[0] == count else now
            if now - since > self._doubt:
                self.slow.add(who)
            if now - since >= self._patience:
                stalled.append(who)
                since = now
            seen[who] = (count, since)
        self._seen = seen
        return stalled
