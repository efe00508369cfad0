"""The group commit of rooms: what many rooms changed in a few milliseconds is one statement.

`done` is called once the rows are safe, in the order of `put`. Postgres is waited for as long as it takes: writing is idempotent. Rows of
a partition that was given up are not written any more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import structlog
import trio

from rookery.shared.db.api import Connection, Database, DatabaseUnavailable, Fenced
from rookery.shared.store.holding import Holding
from rookery.workers.muc.store import sql
from rookery.workers.muc.store.rows import AffiliationRow, OccupantRow, RoomRow, Rows, Saying
from rookery.workers.muc.store.sql import Batch

#: Changes in one statement.
MAX_CHANGES: Final = 500
#: Seconds between attempts while Postgres is away: at first, and at most.
_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.25
_log = structlog.get_logger()


class _Change(NamedTuple):
    rows: Rows
    done: Callable[[], None] | None
    holding: Holding


def coalesce(changes: list[Rows]) -> Batch:
    """What a statement may write at once: of each key what came last."""
    rooms: dict[int, RoomRow] = {}
    affiliations: dict[tuple[int, str], AffiliationRow] = {}
    occupants: dict[tuple[int, str], OccupantRow] = {}
    sayings: dict[tuple[int, int], Saying] = {}
    for room, lists, present, saying in changes:
        if room is not None:
            rooms[room.id] = room
        for affiliation in lists:
            affiliations[affiliation.room_id, affiliation.jid] = affiliation
        for occupant in present:
            occupants[occupant.room_id, occupant.jid] = occupant
        if saying is not None:
            sayings[saying.room_id, saying.n] = saying
    return Batch(
        list(rooms.values()), list(affiliations.values()), list(occupants.values()), list(sayings.values())
    )


class RoomWriter:
    """The one writer of rooms in its process. `fail` is called when this process may not write any more."""

    def __init__(
        self, db: Database, incarnation: str, fail: Callable[[str], None], *, delay: float = 0.003
    ) -> None:
        self._db = db
        self._incarnation = incarnation
        self._fail = fail
        self._delay = delay
        self._pending: list[_Change] = []
        self._wanted = False
        self._arrived = trio.Event()
        self._landed = trio.Event()
        self._flying = False
        self._busy_until = 0.0

    def put(self, rows: Rows, done: Callable[[], None] | None, holding: Holding) -> None:
        """Write `rows` with the next commit, then call `done`; neither once its partition was given up."""
        self._pending.append(_Change(rows, done, holding))
        self._want()

    def later(self, rows: Rows, holding: Holding) -> None:
        """Write `rows` with whatever is written next, within a second or so."""
        self._pending.append(_Change(rows, None, holding))

    def tick(self) -> None:
        """About once a second: what may wait has waited."""
        if self._pending:
            self._want()

    def _want(self) -> None:
        self._wanted = True
        self._arrived.set()

    @property
    def waiting(self) -> int:
        """Changes that are not committed."""
        return len(self._pending)

    async def drain(self) -> None:
        """Wait until all that was put is committed."""
        while self._pending or self._flying:
            self._want()
            await self._landed.wait()

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            while not self._wanted:
                self._arrived = trio.Event()
                await self._arrived.wait()
            if trio.current_time() < self._busy_until:
                await trio.sleep(self._delay)
            else:
                await trio.lowlevel.checkpoint()  # the rest of this turn's changes
            batch = self._pending[:MAX_CHANGES]
            del self._pending[:MAX_CHANGES]
            self._wanted = bool(self._pending)
            self._flying = True
            await self._commit(batch)
            self._flying = False
            self._landed.set()
            self._landed = trio.Event()

    async def _commit(self, batch: list[_Change]) -> None:
        pause = _PAUSE
        while True:
            live = [change for change in batch if change.holding.live]
            if not live:
                return
            work = partial(self._write, coalesce([change.rows for change in live]))
            try:
                await self._db.run(0, work, op="room_write")
                break
            except DatabaseUnavailable as exc:
                if pause == _PAUSE:
                    _log.warning("rooms_wait", reason=str(exc), changes=len(batch))
            except Fenced:
                self._fail("the fence is closed")
                await trio.sleep_forever()
            except Exception:
                # What Postgres will never take costs only itself: the occupants have it, the next holder will not.
                _log.exception("rooms_not_written", changes=len(batch))
                if len(batch) == 1:
                    live = batch
                    break
                for change in batch:
                    await self._commit([change])
                return
            await trio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        if len(live) > 1 or self._pending:
            self._busy_until = trio.current_time() + 2 * self._delay
        for change in live:
            if change.done is not None and change.holding.live:
                change.done()

    async def _write(self, batch: Batch, conn: Connection) -> None:
        await sql.write(conn, self._incarnation, batch)
