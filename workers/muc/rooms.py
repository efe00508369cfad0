"""All rooms of a process: they come into memory when they are needed, hear what others tell, and go when nobody is in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import NOBODY, FannedOut, Fanout, Route, ToSession
from rookery.shared.db.api import Connection, DatabaseUnavailable, Fenced
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import HostedWorker
from rookery.workers.muc import loading
from rookery.workers.muc.abroad import Abroad
from rookery.workers.muc.live import Live, Work
from rookery.workers.muc.outs import Deed
from rookery.workers.muc.part import Part
from rookery.workers.muc.policy import Policy
from rookery.workers.muc.queries import Requests
from rookery.workers.muc.queue import Entry
from rookery.workers.muc.room.asking import refusal
from rookery.workers.muc.room.facts import Facts
from rookery.workers.muc.room.room import Room
from rookery.workers.muc.shell import Shell
from rookery.workers.muc.store import sql

#: Seconds that an empty room stays in memory.
IDLE: Final = 60.0
#: Seconds in which every occupant is asked after once.
CHECK: Final = 60.0
#: Seconds in which the partitions of a router that is gone have other holders.
ORPHANED: Final = 40.0
#: Why somebody is put out.
LISTED: Final = "this address is on a list of senders of spam"
_log = structlog.get_logger()


class Rooms:
    """The rooms of all held partitions."""

    def __init__(self, worker: HostedWorker, shell: Shell, policy: Policy) -> None:
        self._worker = worker
        self._shell = shell
        self._policy = policy
        self._requests = Requests(worker, shell, policy)
        self._by_part: dict[int, dict[str, Live]] = {}
        self._by_stream: dict[bytes, Live] = {}
        #: Rooms with occupants that are to be loaded: those that have to speak first.
        self._open: list[tuple[Part, str]] = []
        self._wanted = trio.Event()
        policy.on_bans = self.enforce
        self.abroad = Abroad(shell, self._all, self._gone)

    # --- partitions --------------------------------------------------------------------------------------------------

    def open(self, part: Part, occupied: Sequence[tuple[str, bool]]) -> None:
        """A partition is held from now on; `occupied` are its rooms that somebody is in, and whether they have to speak."""
        self._by_part[part.number] = {}
        for jid, told in sorted(occupied, key=lambda one: not one[1]):
            if told:
                part.unsaid.add(jid)
                self._load_soon(part, jid)
            else:
                self._open.append((part, jid))
        self._wanted.set()

    def forget(self, part: Part) -> None:
        """The partition is another process's now."""
        for live in self._by_part.pop(part.number, {}).values():
            self._by_stream.pop(live.speaker.stream, None)

    async def run(self) -> None:
        """Load the rooms of new partitions that had nothing to say, a few at a time: who is gone must not stay for long."""
        while True:
            while not self._open:
                self._wanted = trio.Event()
                await self._wanted.wait()
            part, jid = self._open.pop()
            if part.held.live and self.find(part, jid) is None:
                await self._load_guarded(part, jid)
            await trio.lowlevel.checkpoint()

    # --- what comes --------------------------------------------------------------------------------------------------

    def find(self, part: Part, jid: str) -> Live | None:
        """A room that is in memory."""
        rooms = self._by_part.get(part.number)
        return None if rooms is None else rooms.get(jid)

    def _all(self) -> list[Live]:
        return [live for rooms in self._by_part.values() for live in rooms.values()]

    def take(self, part: Part, item: Route) -> None:
        """A stanza for a room, or for a service of rooms."""
        jid = bare_of(item.stanza.to)
        live = self.find(part, jid)
        if live is not None and live.removing is None and not self._worker.lanes.busy(part.number, jid):
            self._handle(live, item)
            return
        part.uids.begin(item.origin, Entry(item.origin, (), 0))
        self._worker.lanes.submit(part.number, jid, partial(self._later, part, jid, item))

    async def _later(self, part: Part, jid: str, item: Route) -> None:
        """Handle a stanza once its room is there."""
        if "@" not in jid:
            await self._requests.of_service(part, item)
            return
        try:
            live = await self.there(part, jid)
        except Fenced:
            return
        except Exception:
            _log.exception("room_not_loaded", room=jid)
            self._refuse(part, item, StanzaError("internal-server-error"))
            return
        if part.uids.repeated(item.origin):
            # A former holder has done it: that stood in the rows that were read meanwhile.
            self._shell.accept(part, item.origin)
            return
        if live is None:
            live = await self._create(part, jid, item)
        if live is not None:
            self._handle(live, item)

    async def there(self, part: Part, jid: str) -> Live | None:
        """A room, from memory or from its rows; None when there is none. For work in the room's lane."""
        live = self.find(part, jid) or await self._load(part, jid)
        if live is not None and live.removing is not None:
            await live.removing.wait()
            # (somebody else may have made it anew, or its partition is gone)
            live = self.find(part, jid)
        return live

    async def made(self, part: Part, room: Room) -> Live | None:
        """A room that is new; None when the partition was lost meanwhile."""
        local, _, domain = room.jid.rpartition("@")
        incarnation = self._shell.node.incarnation
        id = await self._worker.database(
            part.number, lambda conn: sql.create(conn, incarnation, domain, local)
        )
        return self._add(part, id, room) if part.held.live else None

    def _handle(self, live: Live, item: Route) -> None:
        work = Work(item.origin, item.stanza, self._shell.clock())
        if live.speaker.strangers:
            self.abroad.heard(live, item.stanza, work.at)
        facts = self._policy.facts(item.stanza, work.at, live.history, item.origin)
        try:
            if self._requests.answers(live, item, facts):
                return
            deed = live.room.handle(item.stanza, facts)
        except StanzaError as error:
            self._refuse(live.part, item, error)
            return
        except Exception:
            _log.exception("room_failed", room=live.jid)
            self._refuse(live.part, item, StanzaError("internal-server-error"))
            return
        self.done(live, deed, work)
        if item.stanza.type == "error":
            self._doubt(live, item.stanza.from_)

    def _doubt(self, live: Live, full: str) -> None:
        """Something did not arrive: the occupant may be gone (section 17.3), so it is asked after now."""
        if full not in live.room.occupants:
            return
        if self._shell.local(full):
            loading.check(self._shell, live.part, live, only=full)
        else:
            live.absent.doubt(full)

    def _gone(self, live: Live, full: str, condition: str) -> None:
        """An occupant is not there any more, as if a stanza to it had come back."""
        stanza = Stanza.build("presence", from_=live.jid, to=full).error(StanzaError(condition))
        now = self._shell.clock()
        deed = live.room.handle(stanza, self._policy.facts(stanza, now, live.history))
        self.done(live, deed, Work(NOBODY, stanza, now))

    def _introduce(self, live: Live, now: float) -> None:
        """Show who came in together with too many others."""
        stanza = Stanza.build("presence", from_=live.jid, to=live.jid)
        deed = live.room.introduce(self._policy.facts(stanza, now, ()))
        if deed.outs:
            self.done(live, deed, Work(NOBODY, stanza, now))

    def done(self, live: Live, deed: Deed, work: Work) -> None:
        """A room did something: it is written and said, and logged for operators."""
        live.do(deed, work)
        for note in deed.notes:
            what, actor, target, detail = note
            _log.info("room_note", room=live.jid, what=what, actor=actor, target=target, detail=detail)
        for tombstone in deed.tombstones:
            self._requests.bury(live, tombstone)

    def _refuse(self, part: Part, item: Route, error: StanzaError) -> None:
        stanza = item.stanza
        if stanza.type != "error" and not (stanza.kind == "iq" and stanza.type == "result"):
            self._shell.ways.route(refusal(stanza, error))
        self._shell.accept(part, item.origin)

    # --- into memory, and out of it ----------------------------------------------------------------------------------

    def _load_soon(self, part: Part, jid: str) -> None:
        self._worker.lanes.submit(part.number, jid, partial(self._load_guarded, part, jid))

    async def _load_guarded(self, part: Part, jid: str) -> None:
        try:
            await self._load(part, jid)
        except Fenced:
            pass
        except Exception:
            _log.exception("room_not_loaded", room=jid)

    async def _load(self, part: Part, jid: str) -> Live | None:
        """Read a room and let it say what perhaps not all have heard; None when there is no such room."""
        rows = await self._worker.database(part.number, lambda conn: loading.read(conn, jid, part.found))
        if rows is None or not part.held.live:
            return None
        known = self.find(part, jid)
        if known is not None:
            return known
        loaded = rows.loaded
        occupants = {full: state for full, (_, state) in loaded.occupants.items()}
        room = Room.load(jid, loaded.room.state, loaded.affiliations, occupants)
        live = self._add(part, loaded.room.id, room)
        loading.remember(live, rows)
        part.unsaid.discard(jid)
        if room.exists and occupants:
            loading.check(self._shell, part, live)
        loading.say_again(live, rows)
        if not room.exists:
            # A former holder had no time to remove it.
            live.removing = trio.Event()
            self._remove(live)
        elif occupants:
            self._banish(live)
        return live

    def _add(self, part: Part, id: int, room: Room) -> Live:
        live = Live(self._shell, part, id, room, self._remove)
        self._by_part[part.number][room.jid] = live
        self._by_stream[live.speaker.stream] = live
        return live

    async def _create(self, part: Part, jid: str, item: Route) -> Live | None:
        """Somebody addresses a room that does not exist: presence makes it, if its sender may (XEP-0045 section 10.1)."""
        stanza = item.stanza
        if stanza.kind == "presence" and stanza.type:
            self._shell.accept(part, item.origin)
            return None
        if stanza.kind != "presence" or "/" not in stanza.to:
            nameless = stanza.kind == "presence"  # (section 7.2.1, as in a room that exists)
            why = "a nick is needed" if nameless else "there is no such room"
            self._refuse(part, item, StanzaError("jid-malformed" if nameless else "item-not-found", why))
            return None
        # Asked first, so that who may not make rooms leaves no rows.
        facts = self._policy.facts(stanza, self._shell.clock(), ())
        error = await self._uncreated(part, bare_of(stanza.from_), facts)
        if error is not None:
            self._refuse(part, item, error)
            return None
        return await self.made(part, Room.new(jid))

    async def _uncreated(self, part: Part, bare: str, facts: Facts) -> StanzaError | None:
        """Why somebody makes no room now."""
        if facts.admin:
            return None
        if facts.banned or facts.listed:
            return StanzaError("forbidden", "you are banned from these rooms")
        if not facts.may_create:
            return StanzaError("not-allowed", "you may not make rooms here")
        most = self._policy.most_rooms
        if await self._worker.database(part.number, lambda conn: sql.owned(conn, bare)) >= most:
            return StanzaError("resource-constraint", f"you own {most} rooms already")
        return None

    def _remove(self, live: Live) -> None:
        """A room is destroyed: nothing of it stays."""
        part, jid = live.part, live.jid

        async def work() -> None:
            incarnation = self._shell.node.incarnation
            await self._worker.database(part.number, lambda conn: sql.remove(conn, incarnation, live.id))
            self._drop(live)
            if live.removing is not None:
                live.removing.set()

        # (a key of its own: the room's own lane may wait for this)
        self._worker.job(part.number, f"{jid} removal", work)

    def _drop(self, live: Live) -> None:
        rooms = self._by_part.get(live.part.number)
        if rooms is not None and rooms.get(live.jid) is live:
            del rooms[live.jid]
        self._by_stream.pop(live.speaker.stream, None)

    # --- what routers tell -------------------------------------------------------------------------------------------

    def heard(self, item: FannedOut) -> None:
        """A router has given to edges what rooms have said."""
        for stream, n in item.heard:
            live = self._by_stream.get(bytes(stream))
            if live is not None:
                live.speaker.confirmed(item.router, n)

    def router_changed(self, partition: int) -> None:
        """A partition of routers has another holder: it gets what the former one may not have given, and says who is there."""
        for rooms in self._by_part.values():
            for live in rooms.values():
                if live.speaker.since or live.speaker.unheard:
                    # (first, so that who had just come in, of whom the former holder has left no note, hears of the entrance)
                    loading.check(self._shell, live.part, live, partition)
                    live.speaker.again(partition)

    def returned(self, partition: int, item: Fanout | ToSession) -> None:
        """Something that a room said came back from a router."""
        live = self._by_stream.get(item.origin.stream)
        if live is not None:
            live.speaker.returned(partition, item.origin.n)

    def lost(self, process: str) -> None:
        """A process is gone."""
        until = self._shell.clock() + ORPHANED
        for rooms in self._by_part.values():
            for live in rooms.values():
                live.speaker.lost(process, until)

    def enforce(self) -> None:
        """Who is banned from a service now leaves its rooms."""
        for live in self._all():
            self._banish(live)

    def _banish(self, live: Live) -> None:
        service, policy = live.jid.rpartition("@")[2], self._policy
        if not policy.bans(service):
            return
        for bare in {occupant.bare for occupant in live.room.occupants.values()}:
            reason = policy.banned(service, bare)
            if reason is None and policy.listed(service, bare) and live.room.unaffiliated(bare):
                reason = LISTED
            if reason is not None:
                stanza = Stanza.build("presence", from_=live.jid, to=live.jid)
                now = self._shell.clock()
                deed = live.room.expel(bare, reason, policy.facts(stanza, now, ()))
                self.done(live, deed, Work(NOBODY, stanza, now))

    # --- time --------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Once a second: rooms that nobody is in leave the memory; occupants are asked after."""
        now = self._shell.clock()
        self.abroad.tick(now)
        for rooms in self._by_part.values():
            for live in list(rooms.values()):
                live.speaker.tick(now)
                if live.room.late:
                    self._introduce(live, now)
                if live.quiet:
                    if now - live.used >= IDLE:
                        self._drop(live)
                elif now - live.checked >= CHECK:
                    live.checked = now
                    loading.check(self._shell, live.part, live)
                    self.abroad.look(live, now)
                    if now - live.used >= IDLE:
                        live.room.rest()
                        live.speaker.rest()

    async def note(self, parts: Sequence[Part]) -> None:
        """Write up to which numbers all is heard, where that has changed."""
        changed = []
        for part in parts:
            rooms = self._by_part.get(part.number, {})
            lowest = min((n for live in rooms.values() if (n := live.unheard)), default=0)
            heard = part.noted if part.unsaid else lowest - 1 if lowest else part.last
            if heard > part.noted and part.held.live:
                changed.append((part, heard))
        if not changed:
            return
        incarnation = self._shell.node.incarnation
        rows = [(part.number, heard) for part, heard in changed]

        async def work(conn: Connection) -> None:
            await sql.write_heard(conn, incarnation, rows)

        try:
            await self._shell.db.run(0, work)
        except DatabaseUnavailable:
            return
        except Fenced:
            self._shell.node.fail("the fence is closed")
            return
        for part, heard in changed:
            part.noted = heard
