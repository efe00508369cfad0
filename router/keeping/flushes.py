"""Offline messages to a resource that became available (XEP-0160), with live messages in order behind them.

One session of an account gets what is owed, page by page: SessionUp(after) -> Replay. A page's rows are numbered and kept like any
delivery; when the edge reports them as gone out they are settled in the store, so what a dying session did not get is still owed. Live
messages for that session wait behind, at most HOLD seconds without progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from rookery.router.accounts.account import Account
from rookery.router.accounts.flush import Flush
from rookery.router.accounts.kept import OVERHEAD, Parcel
from rookery.router.accounts.session import MAX_KEPT, MAX_KEPT_BYTES, Session
from rookery.router.core import Core
from rookery.router.keeping.rows import Keeping
from rookery.router.partition import Part
from rookery.router.pushing import Pushing
from rookery.shared.bus.messages import Kind, Origin, Replay, SessionUp
from rookery.shared.xeps import advanced_messages
from rookery.shared.xmpp.stanza import Stanza

#: Live messages wait this long behind a flush that makes no progress.
HOLD: Final = 10.0
#: A page that did not come is asked for again after this long.
ASK_AGAIN: Final = 3.0

#: What waited: (parcel, first), as in Flush.
Backlog = Iterable[tuple[Parcel, bool]]
#: `Delivery.message`: (part, account, resource, parcel).
Message = Callable[[Part, Account, str, Parcel], object]


class Flushes:
    """The flushes of all accounts."""

    def __init__(self, core: Core, pushing: Pushing, keeping: Keeping) -> None:
        self._core = core
        self._pushing = pushing
        self._keeping = keeping
        self._running: dict[str, tuple[Part, Account]] = {}
        #: `Delivery.message`: what waited for a session that is gone starts anew.
        self.message: Message = _unset
        #: Whether a stored message is too old for its own rules (`delivery.amp`).
        self.outdated: Callable[[Stanza], bool] = _never
        keeping.on_committed = self._committed

    def wanted(self, part: Part, account: Account) -> None:
        """Begin a flush if something is owed and a resource may have it."""
        if account.flush is not None or not account.owed or not account.id:
            return
        session = next((one for one in account.resources.best if not one.stalled), None)
        if session is None:
            return
        account.flush = Flush(session.resource, session.grant, self._core.ticks())
        session.behind = True
        self._running[account.bare] = (part, account)
        self._ask(part, account, account.flush)

    def again(self, part: Part, account: Account, older: bool) -> None:
        """A session is gone; `older`: it had stored messages on their way."""
        flush = account.flush
        if flush is None:
            self.wanted(part, account)
        elif older:
            flush.again = flush.rewind = True

    def _ask(self, part: Part, account: Account, flush: Flush) -> None:
        """Ask for the next page, once what is being committed is there to be read and the session has room."""
        if account.puts:
            return
        session = account.resources.current(flush.resource, flush.grant)
        if session is None or not session.caught_up:
            return
        flush.asked = self._core.ticks()
        item = SessionUp(account.bare, session.full, session.grant, session.priority, flush.after)
        self._core.bus.post(Kind.OFFLINE, part.number, item)

    def _committed(self, part: Part, account: Account) -> None:
        flush = account.flush
        if flush is None:
            self.wanted(part, account)
        elif not flush.asked:
            self._ask(part, account, flush)

    def on_replay(self, part: Part, item: Replay) -> None:
        """A page of stored messages."""
        bare, _, resource = item.full.partition("/")
        account = part.accounts.get(bare)
        flush = None if account is None else account.flush
        if account is None or flush is None or flush.resource != resource or flush.grant != item.grant:
            return
        session = account.resources.current(resource, item.grant)
        if session is None:
            return
        flush.asked = 0.0
        flush.since = self._core.ticks()
        passed = self._on_their_way(account)
        for row, stanza in item.rows:
            if flush.barrier and row >= flush.barrier:
                flush.read = True  # newer than what waits behind
                break
            flush.after = max(flush.after, row)
            if row not in passed:
                self._give(part, account, session, row, Stanza.unpack(stanza))
        if item.last:
            flush.read = True
        self._go_on(part, account, session, flush)

    def _give(self, part: Part, account: Account, session: Session, row: int, stanza: Stanza) -> None:
        if stanza.has(advanced_messages.NS) and self.outdated(stanza):
            self._keeping.settle(account, [(row, len(stanza.inner) + OVERHEAD)])
            self._core.count.dropped += 1
            return
        self._pushing.push(part, session, Parcel(stanza, Origin(b"", row, ""), 0.0, None, row, True))
        self._core.count.flushed += 1

    def _go_on(self, part: Part, account: Account, session: Session, flush: Flush) -> None:
        """The next step: another page, what waited behind, or the end."""
        if not flush.read:
            if not flush.asked:
                self._ask(part, account, flush)
            return
        self._release(part, account, session, flush)
        if flush.backlog:
            return  # when the session has caught up
        if flush.again or account.puts:
            # Something was stored behind the backlog.
            flush.again = flush.read = False
            flush.barrier = 0
            if flush.rewind:
                flush.rewind = False
                flush.after = 0
            self._ask(part, account, flush)
            return
        account.flush = None
        del self._running[account.bare]
        session.behind = session.stalled
        # All that is owed is on its way: what expired meanwhile is not counted any more.
        rows = [one for any_ in account.resources.by_resource.values() for one in any_.kept if one.flushed]
        account.owed = len(rows)
        account.owed_bytes = sum(len(one.parcel.stanza.inner) + OVERHEAD for one in rows)

    @staticmethod
    def _on_their_way(account: Account) -> set[int]:
        """Stored messages that some session was given already, that wait behind, or that were settled a moment ago."""
        passed = set(account.settled or ())
        if account.flush is not None:
            passed.update(parcel.row for parcel, _ in account.flush.backlog)
        for session in account.resources.by_resource.values():
            passed.update(one.parcel.row for one in session.kept)
        return passed

    def _release(self, part: Part, account: Account, session: Session, flush: Flush) -> None:
        """Give the session what waited behind, as far as it has room."""
        backlog = flush.backlog
        while backlog and not session.stalled:
            parcel, first = backlog.popleft()
            flush.backlog_bytes -= len(parcel.stanza.inner) + OVERHEAD
            self._pushing.push(part, session, parcel)
            if first and not parcel.row:
                self._core.accept(part, parcel.origin)

    def behind(self, part: Part, account: Account, session: Session, parcel: Parcel, first: bool) -> None:
        """A live message for a session that is behind. `first`: its fate depends on this session."""
        flush = account.flush if self.feeds(account, session) else None
        if flush is not None:
            size = len(parcel.stanza.inner) + OVERHEAD
            fits = len(flush.backlog) < MAX_KEPT and flush.backlog_bytes + size <= MAX_KEPT_BYTES
            if flush.again or not fits:
                flush.again = True  # it is read behind the backlog
            elif flush.live_waits or flush.backlog or session.stalled:
                flush.backlog.append((parcel, first))
                flush.backlog_bytes += size
                origin = parcel.origin
                if first and origin.custodian and not parcel.row:
                    part.recent.mark(origin.stream, origin.n, False)
                return
            else:
                self._pushing.push(part, session, parcel)
                if first and not parcel.row:
                    self._core.accept(part, parcel.origin)
                return
        if parcel.fate is not None:
            parcel.fate.holders -= 1
        if first:
            if parcel.row:
                row = self._keeping.owe(part, account, parcel)
            else:
                row = self._keeping.keep(part, account, parcel)
            if flush is not None and not flush.barrier:
                flush.barrier = row

    @staticmethod
    def feeds(account: Account, session: Session) -> bool:
        """Whether live messages for the session go through its flush."""
        return account.flush is not None and account.flush.grant == session.grant

    def progressed(self, part: Part, account: Account, session: Session) -> None:
        """The edge reported deliveries as gone out: a session that was behind may go on."""
        if session.stalled and session.caught_up:
            session.stalled = False
            session.behind = self.feeds(account, session)
            self.wanted(part, account)
        flush = account.flush
        if flush is not None and flush.grant == session.grant:
            flush.since = self._core.ticks()
            self._go_on(part, account, session, flush)

    def stop(self, account: Account, session: Session) -> Backlog:
        """The session may not have it any more; returns what waited behind its flush, for `resume`."""
        flush = account.flush
        if flush is None or flush.grant != session.grant:
            return ()
        account.flush = None
        session.behind = session.stalled
        self._running.pop(account.bare, None)
        return flush.backlog

    def resume(self, part: Part, account: Account, backlog: Backlog) -> None:
        """What waited behind a flush that was stopped starts anew; call it after `again`, to stay behind what is owed."""
        for parcel, first in backlog:
            fate = parcel.fate
            if fate is not None:
                fate.holders -= 1
            if first and (fate is None or not fate.got):
                resource = parcel.stanza.to.partition("/")[2]
                self.message(part, account, resource, parcel._replace(fate=None))

    def tick(self) -> None:
        """Ask again for pages that did not come; let live messages pass when it takes too long. Call about twice a second."""
        now = self._core.ticks()
        for part, account in list(self._running.values()):
            flush = account.flush
            if flush is None or not part.live:
                self._running.pop(account.bare, None)
                continue
            session = account.resources.current(flush.resource, flush.grant)
            if session is None:
                continue
            if flush.live_waits and now - flush.since > HOLD:
                flush.live_waits = False
                self._release(part, account, session, flush)
            if flush.read:
                self._go_on(part, account, session, flush)
            elif not flush.asked or now - flush.asked > (ASK_AGAIN if flush.live_waits else HOLD):
                self._ask(part, account, flush)

    def forget(self, part: Part) -> None:
        """The partition is another's now."""
        for bare in [bare for bare, (its, _) in self._running.items() if its is part]:
            del self._running[bare]


def _never(stanza: Stanza) -> bool:
    return False


def _unset(part: Part, account: Account, resource: str, parcel: Parcel) -> None:
    raise AssertionError("the flushes are not wired")
