"""The router's metrics: plain totals, exported twice a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from rookery.router.core import Core
from rookery.shared.observe.metrics import DOMAIN_SESSIONS, OFFLINE, ROUTE, ROUTER_SESSIONS

_ROUTES: Final = {
    "local": ROUTE.labels("local"),
    "offline": ROUTE.labels("offline"),
    "copied": ROUTE.labels("copied"),
    "bounced": ROUTE.labels("bounced"),
    "dropped": ROUTE.labels("dropped"),
    "failed": ROUTE.labels("failed"),
    "repeated": ROUTE.labels("repeated"),
    "rerouted": ROUTE.labels("rerouted"),
}
_STORED: Final = OFFLINE.labels("stored")
_DELIVERED: Final = OFFLINE.labels("delivered")
_REFUSED: Final = OFFLINE.labels("refused")
#: Partitions whose sessions are counted by domain in one go: all in 16 s, none of them a pause.
_PARTS: Final = 8
_SESSIONS: Final = ROUTER_SESSIONS.labels("active")


class Totals:
    """Carries what was counted over to the metrics."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._told: dict[str, int] = {}
        self._domains: dict[int, Counter[str]] = {}
        self._sessions: Counter[str] = Counter()
        self._next: Iterator[int] = iter(())

    def _since(self, name: str) -> int:
        total: int = getattr(self._core.count, name)
        before = self._told.get(name, 0)
        self._told[name] = total
        return total - before

    def export(self) -> None:
        """Add what was counted since the last call."""
        for name, child in _ROUTES.items():
            if new := self._since(name):
                child.inc(new)
                if name == "offline":
                    _STORED.inc(new)
        if new := self._since("flushed"):
            _DELIVERED.inc(new)
        if new := self._since("refused"):
            _REFUSED.inc(new)
        _SESSIONS.set(self._core.count.sessions)
        self._count_domains()

    def _count_domains(self) -> None:
        """Count the sessions of a few partitions by domain; those that are another router's now count no more."""
        parts = self._core.parts
        for _ in range(_PARTS):
            partition = next(self._next, None)
            if partition is None:
                self._next = iter([*{*parts, *self._domains}])
                break
            found: Counter[str] = Counter()
            if (part := parts.get(partition)) is not None:
                for account in part.accounts.values():
                    if count := len(account.resources):
                        found[account.tally.label] += count
            self._sessions.subtract(self._domains.pop(partition, {}))
            self._sessions.update(found)
            if found:
                self._domains[partition] = found
        for label, count in self._sessions.items():
            DOMAIN_SESSIONS.labels(label).set(count)
