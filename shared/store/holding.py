"""A held partition, as far as the message store needs it: the ids that its holder gives out, and whether it may still write."""

from __future__ import annotations

from typing import Protocol

from rookery.shared.store.ids import ArchiveIds


class Holding(Protocol):
    """What the writer looks at: rows of a partition that was given up are not written any more.

    That is the fence of one partition of a process that lives on; the fence of a whole process is its row in Postgres
    (`shared.db.api.FENCE`), which a takeover closes.
    """

    live: bool


class Held:
    """One partition of one kind in one epoch: make it in `Service.acquire`, and set `live` to False in `drop`."""

    __slots__ = ("epoch", "ids", "live", "partition")

    def __init__(self, partition: int, epoch: int) -> None:
        self.partition = partition
        self.epoch = epoch
        self.ids = ArchiveIds(epoch)
        self.live = True
