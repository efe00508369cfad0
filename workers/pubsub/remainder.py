"""Private XML of the old bookmarks (XEP-0048) that has no place among the items: units of work."""

from __future__ import annotations

from typing import Final

from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.xeps.bookmarks import LEGACY
from rookery.shared.xmpp.jid import Jid

_WHOSE: Final = "(SELECT id FROM account WHERE domain = $1 AND localpart = $2)"
_GET: Final = (
    f"SELECT xml FROM private_xml WHERE account_id = {_WHOSE} AND namespace = $3 AND name = 'storage'"  # noqa: S608  constants only
)
_PUT: Final = f"""{FENCE},
done AS (
    INSERT INTO private_xml (account_id, namespace, name, xml)
    SELECT a.id, $4, 'storage', $5 FROM account a, fence_ok WHERE a.domain = $2 AND a.localpart = $3 AND $5 <> ''::bytea
    ON CONFLICT (account_id, namespace, name) DO UPDATE SET xml = EXCLUDED.xml
),
gone AS (
    DELETE FROM private_xml p USING account a, fence_ok WHERE p.account_id = a.id AND a.domain = $2 AND a.localpart = $3
    AND p.namespace = $4 AND p.name = 'storage' AND $5 = ''::bytea
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608  constants only


async def get(conn: Connection, account: str) -> bytes:
    """What is kept; empty for nothing."""
    jid = Jid.trusted(account)
    return bytes(await conn.fetchval(_GET, jid.domain, jid.local or "", LEGACY) or b"")


async def put(conn: Connection, incarnation: str, account: str, xml: bytes) -> None:
    """Keep something else; nothing when it is empty. Raises Fenced."""
    jid = Jid.trusted(account)
    if not await conn.fetchval(_PUT, incarnation, jid.domain, jid.local or "", LEGACY, xml):
        raise Fenced(incarnation)
