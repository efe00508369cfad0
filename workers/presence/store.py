"""What the presence worker reads of Postgres; it writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.xmpp.jid import Jid

_LOAD: Final = """
SELECT
    ARRAY(SELECT contact FROM roster_item WHERE account_id = a.id AND sub_from) AS seen_by,
    ARRAY(SELECT contact FROM roster_item WHERE account_id = a.id AND sub_to) AS sees,
    ARRAY(SELECT jid FROM blocked WHERE account_id = a.id) AS blocked
FROM account a WHERE domain = $1 AND localpart = $2"""


class Loaded(NamedTuple):
    """Bare JIDs of contacts, and the block list."""

    seen_by: Sequence[str]
    sees: Sequence[str]
    blocked: Sequence[str]


async def load(conn: Connection, account: str) -> Loaded | None:
    """The subscriptions and the block list of an account, in one statement; None when there is no such account."""
    jid = Jid.trusted(account)
    row = await conn.fetchrow(_LOAD, jid.domain, jid.local or "")
    return None if row is None else Loaded(row["seen_by"], row["sees"], row["blocked"])
