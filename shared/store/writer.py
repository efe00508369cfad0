"""The group commit of the message store: what many stanzas wrote in a few milliseconds is one commit.

Rows wait in memory until the commit that has them returns; only then `done` is called, so what was acknowledged is in Postgres.
Rows of one owner are committed in the order in which they were put. When Postgres is away they wait, and are tried again
for ever: storing is idempotent. A row that Postgres will never take costs only itself. Rows of a partition that was given up are not
written any more, and nobody is told of them: who sent them sends them to the next holder.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

import structlog
import trio

from rookery.shared.db.api import Connection, Database, DatabaseUnavailable, Fenced, UnitOfWork
from rookery.shared.observe.metrics import COMMIT_ROWS, COMMIT_SECONDS, STORE_REFUSED
from rookery.shared.store.holding import Holding
from rookery.shared.store.retention import grow
from rookery.shared.store.rows import Row
from rookery.shared.store.sql import RowsRefusedError, Stored, insert_rows, owe_again, owe_rows, settle_rows

#: Called once a row is safe: True when this commit stored it, False when it was there already (a repetition, or a commit
#: whose answer was lost). None for a row that cannot be stored: its sender must be told.
Done = Callable[[Row, bool | None], None]

_COMMITS: Final = 2
_BATCH_BYTES: Final = 4 * 1024 * 1024
#: What a row costs beside its stanza.
_ROW_BYTES: Final = 512
_SCAN: Final = 4096
_SETTLE_SECONDS: Final = 0.02
_SETTLE_ROWS: Final = 500
_BACKOFF: Final = (0.05, 0.25)
#: How often it is written down by how much archives have grown: what a process that dies has counted since is forgotten.
_GROW_SECONDS: Final = 60.0
_GROW_OWNERS: Final = 5000
#: Seconds between log lines about refused rows; the metric counts them all.
_TELL_SECONDS: Final = 60.0
T = TypeVar("T")
_log = structlog.get_logger()


class _Owing(NamedTuple):
    owner_id: int
    id: int
    done: Callable[[], None]


class _Again(NamedTuple):
    owner_id: int
    stream: bytes
    n: int
    done: Callable[[], None]


class _Waiting(NamedTuple):
    seq: int
    row: Row
    done: Done
    holding: Holding


class StoreWriter:
    """The one writer of a kind in its process. `fail` is called, once, when this process may not write any more."""

    def __init__(
        self,
        db: Database,
        incarnation: str,
        fail: Callable[[str], None],
        *,
        delay_ms: float = 2.0,
        rows: int = 512,
        max_rows: int = 131_072,
        max_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        for reason in ("data", "collision"):
            STORE_REFUSED.labels(reason)  # from 0 on: an increase to 1 is seen only so
        self._db = db
        self._incarnation = incarnation
        self._fail = fail
        self._delay = delay_ms / 1000
        self._batch_rows = rows
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._pending: deque[_Waiting] = deque()
        self._first_at = 0.0
        self._rows = 0
        self._bytes = 0
        self._seq = 0
        #: Numbers of the first row of each batch on its way, and owners that have rows there.
        self._flying: dict[int, frozenset[int]] = {}
        self._busy_until = 0.0
        self._arrived = trio.Event()
        self._filled = trio.Event()
        self._landed = trio.Event()
        self._owed: list[tuple[int, int]] = []
        self._settling: list[tuple[int, int]] = []
        self._owing: list[_Owing] = []
        self._again: list[_Again] = []
        self._settle_arrived = trio.Event()
        self._settled = trio.Event()
        self._after: deque[tuple[int, Callable[[], None]]] = deque()
        self._draining = 0
        #: Rows were left out of the last batch since their partition was given up.
        self._dropped = False
        self._failed = False
        self._told_refused = -_TELL_SECONDS
        #: Rows added to archives, by owner.
        self._grown: dict[int, int] = {}

    # --- what services call ------------------------------------------------------------------------------------------

    def put(self, row: Row, done: Done, holding: Holding) -> None:
        """Store `row` with the next commit and then call `done`; neither once its partition was given up."""
        pending = self._pending
        self._seq = seq = self._seq + 1
        pending.append(_Waiting(seq, row, done, holding))
        self._rows += 1
        self._bytes += len(row.stanza) + _ROW_BYTES
        if len(pending) == 1:
            self._first_at = trio.current_time()
            self._arrived.set()
        elif len(pending) == self._batch_rows:
            self._filled.set()

    def settle(self, owner_id: int, ids: Iterable[int]) -> None:
        """A client has acknowledged these rows: archived ones are no longer owed, the others are deleted (soon)."""
        self._settle_arrived.set()
        self._owed.extend([(owner_id, id) for id in ids])

    def owe(self, owner_id: int, id: int, done: Callable[[], None]) -> None:
        """A stored message reached nobody after all: mark it as owed (soon), then call `done`."""
        self._settle_arrived.set()
        self._owing.append(_Owing(owner_id, id, done))

    def owe_again(self, row: Row, done: Callable[[], None]) -> None:
        """The message of this row, which was refused as a repetition, is with nobody who is known: mark the stored one as owed (soon), then call `done`."""
        self._settle_arrived.set()
        self._again.append(_Again(row.owner_id, row.stream, row.n, done))

    def after(self, done: Callable[[], None]) -> None:
        """Call `done` once everything is committed that was put before; at once when that is so."""
        if self._rows:
            self._after.append((self._seq, done))
        else:
            done()

    @property
    def full(self) -> bool:
        """Whether so much waits for a commit that no more should be taken (Postgres is slow or away)."""
        return self._rows >= self._max_rows or self._bytes >= self._max_bytes

    @property
    def waiting(self) -> tuple[int, int]:
        """Rows and bytes that are not committed yet."""
        return self._rows, self._bytes

    async def drain(self) -> None:
        """Wait until all that was put and settled before now is committed; commits are shared by all partitions.

        Call it before a partition is given away.
        """
        last = self._seq
        self._draining += 1
        try:
            while self._oldest() <= last:
                self._arrived.set()
                self._filled.set()
                await self._landed.wait()
            while self._owed or self._owing or self._again or self._settling:
                await self._settled.wait()
        finally:
            self._draining -= 1

    async def run(self) -> None:
        """Commit until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._settle_loop)
            nursery.start_soon(self._grow_loop)
            while True:
                while not self._pending:
                    self._arrived = trio.Event()
                    await self._arrived.wait()
                await self._pace()
                batch = self._take() if len(self._flying) < _COMMITS else []
                if batch:
                    self._flying[batch[0].seq] = frozenset([waiting.row.owner_id for waiting in batch])
                    nursery.start_soon(self._commit, batch)
                if self._dropped:
                    self._dropped = False
                    self._land()
                elif not batch and self._flying:
                    await self._landed.wait()

    # --- rows ---------------------------------------------------------------------------------------------------------

    async def _pace(self) -> None:
        """Let a batch grow, but only when rows come often: a lone message is committed at once."""
        if self._draining or len(self._pending) >= self._batch_rows:
            return
        now = trio.current_time()
        if not self._flying and now > self._busy_until:
            await trio.lowlevel.checkpoint()  # the rest of this turn's rows
            return
        self._filled = trio.Event()
        with trio.move_on_at(max(self._first_at + self._delay, now)):
            await self._filled.wait()

    def _take(self) -> list[_Waiting]:
        """The next batch. Rows of an owner that has rows on their way wait for those."""
        pending = self._pending
        busy: frozenset[int] = frozenset().union(*self._flying.values())
        batch: list[_Waiting] = []
        left: list[_Waiting] = []
        gone: list[Row] = []
        size = 0
        while pending and len(batch) < self._batch_rows and size < _BATCH_BYTES and len(left) < _SCAN:
            waiting = pending.popleft()
            if not waiting.holding.live:
                gone.append(waiting.row)
            elif waiting.row.owner_id in busy:
                left.append(waiting)
            else:
                batch.append(waiting)
                size += len(waiting.row.stanza) + _ROW_BYTES
        pending.extendleft(reversed(left))
        if pending:
            self._first_at = trio.current_time()
        if gone:
            self._dropped = True
            self._leave(gone)
        return batch

    def _leave(self, rows: Sequence[Row]) -> None:
        """These rows do not wait any more."""
        self._rows -= len(rows)
        self._bytes -= sum([len(row.stanza) for row in rows]) + len(rows) * _ROW_BYTES

    async def _commit(self, batch: list[_Waiting]) -> None:
        started = trio.current_time()
        outcomes = await self._insert(batch)
        now = trio.current_time()
        COMMIT_ROWS.observe(len(batch))
        COMMIT_SECONDS.observe(now - started)
        if len(batch) > 1 or self._pending:
            self._busy_until = now + 2 * self._delay
        self._leave([waiting.row for waiting in batch])
        del self._flying[batch[0].seq]
        grown = self._grown
        for waiting, outcome in outcomes:
            row = waiting.row
            if outcome and row.archived:
                grown[row.owner_id] = grown.get(row.owner_id, 0) + 1
            waiting.done(row, outcome)
        self._land()

    def _land(self) -> None:
        """Some rows do not wait any more: tell those who wait for that."""
        self._landed.set()
        self._landed = trio.Event()
        oldest = self._oldest()
        while self._after and self._after[0][0] < oldest:
            self._after.popleft()[1]()

    async def _insert(self, batch: Sequence[_Waiting]) -> list[tuple[_Waiting, bool | None]]:
        """Store rows and say what became of each. One that is refused is looked for by halves, in order; the others are stored.

        Rows whose partition was given up while they waited for Postgres are not among them.
        """
        stored: list[_Waiting] = []

        async def insert(conn: Connection) -> Stored:
            stored[:] = [waiting for waiting in batch if waiting.holding.live]
            if not stored:
                return Stored(None)
            return await insert_rows(conn, self._incarnation, [waiting.row for waiting in stored])

        try:
            new = (await self._persist("store_insert", insert)).new
        except RowsRefusedError as exc:
            if len(batch) > 1:
                half = len(batch) // 2
                return [*await self._insert(batch[:half]), *await self._insert(batch[half:])]
            self._refused(batch[0].row, exc)
            return [(batch[0], None)]
        return [(one, new is None or (one.row.owner_id, one.row.id) in new) for one in stored]

    def _refused(self, row: Row, error: RowsRefusedError) -> None:
        STORE_REFUSED.labels(error.reason).inc()
        now = trio.current_time()
        if now - self._told_refused >= _TELL_SECONDS:
            self._told_refused = now
            _log.error("store_row_refused", owner=row.owner_id, id=row.id, error=str(error))

    def _oldest(self) -> int:
        """The number of the first row that is not committed, or one above all."""
        oldest = min(self._flying, default=self._seq + 1)
        return min(oldest, self._pending[0].seq) if self._pending else oldest

    # --- settling -----------------------------------------------------------------------------------------------------

    async def _settle_loop(self) -> None:
        while True:
            while not (self._owed or self._owing or self._again):
                self._settle_arrived = trio.Event()
                await self._settle_arrived.wait()
            if not self._draining:
                await trio.sleep(_SETTLE_SECONDS)
            # A client may be quicker than the commit of what it acknowledges.
            last = self._seq
            owed, self._owed = self._owed[:_SETTLE_ROWS], self._owed[_SETTLE_ROWS:]
            owing, self._owing = self._owing[:_SETTLE_ROWS], self._owing[_SETTLE_ROWS:]
            again, self._again = self._again[:_SETTLE_ROWS], self._again[_SETTLE_ROWS:]
            to_owe = [(one.owner_id, one.id) for one in owing]
            self._settling = [*owed, *to_owe, *((one.owner_id, 0) for one in again)]
            while self._oldest() <= last:
                await self._landed.wait()
            if owed:
                await self._persist(
                    "store_settle", partial(settle_rows, incarnation=self._incarnation, owed=owed)
                )
            if to_owe:
                await self._persist(
                    "store_owe", partial(owe_rows, incarnation=self._incarnation, rows=to_owe)
                )
            if again:
                uids = [(one.owner_id, one.stream, one.n) for one in again]
                await self._persist(
                    "store_owe_again", partial(owe_again, incarnation=self._incarnation, uids=uids)
                )
            self._settling = []
            self._settled.set()
            self._settled = trio.Event()
            for done in [one.done for one in owing] + [one.done for one in again]:
                done()

    async def _grow_loop(self) -> None:
        while True:
            await trio.sleep(_GROW_SECONDS)
            await self.tell_growth()

    async def tell_growth(self) -> None:
        """Write down by how much archives have grown: the sweep looks at those that may be too long."""
        grown, self._grown = list(self._grown.items()), {}
        for start in range(0, len(grown), _GROW_OWNERS):
            added = dict(grown[start : start + _GROW_OWNERS])
            await self._persist("store_grow", partial(grow, incarnation=self._incarnation, added=added))

    # --- both ---------------------------------------------------------------------------------------------------------

    async def _persist(self, op: str, work: UnitOfWork[T]) -> T:
        """Run `work` until Postgres has taken it; never returns when this process may not write any more.

        Raises RowsRefusedError. Any other error is the database's, and is waited out like its absence.
        """
        pause = _BACKOFF[0]
        while True:
            if self._failed:
                await trio.sleep_forever()
            try:
                return await self._db.run(0, work, op=op)
            except DatabaseUnavailable as exc:
                if pause == _BACKOFF[0]:
                    _log.warning("store_waits", reason=str(exc), rows=self._rows)
            except Fenced as exc:
                self._stop(f"{type(exc).__name__}: {exc}")
                continue
            except RowsRefusedError:
                raise
            except Exception:
                if pause == _BACKOFF[0]:
                    _log.exception("store_failed", rows=self._rows)
            await trio.sleep(pause)
            pause = min(pause * 2, _BACKOFF[1])

    def _stop(self, reason: str) -> None:
        if not self._failed:
            self._failed = True
            self._fail(reason)
