"""Other servers: what waits for them, trying again, giving up."""

from __future__ import annotations

from typing import Any, Final

from rookery.admin.desk import Desk
from rookery.admin.errors import NotFound
from rookery.shared.bus.kinds import Kind
from rookery.shared.bus.messages import TryRemote

_LIST: Final = """
SELECT coalesce(p.remote, q.remote) AS remote, coalesce(p.local, q.local) AS local, coalesce(q.waiting, 0) AS waiting,
       coalesce(q.bytes, 0) AS bytes, extract(epoch FROM q.oldest)::float8 AS oldest, extract(epoch FROM q.expires)::float8 AS expires,
       extract(epoch FROM p.worked)::float8 AS worked, extract(epoch FROM p.failed)::float8 AS failed, coalesce(p.trouble, '') AS trouble,
       coalesce(p.mute, false) AS mute
FROM s2s_peer p
FULL JOIN (
    SELECT w.remote, w.local, count(*) AS waiting, sum(length(w.stanza)) AS bytes, min(w.stamp) AS oldest, min(w.expires) AS expires
    FROM s2s_queue w LEFT JOIN s2s_peer o ON o.remote = w.remote AND o.local = w.local
    WHERE w.seq > coalesce(o.acked, 0) GROUP BY w.remote, w.local
) q ON q.remote = p.remote AND q.local = p.local
WHERE ($1 = '' OR coalesce(p.remote, q.remote) = $1)
    AND NOT EXISTS (SELECT FROM domain d WHERE d.name = coalesce(p.remote, q.remote) AND d.kind = 'component')
ORDER BY coalesce(q.waiting, 0) DESC, 1, 2"""
_DROP: Final = """
WITH old AS (UPDATE s2s_queue SET expires = now() WHERE remote = $1 AND expires > now() AND NOT EXISTS (
    SELECT FROM s2s_peer p WHERE p.remote = s2s_queue.remote AND p.local = s2s_queue.local AND s2s_queue.seq <= p.acked
) RETURNING 1)
SELECT count(*) FROM old"""


async def peers(desk: Desk, remote: str = "", *, waiting: bool = False) -> list[dict[str, Any]]:
    """What is known of a remote domain, or of all ("") by how much waits; with `waiting` only those that something waits for."""
    rows = await desk.run(lambda conn: conn.fetch(_LIST, remote))
    return [dict(row) for row in rows if row["waiting"] or not waiting]


async def find(desk: Desk, remote: str) -> list[dict[str, Any]]:
    """What is known of one remote domain, for each of ours that speaks with it. Raises NotFound."""
    found = await peers(desk, remote)
    if not found:
        raise NotFound(f"nothing is known of {remote}: nobody here has written to it")
    return found


async def retry(desk: Desk, remote: str) -> None:
    """Try to reach a remote domain now, whatever has failed before."""
    await desk.tell([(Kind.S2S, remote, TryRemote(remote)), desk.audit("s2s retry", remote)])


async def drop(desk: Desk, remote: str) -> int:
    """Give up what waits for a remote domain: each message goes back to its sender as an error; returns how many."""
    count = int(await desk.run(lambda conn: conn.fetchval(_DROP, remote)))
    await desk.tell([desk.audit("s2s drop", remote, messages=count)])
    return count
