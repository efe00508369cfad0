"""Which router may deliver to this edge: one for each partition. A pure machine for the whole edge."""

from __future__ import annotations


class Attachments:
    """Which router incarnation may deliver for each partition: the one with the highest epoch that this edge has seen."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, str]] = {}

    def attach(self, partition: int, epoch: int, router: str) -> bool:
        """A router asks for the partition's mirror. False when a higher epoch is attached: the asker is deposed."""
        known = self._known.get(partition)
        if known is not None and epoch < known[0]:
            return False
        self._known[partition] = (epoch, router)
        return True

    def bound(self, partition: int, grant: int) -> None:
        """A binding was granted (`grant` is `epoch << 32 | counter`): its epoch is at least that."""
        epoch = grant >> 32
        known = self._known.get(partition)
        if known is None or known[0] < epoch:
            self._known[partition] = (epoch, "")

    def allows(self, partition: int, source: str) -> bool:
        """Whether `source` may deliver for the partition. The first that delivers after a binding is the one."""
        known = self._known.get(partition)
        if known is None:
            return True
        epoch, router = known
        if not router:
            self._known[partition] = (epoch, source)
            return True
        return router == source

    def of(self, router: str) -> list[tuple[int, int]]:
        """(partition, epoch) of what this router has asked for, or delivered for."""
        return [(partition, epoch) for partition, (epoch, name) in self._known.items() if name == router]

    def epoch(self, partition: int) -> int:
        """The highest epoch seen, 0 for none."""
        return self._known.get(partition, (0, ""))[0]
