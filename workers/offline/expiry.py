"""Gives up owed messages that nobody fetched for `limits.offline_days`: a little at a time, by one worker of the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import trio

from rookery.shared.bus.messages import Kind
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import Connection, DatabaseUnavailable, Fenced
from rookery.shared.observe.metrics import OFFLINE
from rookery.shared.store.reader import expire_owed

#: Between looks, between batches, and rows of a batch: at most 500 rows a second, which no other work notices.
INTERVAL: Final = 600.0
PAUSE: Final = 1.0
BATCH: Final = 500
_DAY: Final = 86_400
_EXPIRED: Final = OFFLINE.labels("expired")


async def sweep(node: Node, now: float) -> int:
    """Give up what is too old at `now` (Unix seconds), if this process holds partition 0; returns how many rows."""
    before = now - node.config.limits.offline_days * _DAY
    done = 0

    async def work(conn: Connection) -> int:
        return await expire_owed(conn, node.incarnation, before, BATCH)

    while node.epoch(Kind.OFFLINE, 0) is not None:
        gone = await node.db.run(0, work)
        _EXPIRED.inc(gone)
        done += gone
        if gone < BATCH:
            break
        await trio.sleep(PAUSE)
    return done


async def run(node: Node, clock: Callable[[], float] = time.time) -> None:
    """Sweep every INTERVAL until cancelled."""
    while True:
        await trio.sleep(INTERVAL)
        try:
            await sweep(node, clock())
        except DatabaseUnavailable:
            continue
        except Fenced:
            node.fail("the fence is closed")
            return
