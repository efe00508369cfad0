"""Invitations to make an account (XEP-0401, XEP-0445): rows, and what they allow.

A token allows what it says to whoever has it. It is used up by accounts, not by looking at it; when it was shown in time, the account may
be made later (XEP-0445 section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.xeps.invitations import digest
from rookery.shared.xmpp.errors import StanzaError

_COLUMNS: Final = "digest, domain, localpart, inviter, made_by, created, expires, uses"
_VALID: Final = (
    f"SELECT {_COLUMNS} FROM invitation WHERE digest = $1 AND domain = $2 AND uses > 0 AND expires > now()"  # noqa: S608
)
_JOINS: Final = """
SELECT policy -> 'auth' IS NULL AND coalesce(policy ->> 'joining', '') <> 'nobody'
FROM domain WHERE name = $1 AND kind = 'accounts'"""
_SHOWN: Final = f"SELECT {_COLUMNS} FROM invitation WHERE digest = $1 AND domain = $2 AND uses > 0"  # noqa: S608
_TAKE: Final = """
UPDATE invitation SET uses = uses - 1
WHERE digest = $1 AND domain = $2 AND uses > 0 AND (localpart IS NULL OR localpart = $3) RETURNING inviter"""
#: Whether somebody else has been promised this name (XEP-0445 section 5).
_KEPT: Final = """
SELECT EXISTS (SELECT FROM invitation
    WHERE domain = $1 AND localpart = $2 AND uses > 0 AND expires > now() AND digest IS DISTINCT FROM $3)"""
_MAKE: Final = f"""
INSERT INTO invitation (digest, domain, localpart, inviter, made_by, expires, uses)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}"""  # noqa: S608
_OLD: Final = "DELETE FROM invitation WHERE expires < now() - interval '7 days'"
_LIST: Final = f"SELECT {_COLUMNS} FROM invitation WHERE $1 = '' OR domain = $1 ORDER BY created, digest"  # noqa: S608


class Invitation(NamedTuple):
    """An invitation; `id` names it, and is no secret. `username` and `inviter` are "" for none; times are UTC."""

    id: str
    domain: str
    username: str
    inviter: str
    made_by: str
    created: datetime
    expires: datetime
    uses: int


def _row(row: Any) -> Invitation:
    return Invitation(
        row["digest"].hex()[:16],
        row["domain"],
        row["localpart"] or "",
        row["inviter"],
        row["made_by"],
        row["created"],
        row["expires"],
        row["uses"],
    )


async def valid(conn: Connection, domain: str, token: str) -> Invitation:
    """The invitation of a token that is shown now. Raises StanzaError (XEP-0445 section 4)."""
    key = digest(token)
    row = None if key is None else await conn.fetchrow(_VALID, key, domain)
    if row is None:
        raise StanzaError("item-not-found", "the token is not valid, or its time is over")
    return _row(row)


async def joins(conn: Connection, domain: str) -> bool:
    """Whether accounts of a domain are made with invitations: not where nobody makes one, nor where passwords are kept elsewhere."""
    return bool(await conn.fetchval(_JOINS, domain))


async def shown(conn: Connection, domain: str, token: str) -> Invitation | None:
    """The invitation of a token that was shown when it was valid; None when it is used up or taken back meanwhile."""
    key = digest(token)
    row = None if key is None else await conn.fetchrow(_SHOWN, key, domain)
    return None if row is None else _row(row)


async def take(conn: Connection, domain: str, localpart: str, token: str) -> bool:
    """Use an invitation for an account, inside of its transaction; False when it does not allow that (any more)."""
    return await conn.fetchval(_TAKE, digest(token), domain, localpart) is not None


async def kept(conn: Connection, domain: str, localpart: str, token: str) -> bool:
    """Whether the name is kept for whoever has another invitation."""
    return bool(await conn.fetchval(_KEPT, domain, localpart, digest(token) if token else None))


async def make(conn: Connection, new: Invitation, token: str) -> Invitation:
    """Keep a new invitation; what is long over goes."""
    async with conn.transaction():
        await conn.execute(_OLD)
        row = await conn.fetchrow(
            _MAKE,
            digest(token),
            new.domain,
            new.username or None,
            new.inviter,
            new.made_by,
            new.expires,
            new.uses,
        )
    return _row(row)


async def listed(conn: Connection, domain: str) -> Sequence[Invitation]:
    """All invitations, or those of a domain."""
    return [_row(row) for row in await conn.fetch(_LIST, domain)]


async def revoke(conn: Connection, id: str) -> Invitation | None:
    """Take an invitation back; None when there is none."""
    row = await conn.fetchrow(
        f"DELETE FROM invitation WHERE encode(digest, 'hex') LIKE $1 || '%' RETURNING {_COLUMNS}",  # noqa: S608
        id,
    )
    return None if row is None else _row(row)
