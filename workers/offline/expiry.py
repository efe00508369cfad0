"""Lets go of what is too old or too much, a little at a time, by one worker of the cluster.

Owed messages that nobody fetched for `offline_storage.days` are given up; archives keep `message_archive.days`, and of each account
the newest `message_archive.messages`. What came for accounts in the moments of their removal goes, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from rookery.shared.bus.messages import Kind
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import DatabaseUnavailable, Fenced, UnitOfWork
from rookery.shared.observe.metrics import OFFLINE
from rookery.shared.store.archive import surplus, trim
from rookery.shared.store.reader import delete_archived, erase, expire_owed
from rookery.shared.xeps import message_archive, offline_storage

#: Between looks, between batches, and rows of a batch: at most 500 rows a second, which no other work notices.
INTERVAL: Final = 600.0
PAUSE: Final = 1.0
BATCH: Final = 500
#: Accounts whose archives are measured at once.
ACCOUNTS: Final = 100
_DAY: Final = 86_400
_EXPIRED: Final = OFFLINE.labels("expired")


async def sweep(node: Node, now: float) -> int:
    """Let go of what is too old or too much at `now` (Unix seconds), if this process holds partition 0; returns how many rows."""
    owed, archive = node.config.options(offline_storage.Options), node.config.options(message_archive.Options)
    done = await _batches(node, lambda conn: erase(conn, node.incarnation, now - _DAY, BATCH))
    gone = await _batches(
        node, lambda conn: expire_owed(conn, node.incarnation, now - owed.days * _DAY, BATCH)
    )
    _EXPIRED.inc(gone)
    done += gone + await _batches(
        node, lambda conn: delete_archived(conn, node.incarnation, now - archive.days * _DAY, BATCH)
    )
    return done + await _surplus(node, archive.messages)


def _ours(node: Node) -> bool:
    return node.epoch(Kind.OFFLINE, 0) is not None


async def _batches(node: Node, work: UnitOfWork[int]) -> int:
    done = 0
    while _ours(node):
        gone = await node.db.run(0, work)
        done += gone
        if gone < BATCH:
            break
        await trio.sleep(PAUSE)
    return done


async def _surplus(node: Node, keep: int) -> int:
    """Trim archives that are too long."""
    done = last = 0
    while _ours(node):
        accounts = await node.db.run(0, partial(surplus, after=last, keep=keep, accounts=ACCOUNTS))
        for account, newest in accounts:
            if newest:
                done += await _batches(
                    node,
                    partial(trim, incarnation=node.incarnation, account_id=account, last=newest, limit=BATCH),
                )
        if len(accounts) < ACCOUNTS:
            break
        last = accounts[-1][0]
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
