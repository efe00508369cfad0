"""The router's metrics: plain totals, exported twice a second."""

from __future__ import annotations

from typing import Final

from rookery.router.core import Core
from rookery.shared.observe.metrics import OFFLINE, ROUTE, ROUTER_SESSIONS

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
_SESSIONS: Final = ROUTER_SESSIONS.labels("active")


class Totals:
    """Carries what was counted over to the metrics."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._told: dict[str, int] = {}

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
