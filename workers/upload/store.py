"""The rows of uploads in Postgres. Each statement may be done twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.workers.upload.slots import Slot

_ACCOUNT: Final = "SELECT id FROM account WHERE localpart = $1 AND domain = $2 AND NOT disabled"
_COUNT: Final = """
INSERT INTO upload_day AS u (account_id, day, files, bytes)
SELECT $1, $2, 1, $3 WHERE $3::bigint <= $5::bigint
ON CONFLICT (account_id, day) DO UPDATE SET files = u.files + 1, bytes = u.bytes + excluded.bytes
WHERE u.files < $4::int AND u.bytes + excluded.bytes <= $5::bigint
RETURNING 1"""
_PUT: Final = """
INSERT INTO upload (id, account_id, name, media_type, size, expires)
SELECT $1, a.id, $3, $4, $5, $6 FROM account a WHERE a.id = $2
ON CONFLICT (id) DO NOTHING"""
_OWNED: Final = "SELECT EXISTS (SELECT FROM upload WHERE id = $1 AND account_id = $2)"
_GET: Final = """
SELECT name, media_type, size, expires FROM upload
WHERE id = $1 AND account_id IS NOT NULL AND (expires IS NULL OR expires > $2)"""
_OVER: Final = """
(SELECT id FROM upload WHERE expires <= $1 AND created <= coalesce($3::timestamptz, 'infinity') ORDER BY expires LIMIT $2)
UNION ALL (
    SELECT id FROM upload WHERE account_id IS NULL AND (expires IS NULL OR expires > $1) AND created <= coalesce($3::timestamptz, 'infinity') LIMIT $2
)
LIMIT $2"""
_DELETE: Final = "DELETE FROM upload WHERE id = ANY ($1::text[])"
_DAYS: Final = """
DELETE FROM upload_day WHERE ctid = ANY (ARRAY(SELECT ctid FROM upload_day WHERE day < $1 LIMIT $2))"""


class File(NamedTuple):
    """A file that may be got; `expires` in Unix seconds, 0 for never."""

    id: str
    name: str
    media_type: str
    size: int
    expires: float


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def account(conn: Connection, local: str, domain: str) -> int | None:
    """The id of an account."""
    found: int | None = await conn.fetchval(_ACCOUNT, local, domain)
    return found


async def count(conn: Connection, account: int, size: int, now: float, most: tuple[int, int]) -> bool:
    """Count a slot on the account's day; False when that would be more than `most` (files, bytes)."""
    return bool(await conn.fetchval(_COUNT, account, _time(now).date(), size, *most))


async def put(conn: Connection, slot: Slot) -> bool:
    """Note a file before it gets its name; False when the account is gone."""
    expires = _time(slot.expires) if slot.expires else None
    await conn.execute(_PUT, slot.id, slot.account, slot.name, slot.media_type, slot.size, expires)
    return bool(await conn.fetchval(_OWNED, slot.id, slot.account))


async def get(conn: Connection, id: str, now: float) -> File | None:
    """A file that is not over and whose account is there."""
    row = await conn.fetchrow(_GET, id, _time(now))
    if row is None:
        return None
    expires = row["expires"].timestamp() if row["expires"] else 0.0
    return File(id, row["name"], row["media_type"], row["size"], expires)


async def over(conn: Connection, now: float, before: float | None, limit: int) -> list[str]:
    """Ids of files that are to go, of those that were noted before a time, if there is one."""
    noted = None if before is None else _time(before)
    return [row["id"] for row in await conn.fetch(_OVER, _time(now), limit, noted)]


async def delete(conn: Connection, ids: Sequence[str]) -> None:
    """Forget files that are gone."""
    await conn.execute(_DELETE, ids)


async def forget_days(conn: Connection, now: float, limit: int) -> None:
    """Drop what was counted on days that are over."""
    await conn.execute(_DAYS, _time(now - 2 * 86_400).date(), limit)
