"""The rows of lists of senders that other servers publish. Each statement may be done twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from rookery.shared.db.api import Connection

_VERSIONS: Final = "SELECT name, version FROM sender_list WHERE name = ANY ($1::text[])"
_ENTRIES: Final = "SELECT DISTINCT hash FROM sender_list_entry WHERE list = ANY ($1::text[])"
_CHANGED: Final = """
INSERT INTO sender_list AS l (name, version, fetched) VALUES ($1, 1, CASE WHEN $2 THEN now() END)
ON CONFLICT (name) DO UPDATE SET version = l.version + 1, fetched = coalesce(excluded.fetched, l.fetched)"""
_ADD: Final = """
INSERT INTO sender_list_entry (list, hash) SELECT $1, unnest($2::bytea[]) ON CONFLICT DO NOTHING"""
_DROP: Final = "DELETE FROM sender_list_entry WHERE list = $1 AND hash = ANY ($2::bytea[])"
_CLEAR: Final = "DELETE FROM sender_list_entry WHERE list = $1 AND NOT hash = ANY ($2::bytea[])"
_FETCHED: Final = """
SELECT coalesce(extract(epoch FROM now() - fetched), 1e9)::float8 FROM sender_list WHERE name = $1"""


async def versions(conn: Connection, names: Sequence[str]) -> Mapping[str, int]:
    """The versions of lists."""
    return {row["name"]: row["version"] for row in await conn.fetch(_VERSIONS, names)}


async def entries(conn: Connection, names: Sequence[str]) -> frozenset[bytes]:
    """What stands in any of these lists."""
    return frozenset(row["hash"] for row in await conn.fetch(_ENTRIES, names))


async def change(
    conn: Connection, name: str, added: Collection[bytes], removed: Collection[bytes], *, whole: bool = False
) -> None:
    """Add and remove entries, in one transaction; `whole`: `added` is all that there is."""
    async with conn.transaction():
        # First, so that of two that change a list at once one waits for the other.
        await conn.execute(_CHANGED, name, whole)
        if whole:
            await conn.execute(_CLEAR, name, list(added))
        if removed:
            await conn.execute(_DROP, name, list(removed))
        if added:
            await conn.execute(_ADD, name, list(added))


async def age(conn: Connection, name: str) -> float:
    """Seconds since a list was read as a whole; very many when it never was."""
    found: float | None = await conn.fetchval(_FETCHED, name)
    return 1e9 if found is None else found
