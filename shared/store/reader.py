"""Reads and clean-up of the message store. Each function is a unit of work: `db.run(partition, lambda conn: owed_page(conn, ...))`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.db.api import FENCE, Connection, Fenced

_PAGE: Final = """
SELECT id, peer, stamp, stanza, archived, $1::bigint FROM (
    SELECT id, peer, stamp, stanza, archived, sum(octet_length(stanza)) OVER (ORDER BY id) - octet_length(stanza) AS before
    FROM (
        SELECT id, peer, extract(epoch FROM stamp)::float8 AS stamp, stanza, archived FROM (
            SELECT id, peer, stamp, stanza, archived FROM owed WHERE owner_id = $1 AND id > $2
            UNION ALL
            SELECT id, peer, stamp, stanza, archived FROM message WHERE account_id = $1 AND owed AND id > $2
        ) AS debts ORDER BY id LIMIT $3
    ) AS page
) AS measured
WHERE before < $4 ORDER BY id"""
#: What is archived stays so: only the debt ends.
_EXPIRE: Final = f"""{FENCE},
old AS MATERIALIZED (
    SELECT o.owner_id, o.id FROM owed o, fence_ok WHERE o.stamp < to_timestamp($2) LIMIT $3
),
gone AS (
    DELETE FROM owed o USING old WHERE o.owner_id = old.owner_id AND o.id = old.id RETURNING 1
),
old_before AS MATERIALIZED (
    SELECT m.account_id, m.id FROM message m, fence_ok WHERE m.stamp < to_timestamp($2) AND m.owed LIMIT $3
),
gone_before AS (
    DELETE FROM message m USING old_before old
    WHERE m.account_id = old.account_id AND m.id = old.id AND NOT m.archived RETURNING 1
),
kept_before AS (
    UPDATE message m SET owed = false FROM old_before old
    WHERE m.account_id = old.account_id AND m.id = old.id AND m.archived RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS open,
       (SELECT count(*) FROM gone) + (SELECT count(*) FROM gone_before) + (SELECT count(*) FROM kept_before) AS done"""  # noqa: S608
_ERASE: Final = f"""{FENCE},
stray AS MATERIALIZED (
    SELECT a.owner_id, a.id, a.day FROM fence_ok, erased e JOIN archive a ON a.owner_id = e.account_id LIMIT $3
),
gone AS (
    DELETE FROM archive a USING stray s WHERE a.owner_id = s.owner_id AND a.id = s.id AND a.day = s.day RETURNING 1
),
stray_owed AS MATERIALIZED (
    SELECT o.owner_id, o.id FROM fence_ok, erased e JOIN owed o ON o.owner_id = e.account_id LIMIT $3
),
gone_owed AS (
    DELETE FROM owed o USING stray_owed s WHERE o.owner_id = s.owner_id AND o.id = s.id RETURNING 1
),
stray_before AS MATERIALIZED (
    SELECT m.account_id, m.id FROM fence_ok, erased e JOIN message m ON m.account_id = e.account_id LIMIT $3
),
gone_before AS (
    DELETE FROM message m USING stray_before s WHERE m.account_id = s.account_id AND m.id = s.id RETURNING 1
),
forgotten AS (
    DELETE FROM erased e USING fence_ok
    WHERE e.at < to_timestamp($2) AND NOT EXISTS (SELECT FROM message m WHERE m.account_id = e.account_id)
      AND NOT EXISTS (SELECT FROM archive a WHERE a.owner_id = e.account_id)
      AND NOT EXISTS (SELECT FROM owed o WHERE o.owner_id = e.account_id)
)
SELECT EXISTS (SELECT FROM fence_ok) AS open,
       (SELECT count(*) FROM gone) + (SELECT count(*) FROM gone_owed) + (SELECT count(*) FROM gone_before) AS done"""  # noqa: S608
#: Of what was stored before the migration `archive_switch`: what came since goes by the day (`shared.store.retention`).
_RETAIN: Final = f"""{FENCE},
old AS MATERIALIZED (
    SELECT m.account_id, m.id FROM message m, fence_ok WHERE m.stamp < to_timestamp($2) AND NOT m.owed LIMIT $3
),
gone AS (
    DELETE FROM message m USING old WHERE m.account_id = old.account_id AND m.id = old.id RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, (SELECT count(*) FROM gone) AS done"""  # noqa: S608
#: Of several forms that a sender gave one number, each is there. The lowest bit of a mark is the direction.
_STORED: Final = """
SELECT want.owner_id, want.stream, want.n, t.id,
       EXISTS (SELECT FROM owed o WHERE o.owner_id = want.owner_id AND o.id = t.id) AS owed
FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS want(owner_id, stream, n)
CROSS JOIN LATERAL (
    SELECT t.id FROM taken t
    WHERE t.stream = want.stream AND t.n = want.n AND t.owner_id = want.owner_id AND t.mark & 1 = 0 LIMIT 8
) AS t
UNION ALL
SELECT m.account_id, m.stream, m.n, m.id, m.owed
FROM unnest($1::bigint[], $2::bytea[], $3::bigint[]) AS want(account_id, stream, n)
JOIN message m ON m.account_id = want.account_id AND m.stream = want.stream AND m.n = want.n AND NOT m.outgoing"""
#: Not what the archive alone has, unless a holder of that epoch stored it before that time.
_HAD: Final = """
SELECT want.stream, want.n
FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::float8[], $5::bigint[]) AS want(owner_id, stream, n, until, epoch)
CROSS JOIN LATERAL (
    SELECT t.id FROM taken t
    WHERE t.stream = want.stream AND t.n = want.n AND t.owner_id = want.owner_id AND t.mark & 1 = 0 LIMIT 8
) AS t
WHERE EXISTS (SELECT FROM owed o WHERE o.owner_id = want.owner_id AND o.id = t.id)
   OR NOT EXISTS (
    SELECT FROM archive a
    WHERE a.owner_id = want.owner_id AND a.id = t.id AND want.epoch <> -1 AND (a.id >> 40 <> want.epoch OR a.stamp > to_timestamp(want.until))
      AND a.day >= (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01' - 1
   )
UNION ALL
SELECT want.stream, want.n
FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::float8[], $5::bigint[]) AS want(account_id, stream, n, until, epoch)
JOIN message m ON m.account_id = want.account_id AND m.stream = want.stream AND m.n = want.n AND NOT m.outgoing
WHERE m.owed OR want.epoch = -1 OR (m.id >> 40 = want.epoch AND m.stamp <= to_timestamp(want.until))"""
#: Of what an owner is owed, that which its archive has, too, up to an id.
_FORGO: Final = f"""{FENCE},
paid AS (
    DELETE FROM owed o USING fence_ok
    WHERE o.owner_id = $2 AND o.archived AND o.id <= $3
      AND EXISTS (
        SELECT FROM archive a WHERE a.owner_id = o.owner_id AND a.id = o.id
        AND a.day >= floor(extract(epoch FROM o.stamp) / 86400)::integer - 1
        AND a.day <= floor(extract(epoch FROM o.stamp) / 86400)::integer + 2 OFFSET 0
      ) RETURNING 1
),
paid_before AS (
    UPDATE message m SET owed = false FROM fence_ok
    WHERE m.account_id = $2 AND m.owed AND m.archived AND m.id <= $3 RETURNING 1
)
SELECT EXISTS (SELECT FROM fence_ok) AS open,
       (SELECT count(*) FROM paid) + (SELECT count(*) FROM paid_before) AS done"""  # noqa: S608


#: The newest rows of an archive by its index, then those of them that came lately: an index by time would cost each message something.
#: One row tells of most archives that nothing has come lately.
_NEWEST: Final = """
SELECT a.localpart || '@' || a.domain AS bare, r.owner_id, r.id, r.stanza
FROM unnest($1::text[], $2::text[], $3::float8[]) AS want(localpart, domain, since)
JOIN account a ON a.domain = want.domain AND a.localpart = want.localpart
CROSS JOIN LATERAL (
    SELECT n.stamp FROM archive n
    WHERE n.owner_id = a.id AND n.id < $4
      AND n.day >= (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01' - 1
    ORDER BY n.id DESC LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    SELECT r.owner_id, r.id, r.stanza, r.stamp FROM archive r
    WHERE newest.stamp > to_timestamp(want.since) AND r.owner_id = a.id AND r.id < $4 AND NOT r.outgoing
      AND r.day >= (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01' - 1
    ORDER BY r.id DESC LIMIT $5
) AS r
WHERE r.stamp > to_timestamp(want.since) AND (a.last_seen IS NULL OR r.stamp > a.last_seen)
ORDER BY r.id"""
#: So many of an account are looked at.
NEWEST: Final = 500


class Owed(NamedTuple):
    """A message that offline delivery has to bring; `stamp` is in Unix seconds, `stanza` packed."""

    id: int
    peer: str
    stamp: float
    stanza: bytes
    archived: bool
    owner_id: int


async def owed_page(
    conn: Connection, owner_id: int, *, after: int = 0, max_rows: int = 100, max_bytes: int = 262_144
) -> list[Owed]:
    """The oldest owed messages with an id above `after`: at most `max_rows`, and no more once `max_bytes` are reached.

    There is always at least one row when there is any; an empty page ends the flush.
    """
    return [Owed(*row) for row in await conn.fetch(_PAGE, owner_id, after, max_rows, max_bytes)]


async def forgo(conn: Connection, incarnation: str, owner_id: int, last: int) -> int:
    """What the archive of an owner has up to the id `last` is not owed any more; returns how many messages. Raises Fenced."""
    row = await conn.fetchrow(_FORGO, incarnation, owner_id, last)
    if not row["open"]:
        raise Fenced(incarnation)
    done: int = row["done"]
    return done


async def newest_incoming(
    conn: Connection, before: int, wanted: Sequence[tuple[str, float]]
) -> list[tuple[str, int, int, bytes]]:
    """(bare JID, owner, id, packed stanza) of archived messages with ids below `before` that came for accounts after (bare JID, Unix
    seconds) and after they were last seen; at most NEWEST of each are looked at."""
    pairs = [bare.rpartition("@") for bare, _ in wanted]
    rows = await conn.fetch(
        _NEWEST,
        [local for local, _, _ in pairs],
        [domain for _, _, domain in pairs],
        [since for _, since in wanted],
        before,
        NEWEST,
    )
    return [(row["bare"], row["owner_id"], row["id"], row["stanza"]) for row in rows]


async def stored_uids(
    conn: Connection, uids: Sequence[tuple[int, bytes, int]]
) -> dict[tuple[int, bytes, int], tuple[int, bool]]:
    """Of incoming messages (owner, stream, n), those that were stored lately: (archive id, owed)."""
    columns = [list(column) for column in zip(*uids, strict=True)] if uids else [[], [], []]
    return {
        (row["owner_id"], bytes(row["stream"]), row["n"]): (row["id"], row["owed"])
        for row in await conn.fetch(_STORED, *columns)
    }


async def uids_had(
    conn: Connection, uids: Sequence[tuple[int, bytes, int, float, int]]
) -> list[tuple[bytes, int]]:
    """Of incoming messages (owner, stream, n, Unix seconds, epoch) those, (stream, n), that were stored lately and are owed, or settled, or were
    stored before that time by the holder of that epoch; epoch -1: by anybody, at any time.
    """
    rows = await conn.fetch(_HAD, *[list(column) for column in zip(*uids, strict=True)])
    return [(bytes(row["stream"]), row["n"]) for row in rows]


async def erase(conn: Connection, incarnation: str, before: float, limit: int = 1000) -> int:
    """Delete what was stored for owners that are removed, like `expire_owed`; forget those removed before `before` with nothing left."""
    return await _swept(conn, _ERASE, incarnation, before, limit)


async def expire_owed(conn: Connection, incarnation: str, before: float, limit: int = 1000) -> int:
    """Give up on owed messages older than `before` (Unix seconds), about `limit`; returns how many. Raises Fenced.

    Call again until it returns less than `limit`; several callers at once do no harm.
    """
    return await _swept(conn, _EXPIRE, incarnation, before, limit)


async def delete_archived(conn: Connection, incarnation: str, before: float, limit: int = 1000) -> int:
    """Delete messages of the table `message` that nobody is owed and that are older than `before`, like `expire_owed`. Raises Fenced."""
    return await _swept(conn, _RETAIN, incarnation, before, limit)


async def _swept(conn: Connection, statement: str, incarnation: str, before: float, limit: int) -> int:
    row = await conn.fetchrow(statement, incarnation, before, limit)
    if not row["open"]:
        raise Fenced(incarnation)
    done: int = row["done"]
    return done
