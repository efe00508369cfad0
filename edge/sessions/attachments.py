"""Which router may deliver to this edge: one for each partition. A pure machine for the whole edge."""

from __future__ import annotations

from typing import Final

#: So many deposed routers are remembered; what older ones said has long arrived, or their links are given up.
MOST_DEPOSED: Final = 256
_NONE: Final[frozenset[int]] = frozenset()


class Attachments:
    """Which router incarnation may deliver for each partition: the one with the highest epoch that this edge has seen."""

    __slots__ = ("_deposed", "_known")

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, str]] = {}
        #: Routers that another one has replaced for some partitions.
        self._deposed: dict[str, set[int]] = {}

    def attach(self, partition: int, epoch: int, router: str) -> bool:
        """A router asks for the partition's mirror. False when a higher epoch is attached: the asker is deposed."""
        known = self._known.get(partition)
        if known is not None and epoch < known[0]:
            return False
        if known is not None and known[1] not in ("", router):
            self._deposed.setdefault(known[1], set()).add(partition)
            if len(self._deposed) > MOST_DEPOSED:
                del self._deposed[next(iter(self._deposed))]
        if (lost := self._deposed.get(router)) is not None:
            lost.discard(partition)
            if not lost:
                del self._deposed[router]
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

    def lost_by(self, router: str) -> frozenset[int]:
        """Partitions in which nothing counts any more that this router says: another one has replaced it."""
        lost = self._deposed.get(router)
        return _NONE if lost is None else frozenset(lost)

    def of(self, router: str) -> list[tuple[int, int]]:
        """(partition, epoch) of what this router has asked for, or delivered for."""
        return [(partition, epoch) for partition, (epoch, name) in self._known.items() if name == router]

    def epoch(self, partition: int) -> int:
        """The highest epoch seen, 0 for none."""
        return self._known.get(partition, (0, ""))[0]
