"""The group commit of the queues: rows of what came, and how far the other sides have acknowledged.

Commits of a pair of domains follow one another, so its numbers are committed in their order. What comes while a commit of few rows is under way does
not wait for it: a second one goes beside it, of other pairs, so that messages to domains that are dead do not hold up the others. Only after its commit
is a stanza accepted, and only then is it sent: nothing leaves this server that it would not remember. While Postgres is away everything waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import structlog
import trio

from rookery.shared.db.api import Database, DatabaseUnavailable, Fenced, UnitOfWork
from rookery.shared.store.holding import Holding
from rookery.workers.s2s.queue import sql

T = TypeVar("T")
#: Rows and bytes of one commit; rows and bytes that may wait for Postgres.
BATCH: Final = 512
BATCH_BYTES: Final = 4 * 1024 * 1024
#: Beside a commit of so many rows or fewer another one may go: with more they wait for it, and go together.
FEW: Final = 4
#: Rows that are passed over, since rows of their pairs are under way, before the next commit is waited for.
PASSED: Final = 64
MOST: Final = 65_536
MOST_BYTES: Final = 128 * 1024 * 1024
#: How attempts ended is written together, once in so many seconds: each statement by itself would cost messages a flush of the disk.
OUTCOMES_SECONDS: Final = 1.0
_BACKOFF: Final = (0.05, 0.5)
_log = structlog.get_logger()
#: Called after the commit: True when the row is new, False for a repetition.
Done = Callable[[bool], None]


class QueueWriter:
    """The one writer of this process. `fail` is called, once, when it may not write any more."""

    def __init__(self, db: Database, incarnation: str, fail: Callable[[str], None]) -> None:
        self._db = db
        self._incarnation = incarnation
        self._fail = fail
        self._rows: deque[tuple[sql.Waiting, Done, Holding]] = deque()
        self._acked: dict[tuple[str, str], tuple[int, int, Holding]] = {}
        self._gone: list[tuple[str, str, int]] = []
        #: How the last attempt of a pair (remote, local) ended: its partition, "" or why it failed.
        self._outcomes: dict[tuple[str, str], tuple[int, str, Holding]] = {}
        #: Pairs (remote, local) that users of ours have written on, for the first time.
        self._spoken: dict[tuple[str, str], tuple[int, Holding]] = {}
        self._some = trio.Event()
        self._tell = trio.Event()
        self._ended = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self._told = trio.Event()
        self._told.set()
        self._flying = 0
        #: Rows of the first commit that is under way; pairs (remote, local) of all that are.
        self._first = 0
        self._busy: set[tuple[str, str]] = set()
        #: Bytes of the rows that wait or fly.
        self._size = 0
        self._failed = False
        #: Called after a commit, behind the `done` of its rows.
        self.landed: Callable[[], None] = _ignore
        #: Called with rows (remote, local, number) that are deleted.
        self.deleted: Callable[[list[tuple[str, str, int]]], None] = _nothing

    def put(self, row: sql.Waiting, done: Done, holding: Holding) -> None:
        """Store the row with the next commit, then call `done`; neither once the partition was given up."""
        self._rows.append((row, done, holding))
        self._size += len(row.stanza)
        self._idle = trio.Event() if self._idle.is_set() else self._idle
        self._some.set()

    def acked(self, partition: int, remote: str, local: str, seq: int, holding: Holding) -> None:
        """The other side has everything of this pair up to `seq`."""
        self._acked[remote, local] = (partition, seq, holding)
        self._write_told()

    def gone(self, remote: str, local: str, seq: int) -> None:
        """This row was given up and its sender knows: delete it."""
        self._gone.append((remote, local, seq))
        self._write_told()

    def outcome(self, partition: int, remote: str, local: str, trouble: str, holding: Holding) -> None:
        """A stream of this pair was opened (""), or could not be; many of them are written together."""
        self._outcomes[remote, local] = (partition, trouble, holding)
        self._ended.set()

    def spoken(self, partition: int, remote: str, local: str, holding: Holding) -> None:
        """A user of ours has written to this remote domain."""
        self._spoken[remote, local] = (partition, holding)
        self._write_told()

    def _write_told(self) -> None:
        self._told = trio.Event() if self._told.is_set() else self._told
        self._tell.set()

    @property
    def full(self) -> bool:
        """Whether so much waits for Postgres that no more should be taken."""
        return len(self._rows) + self._flying >= MOST or self._size >= MOST_BYTES

    async def drain(self) -> None:
        """Wait until everything that was put is committed."""
        await self._idle.wait()
        await self._told.wait()
        await self._write_outcomes()

    async def run(self) -> None:
        """Commit until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tells)
            nursery.start_soon(self._outcomes_now_and_then)
            nursery.start_soon(self._lane, True)
            await self._lane(False)

    async def _lane(self, beside: bool) -> None:
        """One commit after the other; with `beside` only while the first one has few rows."""
        while True:
            await trio.lowlevel.checkpoint()  # the rest of this turn's rows
            batch = self._take() if not beside or 0 < self._first <= FEW else []
            if batch:
                await self._commit(batch, beside)
                self._some.set()
                continue
            if not self._rows and not self._flying:
                self._idle.set()
            if self._some.is_set():
                self._some = trio.Event()
            await self._some.wait()

    def _take(self) -> list[tuple[sql.Waiting, Done, Holding]]:
        """The next rows, but for those of pairs that are under way: these keep their order."""
        batch: list[tuple[sql.Waiting, Done, Holding]] = []
        passed: list[tuple[sql.Waiting, Done, Holding]] = []
        size = 0
        while self._rows and len(batch) < BATCH and size < BATCH_BYTES and len(passed) < PASSED:
            one = self._rows.popleft()
            row, _, holding = one
            if not holding.live:
                self._size -= len(row.stanza)
            elif (row.remote, row.local) in self._busy:
                passed.append(one)
            else:
                batch.append(one)
                size += len(row.stanza)
        self._rows.extendleft(reversed(passed))
        return batch

    async def _commit(self, batch: list[tuple[sql.Waiting, Done, Holding]], beside: bool) -> None:
        pairs = {(row.remote, row.local) for row, _, _ in batch}
        self._busy |= pairs
        self._flying += len(batch)
        if not beside:
            self._first = len(batch)
        rows = [row for row, _, _ in batch]
        new = await self.persist("s2s_insert", partial(sql.insert, incarnation=self._incarnation, rows=rows))
        if not beside:
            self._first = 0
        self._flying -= len(batch)
        self._busy -= pairs
        self._size -= sum(len(row.stanza) for row in rows)
        for row, done, holding in batch:
            if holding.live:
                done(new is None or (row.partition, row.seq) in new)
        self.landed()

    async def _tells(self) -> None:
        while True:
            while not self._acked and not self._gone and not self._spoken:
                self._told.set()
                self._tell = trio.Event()
                await self._tell.wait()
            await trio.lowlevel.checkpoint()
            acked, self._acked = self._acked, {}
            told = [(part, *pair, seq) for pair, (part, seq, holding) in acked.items() if holding.live]
            if told:
                await self.persist("s2s_acked", partial(sql.acked, incarnation=self._incarnation, told=told))
            spoken, self._spoken = self._spoken, {}
            pairs = [(part, *pair) for pair, (part, holding) in spoken.items() if holding.live]
            if pairs:
                await self.persist(
                    "s2s_spoken", partial(sql.spoken, incarnation=self._incarnation, pairs=pairs)
                )
            gone, self._gone = self._gone, []
            if gone:
                await self.persist("s2s_gone", partial(sql.gone, incarnation=self._incarnation, rows=gone))
                self.deleted(gone)

    async def _outcomes_now_and_then(self) -> None:
        while True:
            await self._ended.wait()
            self._ended = trio.Event()
            await trio.sleep(OUTCOMES_SECONDS)
            await self._write_outcomes()

    async def _write_outcomes(self) -> None:
        outcomes, self._outcomes = self._outcomes, {}
        ended = [(part, *pair, text) for pair, (part, text, holding) in outcomes.items() if holding.live]
        if ended:
            work = partial(sql.outcomes, incarnation=self._incarnation, told=ended)
            await self.persist("s2s_outcome", work)

    async def persist(self, op: str, work: UnitOfWork[T]) -> T:
        """Run `work` until Postgres has taken it; never returns when this process may not write any more."""
        pause = _BACKOFF[0]
        while True:
            if self._failed:
                await trio.sleep_forever()
            try:
                return await self._db.run(0, work, op=op)
            except DatabaseUnavailable as exc:
                if pause == _BACKOFF[0]:
                    _log.warning("s2s_queue_waits", reason=str(exc), rows=len(self._rows))
            except Fenced as exc:
                self._failed = True
                self._fail(f"{type(exc).__name__}: {exc}")
                continue
            except Exception:
                if pause == _BACKOFF[0]:
                    _log.exception("s2s_queue_failed", rows=len(self._rows))
            await trio.sleep(pause)
            pause = min(pause * 2, _BACKOFF[1])


def _ignore() -> None:
    pass


def _nothing(_rows: list[tuple[str, str, int]]) -> None:
    pass
