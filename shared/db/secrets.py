"""Secrets that all processes of a cluster share (fake salts, resumption, dialback).

The newest of a purpose makes; all of them verify, so what an older one made stays good until it is dropped.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Final

from rookery.shared.db.api import Connection, Database

BYTES: Final = 32
_SELECT: Final = "SELECT value FROM secret WHERE purpose = $1 ORDER BY created DESC"


async def shared_secrets(db: Database, purpose: str) -> Sequence[bytes]:
    """The secrets of `purpose`, newest first; the first one is made when there is none. Raises DatabaseUnavailable."""
    fresh = secrets.token_bytes(BYTES)

    return await db.run(0, partial(secrets_of, purpose=purpose, fresh=fresh))


async def secrets_of(conn: Connection, purpose: str, fresh: bytes = b"") -> Sequence[bytes]:
    """The same as a unit of work."""
    rows = await conn.fetch(_SELECT, purpose)
    if not rows:
        # A fixed time, so that of all who find none at once only one makes it.
        await conn.execute(
            "INSERT INTO secret (purpose, created, value) VALUES ($1, '-infinity', $2) ON CONFLICT DO NOTHING",
            purpose,
            fresh or secrets.token_bytes(BYTES),
        )
        rows = await conn.fetch(_SELECT, purpose)
    return [row["value"] for row in rows]
