"""Archive ids: epoch << 40 | counter, monotonic for every account and independent of clocks.

The router that holds a partition gives them out. A later holder has a higher epoch, so its ids are higher, whatever its
clock says and however far the holder before it counted.
"""

from __future__ import annotations

from typing import Final

COUNTER_BITS: Final = 40
_COUNTERS: Final = 1 << COUNTER_BITS
#: ids are bigint: 23 bits are left for the epoch.
_EPOCHS: Final = 1 << 23


class ArchiveIds:
    """The ids of one partition in one epoch."""

    __slots__ = ("_end", "_last")

    def __init__(self, epoch: int) -> None:
        if not 0 <= epoch < _EPOCHS:
            raise ValueError(f"epoch {epoch} does not fit into an archive id")
        self._last = epoch << COUNTER_BITS
        self._end = self._last + _COUNTERS - 1

    def next(self) -> int:
        """The next id. Raises OverflowError after 2^40 of them: the partition then needs a new epoch."""
        if self._last == self._end:
            raise OverflowError("all archive ids of this epoch are used")
        self._last += 1
        return self._last


def epoch_of(archive_id: int) -> int:
    """The epoch in which an id was given out."""
    return archive_id >> COUNTER_BITS
