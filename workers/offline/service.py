"""The offline worker: hands owed messages to the router page by page, answers archive queries, and gives up what is too old.

It keeps no state: each SessionUp names where its page begins. The router numbers, delivers and settles what it was handed, so
a message is removed only after it was written to a client.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import AskArchive, Handle, Kind, Replay, SessionUp
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import Connection, DatabaseUnavailable
from rookery.shared.store.ids import Seal, cluster_seal
from rookery.shared.store.reader import Owed
from rookery.shared.xmpp.jid import Jid
from rookery.workers.hosted import Answerer, Handler, HostedWorker
from rookery.workers.offline import expiry, pages
from rookery.workers.offline.queries import Queries
from rookery.workers.offline.requests import REQUESTS
from rookery.workers.requests import is_request, serve

#: Between attempts to read what every answer needs.
RETRY = 0.2
_log = structlog.get_logger()


class OfflineService(HostedWorker):
    """Implements `shared.cluster.api.Service` for the kind offline."""

    kind = Kind.OFFLINE

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._queries = Queries(self, self._sealed)
        self._seal: Seal | None = None

    def items(self) -> Mapping[type, Handler]:
        """Who handles what; everything else does not concern stored messages."""
        return {SessionUp: self._on_session_up, Handle: self._on_handle}

    def calls(self) -> Mapping[type, Answerer]:
        """What edges ask."""
        return {AskArchive: self._on_ask_archive}

    def _on_ask_archive(self, partition: int, call: Call, request: AskArchive) -> None:
        self.job(partition, request.account, lambda: self._queries.ends(partition, call, request))

    def _on_session_up(self, partition: int, item: SessionUp) -> None:
        if item.priority >= 0:
            self.job(partition, item.account, lambda: self._page(partition, item))

    def _on_handle(self, partition: int, item: Handle) -> None:
        self.handle(partition, item, lambda: self._handle(partition, item))

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().run)
            nursery.start_soon(expiry.run, self.node)

    async def _sealed(self) -> Seal:
        """The seal of archive ids; waits until Postgres has told the secret."""
        while self._seal is None:
            try:
                self._seal = await cluster_seal(self.node.db)
            except DatabaseUnavailable:
                await trio.sleep(RETRY)
        return self._seal

    async def _handle(self, partition: int, item: Handle) -> None:
        if is_request(item.stanza):
            await serve(self, REQUESTS, self._queries, partition, item)
        else:
            self.accept(item.origin)

    async def _page(self, partition: int, item: SessionUp) -> None:
        account = Jid.trusted(item.account)
        after = item.after
        seal = await self._sealed()

        async def work(conn: Connection) -> list[Owed]:
            return await pages.read(conn, account.local or "", account.domain, after)

        while True:
            page = pages.prepare(await self.database(partition, work), account, seal)
            if page.unreadable:
                _log.error("stored_message_unreadable", rows=page.unreadable)
            if page.rows or page.last:
                break
            after = page.unreadable[-1]  # nothing to hand over, but there is more behind
        self.node.bus.post(Kind.ROUTER, partition, Replay(item.full, item.grant, page.rows, page.last))
