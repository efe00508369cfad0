"""Requests about archives, from a client of the account itself: checks, the database, and the way back."""

from __future__ import annotations

from rookery.shared.bus.messages import AccountChanged, Handle, Kind, ToSession
from rookery.shared.db.api import Connection
from rookery.shared.store import queries
from rookery.shared.store.ids import Seal
from rookery.shared.store.queries import Answer
from rookery.shared.xeps import archive_preferences, message_archive
from rookery.shared.xeps.archive_preferences import Preferences
from rookery.shared.xeps.message_archive import NS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import HostedWorker
from rookery.workers.offline import archive


class Queries:
    """Answers Handle of this kind."""

    def __init__(self, worker: HostedWorker) -> None:
        self._worker = worker
        self._node = worker.node

    async def serve(self, partition: int, item: Handle, seal: Seal) -> None:
        """Answer one iq."""
        iq = item.stanza

        async def work() -> Stanza | None:
            if not item.outbound:
                raise StanzaError("forbidden")  # nobody else's archive is open (section 7.1)
            account = Jid.trusted(item.account)
            name = iq.payloads[0][1]
            if name == "prefs":
                return await self._prefs(partition, item, account)
            if name == "metadata":
                if iq.type != "get":
                    raise StanzaError("bad-request")
                return await self._metadata(partition, item, account, seal)
            if iq.type == "get":
                return message_archive.form(iq)
            await self._query(partition, item, account, seal)
            return None

        await self._worker.serve_iq(item.origin, iq, work)

    async def _metadata(self, partition: int, item: Handle, account: Jid, seal: Seal) -> Stanza:
        async def work(conn: Connection) -> Stanza:
            return await queries.metadata(conn, seal, await archive.owner_of(conn, account), item.stanza)

        return await self._worker.database(partition, work, item.origin.deadline)

    async def _query(self, partition: int, item: Handle, account: Jid, seal: Seal) -> None:
        iq = item.stanza
        element = iq.find(NS, "query")
        assert element is not None  # the dispatch table matched it
        query = message_archive.parse(element)

        async def work(conn: Connection) -> Answer:
            return await queries.answer(conn, seal, await archive.owner_of(conn, account), iq, query)

        answer = await self._worker.database(partition, work, item.origin.deadline)
        # One item: the end of the page never comes before its results.
        self._node.bus.post(Kind.ROUTER, partition, ToSession(iq.from_, 0, (*answer.results, answer.end)))

    async def _prefs(self, partition: int, item: Handle, account: Jid) -> Stanza:
        iq = item.stanza
        durability = self._node.config.router.durability
        if iq.type == "get":
            chosen = await self._worker.database(
                partition, lambda conn: archive.preferences(conn, account, durability), item.origin.deadline
            )
            return archive.preferences_result(iq, chosen)
        element = iq.find(NS, "prefs")
        assert element is not None
        wanted: Preferences = archive_preferences.parse(element)
        await self._worker.database(
            partition,
            lambda conn: archive.prefer(conn, self._node.incarnation, account, wanted),
            item.origin.deadline,
        )
        # Before the answer: what comes after it is archived, or not, by what it says.
        self._node.bus.post(Kind.ROUTER, partition, AccountChanged(item.account, "archive"))
        return archive.preferences_result(iq, wanted)
