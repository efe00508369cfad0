"""Where a text stands in a database: in which tables of ours, whatever the type of the column."""

from __future__ import annotations

from rookery.shared.db.api import Connection

TABLES = """
SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"""


async def found(conn: Connection, needle: str) -> dict[str, int]:
    """Tables that have a text somewhere, in whatever type of column, as text or as bytes."""
    out = {}
    for row in await conn.fetch(TABLES):
        count = await conn.fetchval(
            f"SELECT count(*) FROM {row['name']} AS t WHERE position(lower($1) IN lower(t::text)) > 0 OR position($2 IN t::text) > 0",
            needle,
            needle.encode().hex(),
        )
        if count:
            out[row["name"]] = count
    return out
