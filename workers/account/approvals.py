"""Accounts that wait for somebody's approval: they are there and closed, so that their names are taken. Each function is a unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.xmpp.errors import StanzaError

#: Who may wait in one domain; beyond it nobody can ask.
MAX_WAITING: Final = 1000
_WAIT: Final = """
WITH it AS (UPDATE account SET disabled = true WHERE id = $1 RETURNING id)
INSERT INTO registration_request (account_id, address) SELECT id, $2 FROM it"""
_COUNT: Final = """
SELECT count(*) FROM (
    SELECT FROM registration_request r JOIN account a ON a.id = r.account_id WHERE a.domain = $1 LIMIT $2
) AS waiting"""
_PENDING: Final = """
SELECT a.localpart || '@' || a.domain AS jid, a.email, r.address, r.at
FROM registration_request r JOIN account a ON a.id = r.account_id
WHERE $1 = '' OR a.domain = $1 ORDER BY r.at, a.id LIMIT $2"""
_APPROVE: Final = """
WITH it AS (
    DELETE FROM registration_request r USING account a
    WHERE a.id = r.account_id AND a.domain = $1 AND a.localpart = $2 RETURNING a.id
)
UPDATE account SET disabled = false FROM it WHERE account.id = it.id RETURNING account.id"""
#: It never logged in, so nothing else is kept of it.
_REJECT: Final = """
DELETE FROM account a USING registration_request r
WHERE a.id = r.account_id AND a.domain = $1 AND a.localpart = $2 RETURNING a.id"""


class Waiting(NamedTuple):
    """Somebody who waits: the bare JID, what was said, from where, and since when (UTC)."""

    jid: str
    email: str
    address: str
    at: datetime


async def due(conn: Connection, domain: str, joining: str | None) -> bool:
    """Whether new users of a domain wait, by what its policy says. Raises StanzaError when as many wait as may."""
    if joining != "approval":
        return False
    if await conn.fetchval(_COUNT, domain, MAX_WAITING) >= MAX_WAITING:
        raise StanzaError("resource-constraint", "too many people wait for their accounts", type="wait")
    return True


async def wait(conn: Connection, account_id: int, address: str) -> None:
    """Close a new account until somebody approves; inside of the transaction that makes it."""
    await conn.execute(_WAIT, account_id, address)


async def pending(conn: Connection, domain: str) -> Sequence[Waiting]:
    """Who waits in a domain ("" for all), the first first; at most as many as may wait in one."""
    return [Waiting(*row.values()) for row in await conn.fetch(_PENDING, domain, MAX_WAITING)]


async def approve(conn: Connection, localpart: str, domain: str) -> bool:
    """Open an account that waits; False when there is none."""
    return await conn.fetchval(_APPROVE, domain, localpart) is not None


async def reject(conn: Connection, localpart: str, domain: str) -> bool:
    """Remove an account that waits; False when there is none."""
    return await conn.fetchval(_REJECT, domain, localpart) is not None
