"""Pages of owed messages, ready to be delivered: read, unpacked, stamped (XEP-0160, XEP-0203)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.store.ids import Seal
from rookery.shared.store.reader import Owed, owed_page
from rookery.shared.store.rows import unpack_stanza
from rookery.shared.xeps.delayed_delivery import stamped
from rookery.shared.xeps.stanza_ids import identified, prefix
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza

#: One page: bounded by both, and far below what one bus message may carry.
MAX_ROWS: Final = 100
MAX_BYTES: Final = 262_144
REASON: Final = "Offline Storage"
_ACCOUNT: Final = "SELECT id FROM account WHERE domain = $1 AND localpart = $2"


class Page(NamedTuple):
    """Rows as Replay carries them; `last` when there were no more; `unreadable` ids cannot be delivered."""

    rows: list[tuple[int, Stanza]]
    last: bool
    unreadable: list[int]


async def read(conn: Connection, localpart: str, domain: str, after: int) -> list[Owed]:
    """The oldest owed messages above `after`; none for an account that does not exist."""
    account_id = await conn.fetchval(_ACCOUNT, domain, localpart)
    if account_id is None:
        return []
    return await owed_page(conn, account_id, after=after, max_rows=MAX_ROWS, max_bytes=MAX_BYTES)


def prepare(owed: Iterable[Owed], account: Jid, seal: Seal) -> Page:
    """Unpack and stamp. The domain is who delayed them (XEP-0160 section 2); what is archived has its id (XEP-0359)."""
    by = prefix(account.bare)
    rows: list[tuple[int, Stanza]] = []
    unreadable: list[int] = []
    count = size = 0
    for one in owed:
        count += 1
        size += len(one.stanza)
        try:
            stanza = unpack_stanza(one.stanza)
            if one.archived:
                stanza = identified(stanza, by, seal.seal(one.owner_id, one.id))
            rows.append((one.id, stamped(stanza, one.stamp, account.domain, REASON)))
        except (ValueError, TypeError):
            unreadable.append(one.id)
    return Page(rows, count < MAX_ROWS and size < MAX_BYTES, unreadable)
