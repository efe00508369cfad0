"""Who holds what, for a command: it is no part of the cluster, so nobody tells it; it reads the leases."""

from __future__ import annotations

from typing import Final

from rookery.shared.bus.kinds import Kind
from rookery.shared.bus.nats import NatsBus
from rookery.shared.db.api import Connection, Database

_LEASES: Final = "SELECT kind, partition, incarnation, epoch FROM lease WHERE incarnation IS NOT NULL"
_KINDS: Final = {kind.label: kind for kind in Kind}
_Holders = dict[tuple[Kind, int], tuple[str, int]]


class Leases:
    """The leases as they were read last. `holder` is the resolver of a bus."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._held: _Holders = {}

    def holder(self, kind: Kind, partition: int) -> tuple[str, int] | None:
        """Who holds the partition, and under which epoch."""
        return self._held.get((kind, partition))

    async def read(self) -> None:
        """Read them for the first time. Raises DatabaseUnavailable."""
        self._held = await self._now()

    async def read_again(self, bus: NatsBus) -> None:
        """Read them while questions are open: what waits for a former holder goes to the next. Raises DatabaseUnavailable."""
        before, self._held = self._held, await self._now()
        moved: dict[str | None, list[tuple[Kind, int]]] = {}
        for key, holder in self._held.items():
            known = before.get(key)
            if known != holder:
                moved.setdefault(known[0] if known else None, []).append(key)
        living = {name for name, _ in self._held.values()}
        for name in {name for name, _ in before.values()} - living:
            bus.forget(name)
        for former, keys in moved.items():
            bus.holder_changed(former, keys, wait=former in living)

    async def _now(self) -> _Holders:
        async def work(conn: Connection) -> _Holders:
            rows = await conn.fetch(_LEASES)
            return {
                (_KINDS[kind], number): (name, epoch) for kind, number, name, epoch in rows if kind in _KINDS
            }

        return await self._db.run(0, work)
