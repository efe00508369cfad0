"""The statements of the queues. Every write begins with FENCE; each function is a unit of work on one connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import FENCE, Connection, Fenced

#: How long a row stays after the other side has it: who sent it may send it again until then, and it must count once.
KEEP_SECONDS: Final = 90

_INSERT: Final = f"""{FENCE},
new AS (
    INSERT INTO s2s_queue (partition, remote, local, seq, stream, n, stamp, expires, stanza)
    SELECT r.partition, r.remote, r.local, r.seq, r.stream, r.n, to_timestamp(r.at), to_timestamp(r.expires), r.stanza
    FROM fence_ok CROSS JOIN unnest(
        $2::integer[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::bigint[], $8::float8[], $9::float8[], $10::bytea[]
    ) AS r (partition, remote, local, seq, stream, n, at, expires, stanza)
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, count(*) AS stored FROM new"""  # noqa: S608  constants only
_THERE: Final = """
SELECT q.partition, q.seq FROM s2s_queue q
JOIN unnest($1::text[], $2::text[], $3::bigint[]) AS r (remote, local, seq) USING (remote, local, seq)"""
_ACKED: Final = f"""{FENCE},
told AS (
    INSERT INTO s2s_peer AS p (partition, remote, local, acked, worked)
    SELECT r.partition, r.remote, r.local, r.acked, now()
    FROM fence_ok CROSS JOIN unnest($2::integer[], $3::text[], $4::text[], $5::bigint[]) AS r (partition, remote, local, acked)
    ON CONFLICT (remote, local) DO UPDATE SET
        partition = EXCLUDED.partition, acked = greatest(p.acked, EXCLUDED.acked), worked = now()
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608
_OUTCOME: Final = f"""{FENCE},
told AS (
    INSERT INTO s2s_peer AS p (partition, remote, local, worked, failed, trouble)
    SELECT r.partition, r.remote, r.local, CASE WHEN r.trouble = '' THEN now() END, CASE WHEN r.trouble <> '' THEN now() END, r.trouble
    FROM fence_ok CROSS JOIN unnest($2::integer[], $3::text[], $4::text[], $5::text[]) AS r (partition, remote, local, trouble)
    ON CONFLICT (remote, local) DO UPDATE SET
        partition = EXCLUDED.partition, worked = coalesce(EXCLUDED.worked, p.worked), failed = coalesce(EXCLUDED.failed, p.failed), trouble = EXCLUDED.trouble
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608
_MUTE: Final = f"""{FENCE},
told AS (
    INSERT INTO s2s_peer AS p (partition, remote, local, mute) SELECT $2, $3, $4, $5 FROM fence_ok
    ON CONFLICT (remote, local) DO UPDATE SET partition = EXCLUDED.partition, mute = EXCLUDED.mute
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608
_SPOKEN: Final = f"""{FENCE},
told AS (
    INSERT INTO s2s_peer AS p (partition, remote, local, spoken) SELECT r.partition, r.remote, r.local, true
    FROM fence_ok CROSS JOIN unnest($2::integer[], $3::text[], $4::text[]) AS r (partition, remote, local)
    ON CONFLICT (remote, local) DO UPDATE SET partition = EXCLUDED.partition, spoken = true
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608
_FRIENDS: Final = "SELECT DISTINCT remote FROM s2s_peer WHERE remote = ANY ($1) AND spoken"
_GONE: Final = f"""{FENCE},
gone AS (
    DELETE FROM s2s_queue q USING fence_ok, unnest($2::text[], $3::text[], $4::bigint[]) AS r (remote, local, seq)
    WHERE q.remote = r.remote AND q.local = r.local AND q.seq = r.seq
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608
_SWEEP: Final = f"""{FENCE},
gone AS (
    DELETE FROM s2s_queue q USING s2s_peer p, fence_ok
    WHERE q.partition = ANY ($2) AND p.remote = q.remote AND p.local = q.local AND q.seq <= p.acked
        AND q.stamp < now() - make_interval(secs => {KEEP_SECONDS})
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608
_LOAD: Final = """
SELECT coalesce(p.remote, q.remote) AS remote, coalesce(p.local, q.local) AS local, coalesce(p.acked, 0) AS acked,
       extract(epoch FROM p.worked)::float8 AS worked, extract(epoch FROM p.failed)::float8 AS failed,
       coalesce(p.trouble, '') AS trouble, coalesce(q.n, 0) AS waiting, coalesce(p.mute, false) AS mute
FROM (SELECT * FROM s2s_peer WHERE partition = $1) p
FULL JOIN (
    SELECT w.remote, w.local, count(*) AS n FROM s2s_queue w
    LEFT JOIN s2s_peer o ON o.remote = w.remote AND o.local = w.local
    WHERE w.partition = $1 AND w.seq > coalesce(o.acked, 0) GROUP BY w.remote, w.local
) q ON q.remote = p.remote AND q.local = p.local"""
_PAGE: Final = """
SELECT seq, stream, n, at, stanza FROM (
    SELECT seq, stream, n, extract(epoch FROM stamp)::float8 AS at, stanza,
           sum(octet_length(stanza)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - octet_length(stanza) AS before
    FROM s2s_queue WHERE remote = $1 AND local = $2 AND seq > $3 ORDER BY seq LIMIT $4
) q WHERE before < $5 ORDER BY seq"""
_EXPIRED: Final = """
SELECT q.remote, q.local, q.seq, q.stream, q.n, q.stanza FROM s2s_queue q
LEFT JOIN s2s_peer p ON p.remote = q.remote AND p.local = q.local
WHERE q.partition = ANY ($1) AND q.expires < now() AND q.seq > coalesce(p.acked, 0) ORDER BY q.seq LIMIT $2"""
_HASTEN: Final = f"""{FENCE},
soon AS (
    UPDATE s2s_queue q SET expires = now() FROM fence_ok, unnest($2::text[], $3::text[]) AS r (remote, local)
    WHERE q.remote = r.remote AND q.local = r.local AND q.expires > now()
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608


class Waiting(NamedTuple):
    """A row to store: `at` and `expires` in Unix seconds, `stanza` packed."""

    partition: int
    remote: str
    local: str
    seq: int
    stream: bytes
    n: int
    at: float
    expires: float
    stanza: bytes


class Known(NamedTuple):
    """A pair of domains as a new holder finds it; times in Unix seconds, 0.0 for never."""

    remote: str
    local: str
    acked: int
    worked: float
    failed: float
    trouble: str
    waiting: int
    mute: bool


class Old(NamedTuple):
    """A row that is to be given up."""

    remote: str
    local: str
    seq: int
    stream: bytes
    n: int
    stanza: bytes


def _open(answer: Any, incarnation: str) -> None:
    if not answer:
        raise Fenced(incarnation)


async def insert(
    conn: Connection, incarnation: str, rows: Sequence[Waiting]
) -> frozenset[tuple[int, int]] | None:
    """Store rows. None when all are new, else the (partition, number) of those that are. Safe to repeat. Raises Fenced.

    A row that an attempt before this one has stored, whose answer was lost, is new as well: its number is given to nothing else. That attempt may have
    committed while this one waited for it, so only a further statement sees its rows.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    record = await conn.fetchrow(_INSERT, incarnation, *columns)
    _open(record["open"], incarnation)
    if record["stored"] == len(rows):
        return None
    there = await conn.fetch(_THERE, columns[1], columns[2], columns[3])
    return frozenset((row["partition"], row["seq"]) for row in there)


async def acked(conn: Connection, incarnation: str, told: Sequence[tuple[int, str, str, int]]) -> None:
    """The other side has everything of (partition, remote, local) up to a number. Raises Fenced."""
    columns = [list(column) for column in zip(*told, strict=True)]
    _open(await conn.fetchval(_ACKED, incarnation, *columns), incarnation)


async def outcomes(conn: Connection, incarnation: str, told: Sequence[tuple[int, str, str, str]]) -> None:
    """Streams for pairs (partition, remote, local) were opened (""), or could not be for these reasons. Raises Fenced."""
    columns = [list(column) for column in zip(*told, strict=True)]
    _open(await conn.fetchval(_OUTCOME, incarnation, *columns), incarnation)


async def mute(conn: Connection, incarnation: str, partition: int, pair: tuple[str, str], mute: bool) -> None:
    """The other side of the pair (remote, local) cannot acknowledge, or can. Raises Fenced."""
    _open(await conn.fetchval(_MUTE, incarnation, partition, *pair, mute), incarnation)


async def spoken(conn: Connection, incarnation: str, pairs: Sequence[tuple[int, str, str]]) -> None:
    """Users of ours have written: (partition, remote, local). Raises Fenced."""
    columns = [list(column) for column in zip(*pairs, strict=True)]
    _open(await conn.fetchval(_SPOKEN, incarnation, *columns), incarnation)


async def friends(conn: Connection, remotes: Sequence[str]) -> frozenset[str]:
    """Which of these remote domains somebody here has written to."""
    return frozenset(row["remote"] for row in await conn.fetch(_FRIENDS, list(remotes)))


async def gone(conn: Connection, incarnation: str, rows: Sequence[tuple[str, str, int]]) -> None:
    """Delete the rows (remote, local, number). Raises Fenced."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    _open(await conn.fetchval(_GONE, incarnation, *columns), incarnation)


async def hasten(conn: Connection, incarnation: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Give up all that waits of pairs (remote, local) with the next look. Raises Fenced."""
    columns = [list(column) for column in zip(*pairs, strict=True)]
    _open(await conn.fetchval(_HASTEN, incarnation, *columns), incarnation)


async def sweep(conn: Connection, incarnation: str, partitions: Sequence[int]) -> None:
    """Delete what the other sides have had for a while. Raises Fenced."""
    _open(await conn.fetchval(_SWEEP, incarnation, list(partitions)), incarnation)


async def load(conn: Connection, partition: int) -> list[Known]:
    """The pairs of a partition."""
    return [
        Known(
            r["remote"],
            r["local"],
            r["acked"],
            r["worked"] or 0.0,
            r["failed"] or 0.0,
            r["trouble"],
            r["waiting"],
            r["mute"],
        )
        for r in await conn.fetch(_LOAD, partition)
    ]


async def page(
    conn: Connection, remote: str, local: str, after: int, limit: int, size: int
) -> tuple[list[Any], bool]:
    """The next rows of a pair above a number, in order, as (seq, stream, n, at, stanza), and whether there may be more behind them.

    At most `limit` rows; the one that makes them `size` bytes is the last.
    """
    rows = [tuple(row) for row in await conn.fetch(_PAGE, remote, local, after, limit, size)]
    return rows, len(rows) == limit or sum(len(row[-1]) for row in rows) >= size


async def expired(conn: Connection, partitions: Sequence[int], limit: int) -> list[Old]:
    """Rows whose time is over and that the other side has not acknowledged."""
    return [Old(*row) for row in await conn.fetch(_EXPIRED, list(partitions), limit)]
