"""What the rows of the hosted domains tell the router: who serves an address, contact addresses, when messages are accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rookery.router.core import Core
from rookery.shared.cluster.delegations import of_domains
from rookery.shared.cluster.domains import DomainReader, DomainRow, from_rows, services
from rookery.shared.cluster.privileges import told


class Domains:
    """Keeps `Core.addresses`, `Core.domains` and `Core.relaxed` current."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.reader = DomainReader(core.addresses, from_rows(core.node))
        self.reader.changed = self._take
        #: Called with the domains whose durability has changed.
        self.on_durability: Callable[[frozenset[str]], None] = _ignore

    def _take(self, rows: Sequence[DomainRow]) -> None:
        core = self._core
        core.domains = {row.name: row for row in rows}
        core.services = services(rows)
        core.delegated = of_domains(rows)
        core.watched = frozenset(told(rows, lambda grants: grants.presence == "roster"))
        default = core.config.durability
        relaxed = frozenset(row.name for row in rows if (row.durability or default) == "relaxed")
        changed, core.relaxed = relaxed ^ core.relaxed, relaxed
        if changed:
            self.on_durability(changed)


def _ignore(changed: frozenset[str]) -> None:
    pass
