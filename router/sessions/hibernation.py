"""Sessions without a socket (XEP-0198): kept for their client to come back, with a second copy in the database, and ended in time.

A session sleeps when its edge says that the socket is gone, or is gone itself. What is delivered to it is kept as before. Its row is
written within STORE_SECONDS, and again after changes; it goes when the session goes on or ends. Rows are a second copy only: nobody
reads one while the partition has a holder.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
import trio

from rookery.router.accounts.account import Account
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.delivery.missed import Misses
from rookery.router.partition import Part
from rookery.router.sessions.packed import pack_session, unpack_session
from rookery.shared.bus.api import Mark
from rookery.shared.bus.messages import End, Noted
from rookery.shared.db.api import FENCE, Connection, DatabaseUnavailable, Fenced
from rookery.shared.db.persist import persist
from rookery.shared.xeps import push

_log = structlog.get_logger()

#: A row is written this long after the first change, and one of many bytes later: a second for so many bytes.
STORE_SECONDS: Final = 0.5
BYTES_PER_SECOND: Final = 262_144
#: Rows and bytes of one statement.
BATCH: Final = 200
BATCH_BYTES: Final = 4 * 1024 * 1024
#: After a partition was lost with rows that lacked something, nothing counts as written for so long.
UNSAFE_SECONDS: Final = 5.0
#: Ended streams whose frontier is remembered, so that <failed/> can say what was handled.
MAX_ENDED: Final = 10_000

STORE: Final = (
    FENCE
    + """
