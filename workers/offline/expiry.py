"""Lets go of what is too old or too much, by one worker of the cluster.

Archives keep `message_archive.days`, or what their domain's policy says, and of each owner the newest `message_archive.messages`. Days that
nobody keeps are dropped whole, which costs nothing for a message; the rest goes in batches. Owed messages that nobody fetched for
`offline_storage.days` are given up. What came for owners in the moments of their removal goes, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import structlog
import trio

from rookery.shared.bus.messages import Kind
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import DatabaseUnavailable, Fenced, UnitOfWork
from rookery.shared.observe.metrics import OFFLINE
from rookery.shared.store import retention
from rookery.shared.store.partitions import Partition
from rookery.shared.store.reader import delete_archived, erase, expire_owed
from rookery.shared.store.retention import Domain
from rookery.shared.xeps import message_archive, offline_storage

_log = structlog.get_logger()

#: Between looks, between batches, and rows of a batch: at most 10 000 rows a second, which other work hardly notices.
INTERVAL: Final = 600.0
PAUSE: Final = 0.2
BATCH: Final = 2000
#: Owners whose archives are measured by one statement, and of a domain whose messages one statement deletes.
OWNERS: Final = 20
DOMAIN_OWNERS: Final = 500
#: An archive is looked at again when it has grown by this part of what it may have.
_SHARE: Final = 10
_DAY: Final = 86_400
_EXPIRED: Final = OFFLINE.labels("expired")
T = TypeVar("T")


async def sweep(node: Node, now: float) -> int:
    """Let go of what is too old or too much at `now` (Unix seconds), if this process holds partition 0; returns how many rows.

    Rows of dropped days are not counted. Their age is told by the database's clock.
    """
    owed, archive = node.config.options(offline_storage.Options), node.config.options(message_archive.Options)
    me = node.incarnation
    if not _ours(node):
        return 0
    await _days(node, archive.days)
    done = await _batches(node, lambda conn: erase(conn, me, now - _DAY, BATCH))
    gone = await _batches(node, lambda conn: expire_owed(conn, me, now - owed.days * _DAY, BATCH))
    _EXPIRED.inc(gone)
    done += gone + await _batches(
        node, lambda conn: delete_archived(conn, me, now - archive.days * _DAY, BATCH)
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


async def _days(node: Node, days: int) -> None:
    """Make days ahead, drop those that no domain keeps, and cut from the others what some domains do not keep."""
    kept = await node.db.run(0, partial(retention.domains, days=days))
    longest = max([days, *(one.days for one in kept)])
    gone, today = await node.db.run(
        0, partial(retention.prepare, incarnation=node.incarnation, longest=longest)
    )
    await _drop(node, gone)
    for domain in kept:
        if domain.days < longest and _ours(node):
            await _cut(node, domain, today - domain.days)


async def _drop(node: Node, gone: Sequence[Partition]) -> None:
    for one in gone:
        if not _ours(node):
            return
        try:
            await node.db.run(
                0, partial(retention.drop, incarnation=node.incarnation, one=one), op="store_drop"
            )
        except DatabaseUnavailable as exc:
            # Somebody reads it, such as a backup, and no lock was to be had in time: the next sweep tries again.
            _log.warning("archive_part_stays", name=one.name, reason=str(exc))
        else:
            _log.info("archive_part_dropped", name=one.name)


async def _cut(node: Node, domain: Domain, end: int) -> None:
    """Delete what owners of a domain have stored before the day `end`, once."""
    if domain.trimmed >= end:
        return
    last = 0
    while _ours(node):
        whose = await node.db.run(
            0, partial(retention.owners, domain=domain.name, after=last, limit=DOMAIN_OWNERS)
        )
        if not whose:
            await node.db.run(0, partial(retention.trimmed, domain=domain.name, day=end))
            return
        await _batches(
            node,
            partial(
                retention.cut,
                incarnation=node.incarnation,
                whose=whose,
                first=domain.trimmed,
                end=end,
                limit=BATCH,
            ),
        )
        last = whose[-1]


async def _surplus(node: Node, keep: int) -> int:
    """Trim archives that have grown too long."""
    done = last = 0
    look = partial(retention.surplus, keep=keep, owners=OWNERS, added=max(1, keep // _SHARE))
    while _ours(node):
        grown = await node.db.run(0, partial(look, after=last))
        for one in grown:
            if one.last:
                done += await _batches(
                    node,
                    partial(
                        retention.trim,
                        incarnation=node.incarnation,
                        owner_id=one.owner,
                        last=one.last,
                        limit=BATCH,
                    ),
                )
            await node.db.run(0, partial(retention.looked, incarnation=node.incarnation, grown=one))
        if len(grown) < OWNERS:
            break
        last = grown[-1].owner
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
