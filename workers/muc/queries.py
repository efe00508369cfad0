"""Requests that need the database: archives of rooms (XEP-0313), messages that are taken back, what a service is asked."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Final

from rookery.shared.bus.messages import Kind, Route, ToSession
from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.store import queries
from rookery.shared.store.archive import Filter, read_page
from rookery.shared.store.owners import Owner
from rookery.shared.store.rows import pack_stanza
from rookery.shared.xeps import message_archive
from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.message_archive import NS as MAM
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import HostedWorker
from rookery.workers.muc.live import Live
from rookery.workers.muc.outs import Tombstone
from rookery.workers.muc.part import Part
from rookery.workers.muc.policy import Policy
from rookery.workers.muc.room.facts import Facts
from rookery.workers.muc.room.moderating import buried, named
from rookery.workers.muc.room.service_iqs import Listed, ServiceView, service_iq
from rookery.workers.muc.shell import Shell
from rookery.workers.muc.store import sql

_BURY: Final = f"""{FENCE},
done AS (UPDATE archive a SET stanza = $4 FROM fence_ok WHERE a.owner_id = $2 AND a.id = $3),
before AS (UPDATE message m SET stanza = $4 FROM fence_ok WHERE m.account_id = $2 AND m.id = $3)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608  constants only

#: Rooms that are read for one list: pages are cut from these.
MOST_LISTED: Final = 20_000


class Requests:
    """What rooms and services are asked that takes the database."""

    def __init__(self, worker: HostedWorker, shell: Shell, policy: Policy) -> None:
        self._worker = worker
        self._shell = shell
        self._policy = policy

    def answers(self, live: Live, item: Route, facts: Facts) -> bool:
        """Answer what the archive answers; False for what the room decides. Raises StanzaError."""
        if self._reads(item.stanza):
            self._archive(live, item, facts)
            return True
        id = named(item.stanza)
        if id and live.room.moderates(item.stanza, facts):
            assert self._shell.seal is not None
            if self._shell.seal.open(live.id, id) is None:
                raise StanzaError("item-not-found", "this room has no such message")
        return False

    # --- archives ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _reads(stanza: Stanza) -> bool:
        """Whether it asks a room for its archive."""
        return (
            stanza.kind == "iq"
            and stanza.type in ("get", "set")
            and "/" not in stanza.to
            and len(stanza.payloads) == 1
            and stanza.payloads[0][0] == MAM
        )

    def _archive(self, live: Live, item: Route, facts: Facts) -> None:
        """Answer from the archive, if the sender may read it. Raises StanzaError."""
        live.room.may_read_archive(item.stanza.from_, facts)
        if item.stanza.type == "get" and item.stanza.payloads[0][1] == "query":
            self._shell.ways.route(message_archive.form(item.stanza))
            self._shell.accept(live.part, item.origin)
            return
        # Beside the room's own lane: a page takes time, and the room goes on.
        key = f"{live.jid} archive {item.stanza.from_}"
        self._worker.job(live.part.number, key, partial(self._answer, live, item))

    async def _answer(self, live: Live, item: Route) -> None:
        iq, seal = item.stanza, self._shell.seal
        assert seal is not None
        owner = Owner(live.id, live.jid)
        try:
            if iq.payloads[0][1] == "metadata":
                self._shell.ways.route(
                    await self._worker.database(
                        live.part.number,
                        lambda conn: queries.metadata(conn, seal, owner, iq),
                        item.origin.deadline,
                    )
                )
            else:
                await self._page(live, item, owner)
        except StanzaError as error:
            self._shell.ways.route(iq.error(error))
        self._shell.accept(live.part, item.origin)

    async def _page(self, live: Live, item: Route, owner: Owner) -> None:
        iq, seal = item.stanza, self._shell.seal
        assert seal is not None
        element = iq.find(MAM, "query")
        if element is None:
            raise StanzaError("bad-request")
        query = message_archive.parse(element, self._shell.node.config.options(message_archive.Options))
        room, reader = live.room, iq.from_
        asked = bare_of(query.with_)
        if asked and asked not in (live.jid, bare_of(reader)) and room.archive_view(iq, asked, reader) is iq:
            # Who somebody is must not be found out by asking for what was said under a real address.
            raise StanzaError("forbidden", "only occupants of this room can be asked for")

        def view(stanza: Stanza, author: str) -> Stanza:
            return room.archive_view(stanza, "" if author == live.jid else author, reader)

        answer = await self._worker.database(
            live.part.number,
            lambda conn: queries.answer(conn, seal, owner, iq, query, view),
            item.origin.deadline,
        )
        stanzas = (*answer.results, answer.end)
        if self._shell.local(iq.from_):
            partition = self._shell.node.partition(bare_of(iq.from_))
            self._shell.node.bus.post(Kind.ROUTER, partition, ToSession(iq.from_, 0, stanzas))
        else:
            for stanza in stanzas:
                self._shell.ways.route(stanza)

    # --- messages that are taken back --------------------------------------------------------------------------------

    def bury(self, live: Live, tombstone: Tombstone) -> None:
        """Put a tombstone into the place of a message, in the archive and in what those get who come in."""
        assert self._shell.seal is not None
        n = self._shell.seal.open(live.id, tombstone.id)
        if n is not None:
            self._worker.job(live.part.number, f"{live.jid} graves", partial(self._bury, live, n, tombstone))

    async def _bury(self, live: Live, n: int, tombstone: Tombstone) -> None:
        incarnation = self._shell.node.incarnation

        async def work(conn: Connection) -> Stanza | None:
            page = await read_page(
                conn, live.id, Filter(ids=[n], peer=tombstone.author), max_rows=1, max_bytes=1
            )
            if not page.rows:
                return None
            stanza = buried(page.rows[0].stanza, tombstone.grave)
            if not await conn.fetchval(_BURY, incarnation, live.id, n, pack_stanza(stanza)):
                raise Fenced(incarnation)
            return stanza

        found = await self._worker.database(live.part.number, work)
        if found is not None:
            live.bury(n, found)

    # --- services ----------------------------------------------------------------------------------------------------

    async def of_service(self, part: Part, item: Route) -> None:
        """A stanza to a service itself (XEP-0045 sections 6.2, 6.3)."""
        stanza = item.stanza
        if stanza.kind == "iq" and stanza.type in ("get", "set"):
            await self._worker.serve_iq(item.origin, stanza, partial(self._asked, part, item))
            part.uids.done(item.origin)
            return
        if stanza.kind == "message" and stanza.type != "error":
            self._shell.ways.route(stanza.error(StanzaError("service-unavailable")))
        self._shell.accept(part, item.origin)

    async def _asked(self, part: Part, item: Route) -> Stanza:
        iq = item.stanza
        rooms: list[Listed] = []
        if iq.payloads and iq.payloads[0][0] != NS_INFO:
            found = await self._worker.database(
                part.number, lambda conn: sql.listed(conn, iq.to, MOST_LISTED), item.origin.deadline
            )
            rooms = [Listed(*one) for one in found]
        return service_iq(iq, ServiceView(rooms, "Chat rooms", secrets.token_urlsafe(12)))
