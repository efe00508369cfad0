"""What the holder of a remote domain does with its rows: read them, delete them, give them up. It joins `outgoing` and `queue`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import Origin
from rookery.shared.store.holding import Held
from rookery.shared.store.rows import pack_stanza, unpack_stanza
from rookery.workers.s2s.outgoing.remote import Remote
from rookery.workers.s2s.outgoing.remotes import Remotes
from rookery.workers.s2s.queue import sql
from rookery.workers.s2s.queue.entries import Entry
from rookery.workers.s2s.queue.pair import Pair
from rookery.workers.s2s.queue.writer import QueueWriter
from rookery.workers.s2s.streams.api import Trouble

_log = structlog.get_logger()
#: Rows read at once, rows given up at once, and the seconds between looks for those whose time is over, and for those to delete.
PAGE: Final = 1000
EXPIRE: Final = 500
EXPIRE_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 30.0
#: A pair's outcome is written at most so often while it stays the same.
OUTCOME_SECONDS: Final = 10.0
#: What is given up within this time is given up together.
HASTEN_SECONDS: Final = 0.02

#: Tells the sender of a stanza that it was given up; (row, condition, text).
GiveUp = Callable[[sql.Old, Trouble | None], None]


class Queues:
    """Implements `outgoing.remotes.Queues`."""

    def __init__(self, writer: QueueWriter, incarnation: str, give_up: GiveUp) -> None:
        self.remotes: Remotes
        self._writer = writer
        self._incarnation = incarnation
        self._give_up = give_up
        self._nursery: trio.Nursery | None = None
        self._reading: set[tuple[str, str]] = set()
        self._outcomes: dict[tuple[str, str], tuple[str, float]] = {}
        #: Pairs (remote, local) whose rows will be given up in a moment.
        self._hasty: set[tuple[str, str]] = set()
        #: Rows whose senders are being told, or that are being deleted: (remote, local, number).
        self.leaving: set[tuple[str, str, int]] = set()
        #: Those of them that are deleted: a look that has begun before that may still find them.
        self._deleted: list[tuple[str, str, int]] = []
        self._looking = trio.Lock()
        writer.deleted = self._deleted.extend

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._writer.run)
            nursery.start_soon(self._expire)
            nursery.start_soon(self._sweep)
            await trio.sleep_forever()

    # --- rows --------------------------------------------------------------------------------------------------------

    def put(self, held: Held, remote: Remote, local: str, entry: Entry, done: Callable[[bool], None]) -> None:
        """Store an entry's row; `expires` is its `until`."""
        origin = entry.origin
        row = sql.Waiting(
            held.partition,
            remote.name,
            local,
            entry.seq,
            origin.stream,
            origin.n if origin.stream else entry.seq,
            entry.at,
            entry.until,
            pack_stanza(entry.stanza),
        )
        self._writer.put(row, done, held)

    async def load(self, held: Held) -> None:
        """What a new holder of a partition has to know."""
        found = await self._writer.persist("s2s_load", partial(sql.load, partition=held.partition))
        for known in found:
            if known.mute:
                self.remotes.get(known.remote, held.partition).mute = True
            if not known.waiting and not known.acked:
                if known.worked:
                    self.remotes.get(known.remote, held.partition).worked = True
                continue
            remote = self.remotes.get(known.remote, held.partition)
            remote.worked = remote.worked or bool(known.worked)
            if known.failed > known.worked:
                remote.failures = max(remote.failures, 1)
                remote.trouble = Trouble(text=known.trouble)
            remote.pair(known.local).restored(known.waiting, known.acked)

    # --- outgoing.remotes.Queues -------------------------------------------------------------------------------------

    def acked(self, held: Held, pair: Pair, seq: int) -> None:
        """The other side has everything of the pair up to this number."""
        self._writer.acked(held.partition, pair.remote, pair.local, seq, held)

    def read(self, held: Held, remote: Remote, pair: Pair) -> None:
        """Read the next rows of the pair, unless that is under way."""
        key = pair.remote, pair.local
        if key not in self._reading and self._nursery is not None:
            self._reading.add(key)
            self._nursery.start_soon(self._read, held, remote, pair)

    async def _read(self, held: Held, remote: Remote, pair: Pair) -> None:
        try:
            pushed = pair.pushed
            work = partial(
                sql.page,
                remote=pair.remote,
                local=pair.local,
                after=max(pair.read_to, pair.acked),
                limit=PAGE,
                size=pair.share,
            )
            rows, more = await self._writer.persist("s2s_page", work)
            if not held.live:
                return
            entries = []
            for seq, stream, n, at, packed in rows:
                if (pair.remote, pair.local, seq) in self.leaving:
                    continue
                entry = Entry(unpack_stanza(packed), Origin(stream, n, ""), seq, at, 0.0)
                entry.ready = entry.late = True
                entries.append(entry)
            pair.read(entries, more, pushed)
        finally:
            self._reading.discard((pair.remote, pair.local))
        remote.pump()

    def outcome(self, held: Held, remote: Remote, local: str, trouble: Trouble | None) -> None:
        """Remember that a stream was opened for a pair, or why it could not be."""
        if self._nursery is None:
            return
        text = "" if trouble is None else (trouble.text or trouble.condition)[:200]
        key, now = (remote.name, local), trio.current_time()
        if (
            trouble is not None
            and trouble.permanent
            and not remote.worked
            and remote.at(local).pair(local).rows
        ):
            self.hasten_soon(key)
        before = self._outcomes.get(key)
        if before is not None and before[0] == text and now < before[1] + OUTCOME_SECONDS:
            return
        if len(self._outcomes) > 10_000:
            self._outcomes.clear()
        self._outcomes[key] = (text, now)
        self._writer.outcome(held.partition, *key, text, held)

    def spoiled(self, held: Held, pair: Pair, entry: Entry, trouble: Trouble) -> None:
        """Give this stanza up: the other side cannot bear it."""
        key = pair.remote, pair.local, entry.seq
        if entry.seq and not entry.gone and key not in self.leaving:
            entry.gone = True
            pair.settled(entry)
            self.leaving.add(key)
            origin = entry.origin
            n = origin.n if origin.stream else entry.seq
            self._give_up(sql.Old(*key, origin.stream, n, pack_stanza(entry.stanza)), trouble)

    def mute(self, held: Held, remote: Remote) -> None:
        """The other side cannot acknowledge, or can again: the next holder knows it, too."""
        if self._nursery is not None:
            self._nursery.start_soon(self._mute, held, remote)

    async def _mute(self, held: Held, remote: Remote) -> None:
        for local in list(remote.pairs):
            work = partial(
                sql.mute,
                incarnation=self._incarnation,
                partition=held.partition,
                pair=(remote.name, local),
                mute=remote.mute,
            )
            if held.live:
                await self._writer.persist("s2s_mute", work)

    def hasten_soon(self, key: tuple[str, str]) -> None:
        """Many names that are wrong at the same moment cost one statement."""
        self._hasty.add(key)
        if len(self._hasty) == 1 and self._nursery is not None:
            self._nursery.start_soon(self._hasten)

    async def _hasten(self) -> None:
        await trio.sleep(HASTEN_SECONDS)
        pairs, self._hasty = sorted(self._hasty), set()
        await self.hasten(*pairs)

    async def hasten(self, *pairs: tuple[str, str]) -> None:
        """Give up what waits of pairs (remote, local), soon."""
        work = partial(sql.hasten, incarnation=self._incarnation, pairs=pairs)
        await self._writer.persist("s2s_hasten", work)
        await self._expire_once()

    # --- what is given up --------------------------------------------------------------------------------------------

    async def _expire(self) -> None:
        while True:
            await trio.sleep(EXPIRE_SECONDS)
            try:
                await self._expire_once()
            except Exception:
                _log.exception("s2s_expire_failed")

    async def _expire_once(self) -> None:
        partitions = self.remotes.partitions()
        if not partitions:
            return
        async with self._looking:
            self.leaving.difference_update(self._deleted)
            self._deleted.clear()
            old = await self._writer.persist(
                "s2s_expired", partial(sql.expired, partitions=partitions, limit=EXPIRE)
            )
            self._give_up_all(old)

    def _give_up_all(self, old: Iterable[sql.Old]) -> None:
        for row in old:
            key = row.remote, row.local, row.seq
            remote = self.remotes.find(row.remote)
            if key in self.leaving or (remote is not None and remote.under_way(row.local, row.seq)):
                continue
            if remote is not None:
                remote.forget(row.local, (row.seq,))
            self.leaving.add(key)
            self._give_up(row, None if remote is None else remote.at(row.local).trouble)

    def left(self, key: tuple[str, str, int]) -> None:
        """The sender of this row knows: delete it. Until it is, it counts as given up."""
        self._writer.gone(*key)

    def forget(self, names: Iterable[str]) -> None:
        """These remote domains are another process's now: that one tells the senders."""
        gone = set(names)
        self.leaving = {key for key in self.leaving if key[0] not in gone}

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP_SECONDS)
            partitions = self.remotes.partitions()
            if partitions:
                work = partial(sql.sweep, incarnation=self._incarnation, partitions=partitions)
                await self._writer.persist("s2s_sweep", work)

    @property
    def full(self) -> bool:
        """Whether Postgres is so far behind that no more should be taken."""
        return self._writer.full

    async def drain(self) -> None:
        """Wait until everything is committed."""
        await self._writer.drain()
