"""Rookery as a target: two processes of each kind, and the characters of a story on different edges in turn."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree.ElementTree import Element

from tests.cluster.harness import Cluster
from tests.stories.client import Endpoint, Mode
from tests.stories.targets import DOMAIN, OTHER_DOMAIN

_BATCH = 400


class Rookery:
    """A cluster of its own, or one that the caller shares."""

    name = "rookery"

    def __init__(self, cluster: Cluster | None = None) -> None:
        self._own = cluster is None
        self.cluster = cluster or Cluster(domains=(DOMAIN, OTHER_DOMAIN))
        self._accounts: dict[str, list[tuple[str, str]]] = {}
        self._number = 0

    def account(self, domain: str = DOMAIN) -> tuple[str, str]:
        """The next of the accounts that were made in one go."""
        pool = self._accounts.setdefault(domain, [])
        if not pool:
            self._number += 1
            names = [f"s{self._number}-{count}" for count in range(_BATCH if domain == DOMAIN else 10)]
            pool.extend(self.cluster.import_users((name, domain) for name in names))
        return pool.pop()

    def endpoint(self, index: int, mode: Mode) -> Endpoint:
        """Another edge for each connection."""
        return self.cluster.endpoint(index, mode)

    def filter(self) -> Callable[[Element], bool]:
        """Rookery has no habits that a story does not tell."""
        return lambda node: False

    def log(self) -> str:
        """What the processes wrote."""
        return self.cluster.log()

    def stop(self) -> None:
        """Stop the cluster if it is ours."""
        if self._own:
            self.cluster.stop()
