"""Tells a running cluster what a command has committed, so that sessions end and caches forget."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import trio

from rookery.admin.cluster import learn_version
from rookery.shared.bus.messages import DomainsChanged
from rookery.shared.bus.nats import open_bus
from rookery.shared.bus.notices import Post
from rookery.shared.bus.subjects import partition_of
from rookery.shared.config import Bus
from rookery.shared.db.api import Connection, Database

_SECONDS = 3.0
#: A batch on a new link may come back refused, when a partition has just moved: it is then sent to the next holder.
_SETTLE = 0.1


async def notify(config: Bus, db: Database, posts: Sequence[Post], domains: bool = False) -> bool:
    """Send `posts` to the holders of their accounts; with `domains`, every process reads the domains again.

    False when NATS was not reached in time (nobody runs, then). Who holds what is read from the leases, so the command needs not wait
    to hear it.
    """
    if not posts and not domains:
        return True
    kinds = sorted({kind.label for kind, _, _ in posts})

    async def read(conn: Connection) -> list[tuple[str, int, str, int]]:
        sql = "SELECT kind, partition, incarnation, epoch FROM lease WHERE kind = ANY ($1) AND incarnation IS NOT NULL"
        return [tuple(row) for row in await conn.fetch(sql, kinds)]

    holders = {(kind, partition): (name, epoch) for kind, partition, name, epoch in await db.run(0, read)}
    with trio.move_on_after(_SECONDS):
        async with open_bus(f"cli{secrets.token_hex(6)}", config) as bus:
            bus.resolver = lambda kind, partition: holders.get((kind.label, partition))
            if domains:
                bus.announce(DomainsChanged())
            await learn_version(bus)
            for kind, account, item in posts:
                if (kind.label, partition_of(account)) in holders:
                    bus.post(kind, partition_of(account), item)
            sent = await bus.drain(_SECONDS)
            await trio.sleep(_SETTLE)
            return sent
    return False
