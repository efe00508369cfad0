"""Whether work should come to a process, and why not."""

from __future__ import annotations

from typing import NamedTuple


class Readiness(NamedTuple):
    """For /readyz. `held` and `acquiring` count partitions of this process, `known` those in the cluster with a known holder."""

    bus: bool
    database: bool
    settled: bool
    draining: bool
    held: dict[str, int]
    acquiring: int
    known: dict[str, int]

    @property
    def ready(self) -> bool:
        """Whether work should come here."""
        return self.bus and self.database and self.settled and not self.draining and not self.acquiring
