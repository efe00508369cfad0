"""The domains that clients can log in to, and the address book, both told by the account workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import structlog

from rookery.edge.policy import HostedDomain
from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.domains import DomainReader, DomainRow, from_account_workers
from rookery.shared.cluster.federation import federated
from rookery.shared.xeps import entity_caps, registry
from rookery.shared.xeps._xep import Target

_log = structlog.get_logger()


class HostedDomains:
    """Domains of accounts by name. `changed` is called with the names that are gone after each reading."""

    def __init__(self, node: Node) -> None:
        self.addresses = Addresses(node.partition, federated=federated(node.config))
        self.reader = DomainReader(self.addresses, from_account_workers(node))
        self.reader.changed = self._take
        self._domains: dict[str, HostedDomain] = {}
        self.changed: Callable[[set[str]], None] = lambda gone: None

    def find(self, name: str) -> HostedDomain | None:
        """A domain of accounts by its prepared name."""
        return self._domains.get(name)

    def first(self) -> str:
        """The first domain of accounts, "" while none is known."""
        return next(iter(self._domains), "")

    def __contains__(self, name: object) -> bool:
        return name in self._domains

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def _take(self, rows: Sequence[DomainRow]) -> None:
        features = registry.features(Target.DOMAIN)
        domains = {
            row.name: HostedDomain(
                row.name,
                row.registration and not row.logins,
                None
                if row.delegating
                else entity_caps.stream_feature(features, [(var, uris) for var, uris in row.contacts]),
                row.logins,
                row.puzzles,
            )
            for row in rows
            if row.kind == ACCOUNTS
        }
        gone = self._domains.keys() - domains.keys()
        self._domains = domains
        _log.info("domains_known", count=len(domains))
        self.changed(set(gone))
