"""The message of the day (XEP-0133 section 4.24): each user of a domain that has one is told it once, when a session becomes available.

While a domain has none, its logins cost nothing. An account's row remembers the digest of what it was told.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from rookery.shared.bus.messages import SessionUp
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.db.api import Connection
from rookery.shared.xeps.service_administration import digest, message
from rookery.shared.xmpp.jid import Jid
from rookery.workers.hosted import HostedWorker

_TOLD: Final = """
UPDATE account SET motd = $3 WHERE domain = $1 AND localpart = $2 AND motd IS DISTINCT FROM $3 RETURNING true"""


class MessageOfTheDay:
    """What the domains tell their users."""

    def __init__(self, worker: HostedWorker) -> None:
        self._worker = worker
        self._texts: dict[str, str] = {}

    def learn(self, rows: Sequence[DomainRow]) -> None:
        """The domains may have changed."""
        self._texts = {row.name: row.motd for row in rows if row.motd}

    def wanted(self, account: str) -> bool:
        """Whether there is something to tell the users of this one's domain."""
        return bool(self._texts) and account.rpartition("@")[2] in self._texts

    async def tell(self, partition: int, item: SessionUp) -> None:
        """Tell the session unless its account was told. Killed between the two, it is not told: it is no message that was accepted."""
        jid = Jid.trusted(item.account)
        text = self._texts.get(jid.domain)
        if not text:
            return

        async def note(conn: Connection) -> bool:
            return bool(await conn.fetchval(_TOLD, jid.domain, jid.local or "", digest(text)))

        if await self._worker.database(partition, note):
            self._worker.route(message(jid.domain, item.full, text, secrets.token_hex(8)))
