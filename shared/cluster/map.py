"""Who holds what, as the bus tells it. Pure.

`Holds` only ever adds: an entry gives way to a higher epoch, or goes when its process is lost. So it does not matter in
which order announcements arrive, and one that was missed is made good by asking.
"""

from __future__ import annotations

from collections.abc import Iterable

from rookery.shared.bus.messages import Kind

Key = tuple[Kind, int]


class PartitionMap:
    """(kind, partition) -> (incarnation, epoch). `holder` is the bus's resolver: one dictionary look-up."""

    def __init__(self) -> None:
        self._holders: dict[Key, tuple[str, int]] = {}
        #: The last known holder of what nobody holds now.
        self._former: dict[Key, tuple[str, int]] = {}
        #: Epochs under which partitions were claimed and are not served yet: nobody holds them under a lower one.
        self._claimed: dict[Key, int] = {}

    def holder(self, kind: Kind, partition: int) -> tuple[str, int] | None:
        """Who holds the partition, and under which epoch."""
        return self._holders.get((kind, partition))

    def learn(
        self, incarnation: str, kind: Kind, held: Iterable[tuple[int, int]]
    ) -> dict[str | None, list[Key]]:
        """Take a Holds. Returns the partitions that changed, by their former holder.

        The former holder is None for what was not known; it is the incarnation itself for a partition that came back to it.
        """
        changed: dict[str | None, list[Key]] = {}
        for partition, epoch in held:
            key = (kind, partition)
            known = self._holders.get(key) or self._former.get(key)
            if known is not None and (known[1] > epoch or (known[1] == epoch and key in self._holders)):
                continue
            if epoch < self._claimed.get(key, 0):
                continue
            self._claimed.pop(key, None)
            self._holders[key] = (incarnation, epoch)
            self._former.pop(key, None)
            changed.setdefault(None if known is None else known[0], []).append(key)
        return changed

    def claimed(self, incarnation: str, kind: Kind, held: Iterable[tuple[int, int]]) -> None:
        """Take a Claimed: whoever held these under a lower epoch does so no more; nobody does until a Holds tells."""
        for partition, epoch in held:
            key = (kind, partition)
            known = self._holders.get(key)
            if known is None or known[1] < epoch:
                self._claimed[key] = max(epoch, self._claimed.get(key, 0))
            if known is not None and known[1] < epoch and known[0] != incarnation:
                self._former[key] = self._holders.pop(key)

    def forget(self, incarnation: str) -> None:
        """The process is lost: nobody holds what it held."""
        for key, holder in list(self._holders.items()):
            if holder[0] == incarnation:
                del self._holders[key]
                self._former[key] = holder

    def higher(self, incarnation: str, kind: Kind, partition: int, epoch: int) -> bool:
        """Whether another process is known to hold the partition under a higher epoch."""
        known = self._holders.get((kind, partition))
        return known is not None and known[1] > epoch and known[0] != incarnation

    def count(self) -> dict[Kind, int]:
        """How many partitions of each kind have a known holder."""
        counts: dict[Kind, int] = {}
        for kind, _ in self._holders:
            counts[kind] = counts.get(kind, 0) + 1
        return counts
