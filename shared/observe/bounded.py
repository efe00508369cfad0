"""Names as labels of metrics, so many and no more: a provider with thousands of domains must not fill its Prometheus."""

from __future__ import annotations

from typing import Final

#: Domains that are told by name; all others are told together.
DOMAINS: Final = 100
OTHER: Final = "other"


class Bounded:
    """The first `limit` names keep their own label, later ones share `OTHER`. Pure."""

    __slots__ = ("_known", "_limit")

    def __init__(self, limit: int = DOMAINS) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        """What stands for the name in a metric."""
        if name in self._known:
            return name
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(name)
        return name
