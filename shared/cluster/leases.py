"""The rows that give partitions to processes, and the three ways in which they change: claim, take over, move.

Claims and take-overs run one at a time in the whole cluster (an advisory lock), so two processes never argue about a row.
A take-over closes the fence of the dead process first: that waits for its statement on the way (FENCE is FOR SHARE), and
nothing that it sends later is written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from rookery.shared.bus.messages import Kind
from rookery.shared.cluster.assign import targets
from rookery.shared.cluster.members import place_of
from rookery.shared.db.api import FENCE, Connection, Fenced

_LOCK = "SELECT pg_advisory_xact_lock(7308895107)"
_LOOK = "SELECT kind, partition, incarnation, epoch FROM lease WHERE kind = ANY($1) ORDER BY kind, partition"
_MEMBERS = """
SELECT m.incarnation, m.kinds, m.zone, m.host, f.open AND NOT m.draining AND m.expires > now() AS live, m.expires <= now() AS expired
FROM member m JOIN fence f USING (incarnation)
"""
_CLOSE = "UPDATE fence SET open = false WHERE incarnation = ANY($1) AND open"
_TAKE = """
UPDATE lease SET incarnation = $1, epoch = epoch + 1
FROM unnest($2::text[], $3::int[]) AS want (kind, partition)
WHERE lease.kind = want.kind AND lease.partition = want.partition
RETURNING lease.kind, lease.partition, lease.incarnation, lease.epoch
"""
# The next holder must still be there; otherwise the partition is free for whoever claims it.
_MOVE = f"""{FENCE}
UPDATE lease SET epoch = lease.epoch + 1, incarnation = (
    SELECT m.incarnation FROM member m JOIN fence f USING (incarnation)
    WHERE m.incarnation = want.next AND f.open AND NOT m.draining AND m.expires > now()
)
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::text[]) AS want (kind, partition, epoch, next), fence_ok
WHERE lease.kind = want.kind AND lease.partition = want.partition
  AND lease.incarnation = $1 AND lease.epoch = want.epoch
RETURNING lease.kind, lease.partition, lease.incarnation, lease.epoch
"""  # noqa: S608  constants


class Lease(NamedTuple):
    """One row: nobody holds it when `incarnation` is None."""

    kind: Kind
    partition: int
    incarnation: str | None
    epoch: int


class Move(NamedTuple):
    """A partition that this process has released and gives to `next` (None: to nobody)."""

    kind: Kind
    partition: int
    epoch: int
    next: str | None


async def look(conn: Connection, kinds: Sequence[Kind]) -> list[Lease]:
    """All leases of these kinds."""
    return _leases(await conn.fetch(_LOOK, [kind.label for kind in kinds]))


async def claim(
    conn: Connection, me: str, kinds: Sequence[Kind], consenting: Collection[str], silent: Collection[str]
) -> list[Lease]:
    """Take what is free or held by the dead and falls to this process; returns what was taken.

    Dead are the `consenting`, and those of the `silent` whose heartbeat row has expired (looked at again here). Raises Fenced when
    this process itself may not hold anything any more.
    """
    async with conn.transaction():
        await conn.execute(_LOCK)
        if not await conn.fetchval("SELECT 1 FROM fence WHERE incarnation = $1 AND open FOR SHARE", me):
            raise Fenced
        members = await conn.fetch(_MEMBERS)
        known = {row["incarnation"] for row in members}
        dead = {
            *consenting,
            *(row["incarnation"] for row in members if row["expired"] and row["incarnation"] in silent),
        }
        leases = await look(conn, kinds)
        free: set[str | None] = {
            r.incarnation for r in leases if r.incarnation in dead or r.incarnation not in known
        }
        places = {
            r["incarnation"]: place for r in members if (place := place_of(r["zone"], r["host"])) is not None
        }
        taken: list[Lease] = []
        for kind in kinds:
            rows = {lease.partition: lease for lease in leases if lease.kind is kind}
            live = {r["incarnation"] for r in members if r["live"] and kind.label in r["kinds"]} - dead
            wanted = targets({p: r.incarnation for p, r in rows.items()}, live, free, places)
            taken += [
                rows[p] for p, name in wanted.items() if name == me and rows[p].incarnation in free | {None}
            ]
        if not taken:
            return []
        await conn.execute(_CLOSE, sorted({r.incarnation for r in taken if r.incarnation is not None}))
        return _leases(
            await conn.fetch(_TAKE, me, [r.kind.label for r in taken], [r.partition for r in taken])
        )


async def move(conn: Connection, me: str, moves: Sequence[Move]) -> list[Lease]:
    """Give released partitions away, one statement; returns the rows that changed. None of them changes when fenced."""
    return _leases(
        await conn.fetch(
            _MOVE,
            me,
            [m.kind.label for m in moves],
            [m.partition for m in moves],
            [m.epoch for m in moves],
            [m.next for m in moves],
        )
    )


def _leases(rows: Sequence[Any]) -> list[Lease]:
    return [Lease(Kind[r["kind"].upper()], r["partition"], r["incarnation"], r["epoch"]) for r in rows]
