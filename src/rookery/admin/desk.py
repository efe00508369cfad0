"""What a verb works with: the configuration, the database, the running cluster, and who asks."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TypeVar

from rookery.admin.cluster import Cluster
from rookery.admin.processes import Heard
from rookery.shared.bus.messages import DomainsChanged, Kind, OperatorCommand
from rookery.shared.bus.notices import Post
from rookery.shared.cluster.api import Node
from rookery.shared.config import Config
from rookery.shared.db.api import Database, UnitOfWork

T = TypeVar("T")


class Desk(ABC):
    """One operator at work. `operator` is who it is, as the log tells it."""

    def __init__(self, config: Config, db: Database, operator: str) -> None:
        self.config = config
        self.db = db
        self.operator = operator

    @property
    @abstractmethod
    def cluster(self) -> Cluster:
        """The holders of partitions."""

    @abstractmethod
    async def tell(self, posts: Iterable[Post], *, domains: bool = False) -> None:
        """Tell the holders of accounts what was committed; with `domains`, every process reads the domains again."""

    async def heard(self) -> Mapping[str, Heard] | None:
        """The processes that live, as this one knows them; None when it is none of them."""
        return None

    def audit(self, command: str, target: str, **detail: object) -> Post:
        """The notice of a committed change of `target` (an account or a domain). What is None in `detail` was not given."""
        told = " ".join(f"{name}={value}" for name, value in detail.items() if value is not None)
        return Kind.ACCOUNT, target, OperatorCommand(self.operator, command, target, told, int(time.time()))

    async def run(self, work: UnitOfWork[T]) -> T:
        """Run a unit of work. Raises DatabaseUnavailable, or what it raises."""
        return await self.db.run(0, work, op="admin")


class NodeDesk(Desk):
    """The desk of a process that is itself part of the cluster."""

    def __init__(self, node: Node, operator: str) -> None:
        super().__init__(node.config, node.db, operator)
        self._node = node
        self._cluster = Cluster(node.bus, node.partitions)

    @property
    def cluster(self) -> Cluster:
        """The holders of partitions."""
        return self._cluster

    async def heard(self) -> Mapping[str, Heard] | None:
        """What each of those says of itself that this process hears."""
        names = await self._cluster.ask_process(self._node.incarnation, "peers")
        answers = await self._cluster.ask_processes(names, "beat")
        return {name: Heard(*answer) for name, answer in answers.items()}

    async def tell(self, posts: Iterable[Post], *, domains: bool = False) -> None:
        """Post the notices; what waits for a holder is sent when there is one."""
        for kind, account, item in posts:
            self._node.bus.post(kind, self._node.partition(account), item)
        if domains:
            self._node.bus.announce(DomainsChanged())
            for changed in self._node.on_domains:
                changed()
