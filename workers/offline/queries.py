"""Requests about archives, from a client of the account itself: checks, the database, and the way back."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import AccountChanged, ArchiveEnds, AskArchive, Handle, Kind, ToSession
from rookery.shared.db.api import Connection
from rookery.shared.store import queries
from rookery.shared.store.archive import ends
from rookery.shared.store.ids import Seal
from rookery.shared.store.queries import Answer
from rookery.shared.store.reader import forgo
from rookery.shared.xeps import archive_preferences, bind2, message_archive
from rookery.shared.xeps.archive_preferences import Preferences
from rookery.shared.xeps.message_archive import NS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import DeadlineError, HostedWorker
from rookery.workers.offline import archive

#: A client that binds a resource does not wait longer for the ends of its archive.
ENDS_MS: Final = 3000


class Queries:
    """Answers requests about archives; `sealed` gives the seal of their ids."""

    def __init__(self, worker: HostedWorker, sealed: Callable[[], Awaitable[Seal]]) -> None:
        self._worker = worker
        self._node = worker.node
        self._sealed = sealed

    @staticmethod
    def _account(item: Handle) -> Jid:
        if not item.outbound:
            raise StanzaError("forbidden")  # nobody else's archive is open (section 7.1)
        return Jid.trusted(item.account)

    async def form(self, partition: int, item: Handle) -> Stanza | None:
        """The fields that a query may have (XEP-0313 section 4.1.5)."""
        self._account(item)
        return message_archive.form(item.stanza)

    async def metadata(self, partition: int, item: Handle) -> Stanza | None:
        """The ends of the archive (XEP-0313 section 5)."""
        account, seal = self._account(item), await self._sealed()

        async def work(conn: Connection) -> Stanza:
            return await queries.metadata(conn, seal, await archive.owner_of(conn, account), item.stanza)

        return await self._worker.database(partition, work, item.origin.deadline)

    async def ends(self, partition: int, call: Call, request: AskArchive) -> None:
        """Tell an edge the ends of an archive, and clear what offline delivery owes of it (XEP-0386 section 4)."""
        account, seal = Jid.trusted(request.account), await self._sealed()

        async def work(conn: Connection) -> tuple[list[tuple[str, int]], int]:
            owner = await archive.owner_of(conn, account)
            found = await ends(conn, owner.id)
            cleared = 0
            if request.clear and found and self._node.config.options(bind2.Options).clear_offline:
                cleared = await forgo(conn, self._node.incarnation, owner.id, found[-1][0])
            return [(seal.seal(owner.id, id), int(at * 1000)) for id, at in found], cleared

        try:
            deadline = int(time.time() * 1000) + ENDS_MS
            found, cleared = await self._worker.database(partition, work, deadline)
        except StanzaError as error:
            self._node.bus.reply(call, error)
            return
        except DeadlineError:
            self._node.bus.reply(call, StanzaError("internal-server-error", type="wait"))
            return
        if cleared:
            # Its router counts what is owed.
            self._node.bus.post(Kind.ROUTER, partition, AccountChanged(request.account, "archive"))
        first, last = (found[0], found[-1]) if found else (("", 0), ("", 0))
        self._node.bus.reply(call, ArchiveEnds(*first, *last))

    async def nothing_to_set(self, partition: int, item: Handle) -> Stanza | None:
        """Metadata are only read."""
        self._account(item)
        raise StanzaError("bad-request")

    async def query(self, partition: int, item: Handle) -> Stanza | None:
        """A page of the archive (XEP-0313 section 4)."""
        iq, account, seal = item.stanza, self._account(item), await self._sealed()
        element = iq.find(NS, "query")
        assert element is not None  # the dispatch table matched it
        query = message_archive.parse(element, self._node.config.options(message_archive.Options))

        async def work(conn: Connection) -> Answer:
            return await queries.answer(conn, seal, await archive.owner_of(conn, account), iq, query)

        answer = await self._worker.database(partition, work, item.origin.deadline)
        # One item: the end of the page never comes before its results.
        self._node.bus.post(Kind.ROUTER, partition, ToSession(iq.from_, 0, (*answer.results, answer.end)))
        return None

    async def preferences(self, partition: int, item: Handle) -> Stanza | None:
        """What is archived of the account (XEP-0441 section 2.1)."""
        account = self._account(item)
        default = self._node.config.options(archive_preferences.Options).default
        durability = self._node.config.router.durability
        chosen = await self._worker.database(
            partition,
            lambda conn: archive.preferences(conn, account, default, durability),
            item.origin.deadline,
        )
        return archive.preferences_result(item.stanza, chosen)

    async def prefer(self, partition: int, item: Handle) -> Stanza | None:
        """Change what is archived of the account (XEP-0441 section 2.2)."""
        iq, account = item.stanza, self._account(item)
        element = iq.find(NS, "prefs")
        assert element is not None
        most = self._node.config.options(archive_preferences.Options).addresses_max
        wanted: Preferences = archive_preferences.parse(element, most)
        await self._worker.database(
            partition,
            lambda conn: archive.prefer(conn, self._node.incarnation, account, wanted),
            item.origin.deadline,
        )
        # Before the answer: what comes after it is archived, or not, by what it says.
        self._node.bus.post(Kind.ROUTER, partition, AccountChanged(item.account, "archive"))
        return archive.preferences_result(iq, wanted)
