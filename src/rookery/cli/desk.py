"""The desk of a command: it reaches the cluster when it has something to say there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import click

from rookery.admin.cluster import Cluster, open_cluster
from rookery.admin.desk import Desk
from rookery.admin.errors import Unreachable, VerbError
from rookery.cli import EX_UNAVAILABLE, CommandError
from rookery.cli.audit import operator
from rookery.cli.domain_change import LATE
from rookery.cli.notify import notify
from rookery.cli.options import run
from rookery.shared.bus.notices import Post
from rookery.shared.config import Config
from rookery.shared.db.api import Database
from rookery.shared.db.bridge import open_database

T = TypeVar("T")
#: How long what was posted may take to leave.
_SENT_SECONDS: Final = 3.0


class CommandDesk(Desk):
    """Who runs the command, at work."""

    def __init__(self, config: Config, db: Database, cluster: Cluster | None) -> None:
        super().__init__(config, db, operator())
        self._cluster = cluster

    @property
    def cluster(self) -> Cluster:
        """The holders of partitions, for a command that was opened with them."""
        assert self._cluster is not None
        return self._cluster

    async def tell(self, posts: Iterable[Post], *, domains: bool = False) -> None:
        """Tell a running cluster; that there is none is said."""
        if not await notify(self.config.bus, self.db, list(posts), domains=domains):
            click.echo(LATE, err=True)


@asynccontextmanager
async def open_desk(config: Config, *, cluster: bool = False) -> AsyncIterator[Desk]:
    """A desk; with `cluster`, holders of partitions can be asked. Raises Unreachable, DatabaseUnavailable."""
    async with open_database(config.database) as db:
        if not cluster:
            yield CommandDesk(config, db, None)
            return
        async with open_cluster(config, db) as reached:
            yield CommandDesk(config, db, reached)
            await reached.sent(_SENT_SECONDS)


def work(config: Config, what: Callable[[Desk], Awaitable[T]], *, cluster: bool = False) -> T:
    """Do `what` and return its result. Raises CommandError with the reason."""

    async def main() -> T:
        async with open_desk(config, cluster=cluster) as desk:
            return await what(desk)

    try:
        return run(main)
    except (VerbError, ExceptionGroup) as error:
        inner: Exception = error
        while isinstance(inner, ExceptionGroup):  # tasks of the bus and of the database ran beside it
            inner = inner.exceptions[0]
        match inner:
            case Unreachable():
                raise CommandError(str(inner), EX_UNAVAILABLE) from None
            case VerbError():
                raise CommandError(str(inner)) from None
        raise
