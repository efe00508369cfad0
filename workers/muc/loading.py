"""A room comes into memory: its rows, its newest messages, and what a former holder may not have said to everybody."""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.shared.bus.messages import CheckOccupants, Kind, Origin
from rookery.shared.db.api import Connection
from rookery.shared.store.archive import Filter, Found, read_page
from rookery.shared.xmpp.jid import bare_of
from rookery.workers.muc.live import HISTORY, Live, Told
from rookery.workers.muc.outs import Say, Tell
from rookery.workers.muc.packed import unpack
from rookery.workers.muc.part import Part
from rookery.workers.muc.shell import Shell
from rookery.workers.muc.speaker import Said, chunks
from rookery.workers.muc.store import sql
from rookery.workers.muc.store.rows import Loaded, Saying

#: Bytes of a room's newest messages that are read.
_HISTORY_BYTES: Final = 262_144
#: Messages, and their bytes, that are said again at most: what a room says in some seconds.
_TAIL: Final = 2000
_TAIL_BYTES: Final = 4 * 1024 * 1024
#: Occupants in one item.
_CHECKED: Final = 500


class Rows(NamedTuple):
    """All that is read of a room."""

    loaded: Loaded
    history: list[Found]
    tail: list[Found]
    sayings: list[Saying]


async def read(conn: Connection, jid: str, heard: int) -> Rows | None:
    """A unit of work: a room, and what it said above the number `heard`; None when there is no such room."""
    loaded = await sql.load(conn, jid)
    if loaded is None:
        return None
    id = loaded.room.id
    newest = await read_page(conn, id, Filter(), max_rows=HISTORY, max_bytes=_HISTORY_BYTES, backwards=True)
    if not loaded.occupants:
        # (who was put out, or was there when it was destroyed, is told)
        return Rows(loaded, newest.rows, [], await sql.sayings(conn, id))
    tail = await read_page(conn, id, Filter(after=heard), max_rows=_TAIL, max_bytes=_TAIL_BYTES)
    return Rows(loaded, newest.rows, tail.rows, await sql.sayings(conn, id))


def remember(live: Live, rows: Rows) -> None:
    """Give a room what its rows say besides the machine's own state."""
    live.history.extend(Told(one.id, one.stamp, live.identified(one.id, one.stanza)) for one in rows.history)
    for full, (since, _) in rows.loaded.occupants.items():
        live.speaker.enter(full, since)


def say_again(live: Live, rows: Rows) -> None:
    """Say what perhaps not everybody has heard, in the order of its numbers; who has heard it is not given it again."""
    part, speaker = live.part, live.speaker
    said = [Said(one.id, Say(live.identified(one.id, one.stanza), None, True)) for one in rows.tail]
    for saying in rows.sayings:
        part.uids.done(Origin(bytes(saying.stream), saying.origin_n, ""))
        for numbers, out in unpack(bytes(saying.said)):
            if isinstance(out, Say):
                said.append(Said(numbers[0], out))
            elif isinstance(out, Tell):
                stanzas = live.entrance(out.full, numbers[0]) if out.entrance else out.stanzas
                if stanzas:
                    parts = chunks(stanzas)
                    # As many items as it had before, under the numbers that they had.
                    rest = [one for some in parts[len(numbers) - 1 :] for one in some]
                    parts = [*parts[: len(numbers) - 1], rest]
                    said += [
                        Said(n, Tell(out.full, some, out.entrance, out.stream))
                        for n, some in zip(numbers, parts, strict=False)
                    ]
    said.sort(key=_number)
    speaker.tail.extend(said)
    if said:
        speaker.again()


def check(shell: Shell, part: Part, live: Live, partition: int | None = None, only: str = "") -> None:
    """Ask the routers which occupants are still there: those of one partition of theirs, `only` one, or all."""
    wanted: dict[int, list[str]] = {}
    for full in (only,) if only else live.room.occupants:
        number = shell.node.partition(bare_of(full))
        if shell.local(full) and partition in (None, number):
            wanted.setdefault(number, []).append(full)
    occupants = live.room.occupants
    for number, fulls in wanted.items():
        for at in range(0, len(fulls), _CHECKED):
            some = fulls[at : at + _CHECKED]
            item = CheckOccupants(live.jid, some, [occupants[full].stream for full in some])
            shell.node.bus.post(Kind.ROUTER, number, item)


def _number(said: Said) -> int:
    return said.n
