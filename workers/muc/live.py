"""One room in the memory of its holder: the machine, its order, its voice, and how it becomes rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import trio

from rookery.shared.bus.messages import Origin
from rookery.shared.store.reader import stored_uids
from rookery.shared.store.rows import Row, digest, make_row, stanza_digest
from rookery.shared.xeps.stanza_ids import identified, prefix
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.absent import Absent
from rookery.workers.muc.outs import Deed, Out, Say, Send, Tell
from rookery.workers.muc.packed import Numbered, pack
from rookery.workers.muc.part import Part
from rookery.workers.muc.queue import Entry, Queue
from rookery.workers.muc.room.room import Room
from rookery.workers.muc.shell import Shell
from rookery.workers.muc.speaker import Speaker, chunks
from rookery.workers.muc.store.rows import AffiliationRow, OccupantRow, RoomRow, Rows, Saying

#: Messages that a room has ready for those who come in.
HISTORY: Final = 100


class Told(NamedTuple):
    """An archived message as it was said, with its id: its number, and when (Unix seconds)."""

    n: int
    stamp: float
    stanza: Stanza


class Work(NamedTuple):
    """What a deed comes of: the stanza's origin, the stanza, when it came (Unix seconds); `then` is called when it is done."""

    origin: Origin
    stanza: Stanza
    at: float
    then: Callable[[], None] | None = None


