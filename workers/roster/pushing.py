"""Roster pushes: to the interested resources of an account, and to components that were granted them (XEP-0356 section 4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rookery.shared.bus.messages import Kind, ToResources
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.cluster.privileges import told
from rookery.shared.xeps.registry import INTERESTED
from rookery.workers.hosted import HostedWorker
from rookery.workers.roster import roster
from rookery.workers.roster.quiet import Quiet
from rookery.workers.roster.reading import Reading


class Pushing(HostedWorker):
    """A worker that pushes what it has committed."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.quiet = Quiet()
        self.reading = Reading()
        self._watchers: Mapping[str, tuple[str, ...]] = {}

    def learn_watchers(self, rows: Sequence[DomainRow]) -> None:
        """The hosted domains as they are now."""
        self._watchers = told(rows, lambda grants: grants.pushes)

    def push(self, account: str, account_id: int, item: roster.Item) -> None:
        """Push an item (RFC 6121 section 2.1.6)."""
        stanza = roster.push(item, account_id)
        router = self.node.partition(account)
        self.node.bus.post(Kind.ROUTER, router, ToResources(account, INTERESTED, stanza))
        for component in self._watchers.get(account.rpartition("@")[2], ()) if self._watchers else ():
            self.route(stanza.replace(from_=account, to=component))
