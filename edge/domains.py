"""The hosted domains, asked from any account worker at the start and whenever they may have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import structlog
import trio

from rookery.edge.policy import HostedDomain
from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import Domains, GetDomains, Kind
from rookery.shared.cluster.api import Node
from rookery.shared.xeps import entity_caps, registry
from rookery.shared.xeps._xep import Target
from rookery.shared.xmpp.errors import StanzaError

_log = structlog.get_logger()
#: Time for one question, and the longest wait between two while nobody answers.
CALL_SECONDS: Final = 3.0
RETRY_SECONDS: Final = 2.0


class HostedDomains:
    """Domains by name. `changed` is called with the names that are gone after each refresh."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._domains: dict[str, HostedDomain] = {}
        self._wanted = trio.Event()
        self.changed: Callable[[set[str]], None] = lambda gone: None
        #: Set once the domains are known.
        self.known = trio.Event()

    def find(self, name: str) -> HostedDomain | None:
        """A hosted domain by its prepared name."""
        return self._domains.get(name)

    def first(self) -> str:
        """The first hosted domain, "" while none is known."""
        return next(iter(self._domains), "")

    def __contains__(self, name: object) -> bool:
        return name in self._domains

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def refresh(self) -> None:
        """Ask again soon."""
        self._wanted.set()

    async def run(self) -> None:
        """Keep the domains current until cancelled."""
        partition, wait = 0, 0.05
        while True:
            self._wanted = trio.Event()
            try:
                answer = await self._node.bus.call(
                    Kind.ACCOUNT, partition, GetDomains(), timeout=CALL_SECONDS
                )
            except (BusTimeout, StanzaError):
                # Another partition may have another holder.
                partition = (partition + 1) % self._node.partitions
                await trio.sleep(wait)
                wait = min(wait * 2, RETRY_SECONDS)
                continue
            wait = 0.05
            assert isinstance(answer, Domains)
            self._take(answer)
            await self._wanted.wait()

    def _take(self, answer: Domains) -> None:
        features = registry.features(Target.DOMAIN)
        domains: dict[str, HostedDomain] = {}
        for name, registration, contacts in answer.domains:
            caps = entity_caps.stream_feature(features, [(str(var), tuple(uris)) for var, uris in contacts])
            domains[str(name)] = HostedDomain(str(name), bool(registration), caps)
        gone = self._domains.keys() - domains.keys()
        self._domains = domains
        self.known.set()
        _log.info("domains_known", count=len(domains))
        self.changed(set(gone))