INSERT INTO session (account_id, partition, jid, granted, stream, state, expires)
SELECT r.account_id, r.partition, r.jid, r.granted, r.stream, r.state, now() + r.seconds * interval '1 second'
FROM fence_ok, unnest($2::bigint[], $3::integer[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[], $8::float8[])
    AS r(account_id, partition, jid, granted, stream, state, seconds)
JOIN account a ON a.id = r.account_id
ON CONFLICT (jid, granted) DO UPDATE SET state = excluded.state, expires = excluded.expires
RETURNING jid, granted
"""
)
FORGET: Final = (
    FENCE
    + """
DELETE FROM session s USING fence_ok, unnest($2::text[], $3::bigint[]) AS gone(jid, granted)
WHERE s.jid = gone.jid AND s.granted <= gone.granted
"""
)
LOAD_SESSIONS: Final = """
SELECT jid, granted, stream, state, extract(epoch FROM expires - now())::float8 AS seconds
FROM session WHERE partition = $1
"""

#: (session, seconds until it ends)
Stored = tuple[Session, float]
_Row = tuple[int, int, str, int, bytes, bytes, float]


class Hibernation:
    """The sleeping sessions of all held partitions. `end` ends a session (`Bindings.end`)."""

    def __init__(self, core: Core) -> None:
        self._core = core
        #: Told of what clients without sockets miss, and when they are back.
        self.misses = Misses(core)
        self._longer = core.node.config.options(push.Options).resume_seconds
        self.end: Callable[[Part, Account, Session], None] = _unset
        self._asleep: dict[Session, tuple[Part, Account]] = {}
        self._due: set[Session] = set()
        #: Since when the row of a session lacks something, of those that are written now as well.
        self._lacking: dict[Session, float] = {}
        self._unsafe = 0.0
        #: Changes when what a row lacked is on its way to an edge instead.
        self.moved = 0
        self._gone: list[tuple[str, int]] = []
        #: Rows of sessions that go on at an edge: second copies until that has what it is sent, (jid, grant).
        self._leaving: dict[tuple[str, int], None] = {}
        self._left: dict[tuple[str, int], None] = {}
        self._mark: Mark | None = None
        self._ended: OrderedDict[bytes, tuple[str, int]] = OrderedDict()
        self._wake = trio.Event()
        self._writing = trio.Lock()

    def __len__(self) -> int:
        return len(self._asleep)

    # --- what happens to sessions ------------------------------------------------------------------------------------

    def sleep(self, part: Part, account: Account, session: Session, seconds: float | None = None) -> None:
        """The socket, or the whole edge, is gone."""
        resumable = session.resumable
        assert resumable is not None
        if session.edge:
            self.misses.unread(account, session, session.kept)
            resumable.former = (session.edge, session.sid)
            session.edge = ""
        left = resumable.seconds if seconds is None else seconds
        if seconds is None and account.pushes is not None and session.resource in account.pushes:
            # A phone sleeps longer than it can be asked: what comes for it wakes it.
            left = max(left, self._longer)
        resumable.until = self._core.ticks() + left
        self._asleep[session] = (part, account)
        # (the row of before is kept, or was just read)
        key = session.full, session.grant
        resumable.row = resumable.row or seconds is not None or key in self._leaving or key in self._left
        self._leaving.pop(key, None)
        self._left.pop(key, None)
        self.changed(part, session)

    def changed(self, part: Part, session: Session) -> None:
        """A sleeping session is not what its row says."""
        resumable = session.resumable
        if resumable is None or session not in self._asleep:
            return
        self._lacking.setdefault(session, self._core.ticks())
        if resumable.store_at:
            return
        pause = max(STORE_SECONDS, session.kept_bytes / BYTES_PER_SECOND if resumable.stored else 0.0)
        resumable.store_at = self._core.ticks() + pause
        self._due.add(session)

    def woke(self, session: Session) -> None:
        """A sleeping session goes on."""
        if self._asleep.pop(session, None) is not None and self._awake(session):
            self._leaving[session.full, session.grant] = None

    def ended(self, part: Part, session: Session) -> None:
        """A resumable session is over; its former edge need not keep its mirror."""
        resumable = session.resumable
        if resumable is None:
            return
        self._ended[resumable.token] = (
            session.full.partition("/")[0],
            resumable.frontier - resumable.base_in,
        )
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        if self._asleep.pop(session, None) is None:
            return
        if self._awake(session):
            self.forget_row(session.full, session.grant)
        edge, sid = resumable.former
        if edge:
            end = End(sid, session.grant, "reset", "the session has ended")
            self._core.bus.post_to(edge, end, partition=part.number, epoch=part.epoch)

    def _awake(self, session: Session) -> bool:
        """Whether it may have left a row: who is back within STORE_SECONDS never had one, and costs no statement."""
        resumable = session.resumable
        assert resumable is not None
        resumable.until = resumable.store_at = 0.0
        self._due.discard(session)
        self.moved += self._lacking.pop(session, None) is not None
        # A row may be on its way even when none is known of yet.
        row, resumable.row, resumable.stored = resumable.row, False, False
        return row

    def forget_row(self, full: str, grant: int) -> None:
        """Delete the rows of this grant and older ones, soon."""
        self._gone.append((full, grant))

    def unwritten(self) -> float:
        """Since when (ticks) some row has lacked something that its session was given; infinity when none lacks anything."""
        if self._core.ticks() < self._unsafe:
            return 0.0
        return min(self._lacking.values(), default=math.inf)

    def handled(self, bare: str, token: bytes) -> int:
        """What was handled of an ended stream of this account, -1 when that is not known."""
        owner, h = self._ended.get(token, ("", -1))
        return h if owner == bare else -1

    def oldest(self, account: Account) -> Session | None:
        """The account's session that would end first, when one sleeps."""
        asleep = [one for one in account.resources.by_resource.values() if one in self._asleep]
        return min(asleep, key=_until, default=None)

    def forget(self, session: Session) -> None:
        """Another copy of a sleeping session is better."""
        self._asleep.pop(session, None)
        self._due.discard(session)
        self._lacking.pop(session, None)

    def drop(self, part: Part) -> None:
        """The partition is another's now."""
        for session in [one for one, (its, _) in self._asleep.items() if its is part]:
            del self._asleep[session]
            self._due.discard(session)
            if self._lacking.pop(session, None) is not None:
                # Whoever keeps it for the next holder must hear of that first.
                self._unsafe = self._core.ticks() + UNSAFE_SECONDS

    # --- time --------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """End what was not resumed in time; have rows written. Call about twice a second."""
        now = self._core.ticks()
        for session, (part, account) in list(self._asleep.items()):
            if _until(session) <= now:
                self.end(part, account, session)
        if self._mark is not None and self._mark.passed():
            self._gone += self._left
            self._mark, self._left = None, {}
        if self._mark is None and self._leaving:
            self._mark, self._left, self._leaving = self._core.bus.mark(), self._leaving, {}
        # Not sooner: in a storm of resumptions one statement deletes the rows of many.
        if self._gone or any(_store_at(session) <= now for session in self._due):
            self._wake.set()

    async def run(self) -> None:
        """Write rows until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            try:
                await self._write(self._core.ticks())
            except DatabaseUnavailable:
                await trio.sleep(1.0)
                self._wake.set()
            except Fenced:
                return
            except Exception:
                _log.exception("sessions_not_stored")
                await trio.sleep(1.0)

    async def flush(self, part: Part) -> None:
        """Write all resumable sessions of a partition (it is given away): an edge may die before its next holder has asked it."""
        sessions = [
            (session, part, account)
            for account in part.accounts.values()
            if account.id
            for session in account.resources.by_resource.values()
            if session.resumable is not None
        ]
        async with self._writing:
            for start in range(0, len(sessions), BATCH):
                while True:
                    try:
                        await self._store(sessions[start : start + BATCH])
                        break
                    except DatabaseUnavailable:
                        await trio.sleep(0.2)

    async def _write(self, now: float) -> None:
        # One at a time: what is forgotten while it is written is deleted after that.
        async with self._writing:
            await self._write_due(now)

    async def _write_due(self, now: float) -> None:
        gone, self._gone = self._gone, []
        try:
            if gone:
                await self._delete(gone)
                gone = []
        finally:
            self._gone = gone + self._gone
        while True:
            batch: list[Session] = []
            size = 0
            for session in self._due:
                if _store_at(session) <= now and len(batch) < BATCH and size < BATCH_BYTES:
                    batch.append(session)
                    size += session.kept_bytes
            # Accounts that are still loading have no id yet.
            batch = [session for session in batch if self._asleep[session][1].id]
            if not batch:
                return
            await self._store([(session, *self._asleep[session]) for session in batch])

    async def _delete(self, gone: Sequence[tuple[str, int]]) -> None:
        incarnation = self._core.node.incarnation

        async def work(conn: Connection) -> None:
            await conn.execute(FORGET, incarnation, [jid for jid, _ in gone], [grant for _, grant in gone])

        await self._core.node.db.run(0, work)

    async def _store(self, batch: list[tuple[Session, Part, Account]]) -> None:
        """Write rows and tell their former edges, which then forget the mirrors."""
        now = self._core.ticks()
        rows: list[_Row] = []
        for session, part, account in batch:
            state = pack_session(session, self._core.clock(), part.epoch, part.told.of(session.stream))
            left = max(0.0, _until(session) - now) if session in self._asleep else _seconds(session)
            rows.append((account.id, part.number, session.full, session.grant, session.stream, state, left))
            assert session.resumable is not None
            session.resumable.store_at = 0.0
            session.resumable.row = True
            self._due.discard(session)
        incarnation = self._core.node.incarnation

        async def work(conn: Connection) -> list[Any]:
            return await conn.fetch(STORE, incarnation, *[list(column) for column in zip(*rows, strict=True)])

        try:
            done = {(row["jid"], row["granted"]) for row in await self._core.node.db.run(0, work)}
        except BaseException:
            for session, part, _ in batch:
                self.changed(part, session)
            raise
        for session, _, _ in batch:
            if session in self._lacking:
                del self._lacking[session]
                if _store_at(session):  # it changed while it was written
                    self._lacking[session] = now
            if session in self._asleep and (session.full, session.grant) in done:
                self._stored(session)

    def _stored(self, session: Session) -> None:
        resumable = session.resumable
        assert resumable is not None
        resumable.stored = True
        edge, sid = resumable.former
        if edge:
            resumable.former = ("", 0)
            part = self._asleep[session][0]
            noted = Noted(sid, session.grant, resumable.frontier, True)
            self._core.bus.post_to(edge, noted, partition=part.number, epoch=part.epoch)

    # --- a new holder ------------------------------------------------------------------------------------------------

    async def load(self, partition: int) -> list[Stored]:
        """The partition's sessions that slept; waits for the database."""

        async def work(conn: Connection) -> list[Any]:
            return await conn.fetch(LOAD_SESSIONS, partition)

        found: list[Stored] = []
        for row in await persist(self._core.node.db, partition, work):
            session = unpack_session(row["jid"], row["granted"], bytes(row["stream"]), bytes(row["state"]))
            if session is None:
                _log.warning("session_unreadable", partition=partition)
            else:
                assert session.resumable is not None
                session.resumable.stored = True
                found.append((session, row["seconds"]))
        return found


def _until(session: Session) -> float:
    assert session.resumable is not None
    return session.resumable.until


def _seconds(session: Session) -> int:
    assert session.resumable is not None
    return session.resumable.seconds


def _store_at(session: Session) -> float:
    assert session.resumable is not None
    return session.resumable.store_at


def _unset(part: Part, account: Account, session: Session) -> None:
    raise AssertionError("hibernation is not wired")
