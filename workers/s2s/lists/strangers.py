"""Messages and requests for subscriptions from listed senders reach only those who know them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from rookery.shared.cluster.addresses import Addresses
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.sender_lists import SenderLists
from rookery.shared.db.api import Connection, DatabaseUnavailable
from rookery.shared.observe import metrics
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.floods import counted

#: Whoever a user has asked to see, or lets see, is no stranger to that user.
_KNOWN: Final = """
SELECT EXISTS (
    SELECT FROM roster_item r JOIN account a ON a.id = r.account_id
    WHERE a.localpart = $1 AND a.domain = $2 AND r.contact = $3 AND (r.sub_to OR r.sub_from OR r.pending_out)
)"""
#: What waits to be judged; beyond it is refused.
_WAITING: Final = 1000
_PAUSE: Final = 0.5
#: What happens to a stanza: an error, or None when it passes.
Verdict = Callable[[StanzaError | None], None]


class Strangers:
    """Judges stanzas from other servers, one after the other, so that those of one sender stay in order."""

    def __init__(self, node: Node, addresses: Addresses, lists: SenderLists) -> None:
        self._node = node
        self._addresses = addresses
        self._lists = lists
        self._send, self._waiting = trio.open_memory_channel[tuple[Stanza, Verdict]](_WAITING)

    def judges(self, stanza: Stanza, verdict: Verdict) -> bool:
        """Whether this stanza is one to judge; then `verdict` is called, at once or later."""
        if not self._lists or not counted(stanza) or not self._addresses.account(bare_of(stanza.to)):
            return False
        if not self._lists.has(bare_of(stanza.from_)):
            return False
        try:
            self._send.send_nowait((stanza, verdict))
        except trio.WouldBlock:
            verdict(_refused())
        return True

    async def run(self) -> None:
        """Judge until cancelled."""
        async for stanza, verdict in self._waiting:
            verdict(None if await self._known(stanza) else _refused())

    async def _known(self, stanza: Stanza) -> bool:
        local, _, domain = bare_of(stanza.to).rpartition("@")
        known = partial(_asks, local=local, domain=domain, contact=bare_of(stanza.from_))
        while True:
            try:
                return await self._node.db.run(0, known, op="sender_lists")
            except DatabaseUnavailable:
                await trio.sleep(_PAUSE)


async def _asks(conn: Connection, local: str, domain: str, contact: str) -> bool:
    return bool(await conn.fetchval(_KNOWN, local, domain, contact))


def _refused() -> StanzaError:
    metrics.S2S_LISTED.inc()
    return StanzaError("policy-violation", "this address is on a list of senders of spam", type="cancel")