class Live:
    """One loaded room. `room` is the machine, `id` its number as the owner of its archive."""

    __slots__ = (
        "_prefix",
        "_queue",
        "absent",
        "checked",
        "history",
        "id",
        "jid",
        "on_removed",
        "part",
        "removing",
        "room",
        "shell",
        "speaker",
        "used",
    )

    def __init__(
        self, shell: Shell, part: Part, id: int, room: Room, on_removed: Callable[[Live], None]
    ) -> None:
        self.shell = shell
        self.part = part
        self.id = id
        self.room = room
        self.jid = room.jid
        self.speaker = Speaker(room.jid, shell.node, shell.local, shell.ways.route)
        self.absent = Absent()
        #: The newest messages of the archive, oldest first.
        self.history: deque[Told] = deque(maxlen=HISTORY)
        #: When it did something last, and when its occupants were asked after.
        self.used = self.checked = shell.clock()
        self._prefix = prefix(room.jid)
        self._queue = Queue(self._leave)
        #: Called when the room is no more, and has said so.
        self.on_removed = on_removed
        #: Set when it is no more: who comes meanwhile waits for that, and finds none.
        self.removing: trio.Event | None = None

    # --- deeds -------------------------------------------------------------------------------------------------------

    def do(self, deed: Deed, work: Work) -> None:
        """Number what the machine did, have it committed, and let it leave in order."""
        part, shell, origin = self.part, self.shell, work.origin
        self.used = work.at
        archived: list[Row] = []
        numbered: list[Numbered] = [self._numbered(out, work, archived) for out in deed.outs]
        entry = Entry(origin, numbered, 0)
        entry.at = work.at
        entry.gone = tuple(full for full in deed.occupants if full not in self.room.occupants)
        part.uids.begin(origin, entry)
        changed = deed.room or deed.affiliations or deed.occupants
        saying = self._saying(numbered, origin) if deed.durable and (changed or not archived) else None
        rows = self._rows(deed, numbered, saying) if changed else Rows(None, (), (), saying)
        entry.waits = len(archived) + (deed.durable and rows.any)
        if deed.removed:
            self.removing = trio.Event()
            entry.then = partial(self._removed, work.then)
        else:
            entry.then = work.then
        self._queue.add(entry)
        for row in archived:
            shell.archive.put(row, partial(self._archived, entry, work.stanza), part.held)
        if deed.durable and rows.any:
            shell.writer.put(rows, partial(self._queue.committed, entry), part.held)
        elif rows.any:
            shell.writer.later(rows, part.held)

    def _numbered(self, out: Out, work: Work, archived: list[Row]) -> Numbered:
        if isinstance(out, Say):
            n = self.part.next()
            if out.archived:
                archived.append(self._row(n, out, work, len(archived)))
                out = out._replace(stanza=self.identified(n, out.stanza))
            return (n,), out
        if isinstance(out, Tell):
            return tuple(self.part.next() for _ in chunks(out.stanzas)), out
        return (), out

    def identified(self, n: int, stanza: Stanza) -> Stanza:
        """A message with the id that it has in the archive (XEP-0359)."""
        assert self.shell.seal is not None
        return identified(stanza, self._prefix, self.shell.seal.seal(self.id, n))

    def _leave(self, entry: Entry) -> None:
        """An entry is committed, and so is all before it: it goes to whom it concerns, and its custodians are told."""
        speaker, ways = self.speaker, self.shell.ways
        for full in entry.gone:
            speaker.leave(full)
        relayed = False
        for numbers, out in entry.outs:
            if isinstance(out, Say):
                speaker.say(numbers[0], out)
                if out.archived:
                    self.history.append(Told(numbers[0], entry.at, out.stanza))
            elif isinstance(out, Tell):
                speaker.tell(numbers, out)
                if out.entrance:
                    speaker.enter(out.full, numbers[-1])
            elif out.relayed and not relayed:
                relayed = True
                for origin in entry.origins:
                    ways.pass_on(self.part.number, out.stanza, origin)
            else:
                ways.route(out.stanza)
        if not relayed:
            for origin in entry.origins:
                self.shell.accept(self.part, origin)
        if entry.then is not None:
            entry.then()

    def _removed(self, then: Callable[[], None] | None) -> None:
        self.on_removed(self)
        if then is not None:
            then()

    # --- rows --------------------------------------------------------------------------------------------------------

    def _rows(self, deed: Deed, numbered: Sequence[Numbered], saying: Saying | None) -> Rows:
        room, id = self.room, self.id
        since = {out.full: numbers[-1] for numbers, out in numbered if isinstance(out, Tell) and out.entrance}
        occupants = []
        for full in deed.occupants:
            occupant = room.occupants.get(full)
            n = since.get(full) or self.speaker.since.get(full, 0)
            nick, state = ("", None) if occupant is None else (occupant.nick, room.pack_occupant(full))
            occupants.append(OccupantRow(id, full, self.part.number, nick, n, state))
        affiliations = []
        for jid in deed.affiliations:
            packed = room.pack_affiliation(jid)
            affiliations.append(AffiliationRow(id, jid, *((packed[0], packed[1]) if packed else ("", None))))
        return Rows(self.row() if deed.room else None, tuple(affiliations), tuple(occupants), saying)

    def row(self) -> RoomRow:
        """The room itself."""
        room = self.room
        about = room.listing()
        return RoomRow(
            self.id,
            self.part.number,
            self.jid,
            room.pack(),
            about.public,
            about.persistent,
            about.name,
            about.description,
            about.lang,
            len(room.occupants),
        )

    def _saying(self, numbered: Sequence[Numbered], origin: Origin) -> Saying:
        first = next((numbers[0] for numbers, _ in numbered if numbers), 0) or self.part.next()
        said = pack(numbered, self.room.occupants)
        return Saying(self.id, first, self.part.number, origin.stream, origin.n, said)

    def _row(self, n: int, out: Say, work: Work, before: int) -> Row:
        origin = work.origin
        row = make_row(
            self.id,
            n,
            origin.stream,
            origin.n,
            out.stanza,
            # (who said it: found by whoever may know, and by those who take messages back)
            peer=out.author or self.jid,
            outgoing=False,
            archived=True,
            owed=False,
            stamp=work.at,
        )
        # What is said may look different when it comes again (an id that the room has made, another nick); what came does not.
        came = stanza_digest(work.stanza)
        return row._replace(digest=digest(came + before.to_bytes(4, "big")) if before else came)

    def _archived(self, entry: Entry, stanza: Stanza, row: Row, new: bool | None) -> None:
        """The archive has the message, or had one with this uid: the same, or what a former holder made of it."""
        if new:
            self._queue.committed(entry)
        elif new is None:
            # Postgres will never take it: nobody gets it, and its sender is told.
            error = StanzaError("internal-server-error", "it cannot be stored")
            entry.outs = [((), Send(stanza.error(error)))]
            self._queue.committed(entry)
        else:
            # (a key of its own: nothing of the room waits for it but its own order)
            self.shell.ways.job(self.part.number, f"{self.jid} archive", partial(self._compare, entry, row))

    async def _compare(self, entry: Entry, row: Row) -> None:
        uid = row.owner_id, row.stream, row.n
        found = await self.shell.ways.database(self.part.number, lambda conn: stored_uids(conn, [uid]))
        if uid in found and found[uid][0] != row.id:
            # A former holder has stored it, and it has been said.
            entry.outs = [(numbers, out) for numbers, out in entry.outs if row.id not in numbers]
        self._queue.committed(entry)

    def entrance(self, full: str, before: int) -> Sequence[Stanza]:
        """What somebody is told who came in before number `before` was said."""
        if full not in self.room.occupants:
            return ()
        history = [told for told in self.history if told.n < before]
        return self.room.entrance(full, history, self.shell.options)

    def bury(self, n: int, stanza: Stanza) -> None:
        """A message of the history was taken back: this stands in its place."""
        self.history = deque(
            (
                told._replace(stanza=self.identified(n, stanza)) if told.n == n else told
                for told in self.history
            ),
            maxlen=HISTORY,
        )

    # --- what is left ------------------------------------------------------------------------------------------------

    @property
    def unheard(self) -> int:
        """The lowest number that is not known to have arrived everywhere; 0 when there is none."""
        return self.speaker.unheard or self._queue.first

    @property
    def quiet(self) -> bool:
        """Whether it could be forgotten: nobody is in it, and nothing is under way."""
        return not self.room.occupants and not self.unheard and not len(self._queue)
