"""Messages that no resource takes: into the next group commit, owed by offline delivery (XEP-0160)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from rookery.router.core import Core
from rookery.router.part import Account, Part
from rookery.shared.bus.messages import Origin
from rookery.shared.store.rows import Row, make_row, offline_eligible, unpack_stanza
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza


class Store(Protocol):
    """The part of `shared.store.writer.StoreWriter` that the router needs."""

    def put(self, row: Row, done: Callable[[Row, bool | None], None]) -> None:
        """Commit the row with the next group; `done` is called after the commit, with None when the row cannot be stored."""

    def settle(self, account_id: int, ids: Iterable[int]) -> None:
        """These rows are no longer owed."""

    @property
    def full(self) -> bool:
        """Whether no more should be taken."""


class Keeping:
    """Puts messages into the store and accepts them once they are committed."""

    def __init__(self, core: Core, store: Store) -> None:
        self._core = core
        self._store = store
        #: Called when nothing of an account is on its way into the store any more.
        self.on_committed: Callable[[Part, Account], None] = _ignore
        self.on_refused: Callable[[], None] = _nothing

    def keep(self, part: Part, account: Account, origin: Origin, stanza: Stanza, at: float) -> int:
        """Store a message that arrived at `at`, or drop what is not to be kept. Over quota it goes back (XEP-0160 section 2).

        Returns its archive id, or 0 when it was not put into the store. Acceptance follows the commit.
        """
        core = self._core
        if not offline_eligible(stanza):
            core.count.dropped += 1
            core.accept(part, origin)
            return 0
        if self._store.full:
            core.bounce(stanza, StanzaError("resource-constraint", "the server cannot store messages now"))
            core.accept(part, origin)
            return 0
        if account.owed >= core.limits.offline_messages or account.owed_bytes >= core.limits.offline_bytes:
            self.on_refused()
            core.bounce(stanza, StanzaError("service-unavailable", "offline storage is full"))
            core.accept(part, origin)
            return 0
        row = make_row(
            account.id,
            part.ids.next(),
            origin.stream,
            origin.n,
            stanza,
            peer=stanza.from_.partition("/")[0],
            outgoing=False,
            archived=False,
            owed=True,
            stamp=at,
        )
        account.owed += 1
        account.owed_bytes += len(row.stanza)
        account.puts += 1
        core.count.offline += 1
        if origin.edge:
            part.recent.mark(origin.stream, origin.n, False)
        self._store.put(row, partial(self._committed, part, account, origin))
        return row.id

    def _committed(self, part: Part, account: Account, origin: Origin, row: Row, new: bool | None) -> None:
        account.puts -= 1
        if new is None:
            account.owed = max(0, account.owed - 1)
            account.owed_bytes = max(0, account.owed_bytes - len(row.stanza))
            error = StanzaError("internal-server-error", "this message cannot be stored")
            self._core.bounce(unpack_stanza(row.stanza), error)
        self._core.accept(part, origin)
        if part.live and not account.puts:
            self.on_committed(part, account)

    def settle(self, account: Account, rows: list[tuple[int, int]]) -> None:
        """These stored messages, (archive id, bytes), were written to a client: they are no longer owed."""
        account.owed = max(0, account.owed - len(rows))
        account.owed_bytes = max(0, account.owed_bytes - sum(size for _, size in rows)) if account.owed else 0
        ids = [row for row, _ in rows]
        if account.settled is None:
            account.settled = set()
        account.settled.update(ids)
        self._store.settle(account.id, ids)

    def settle_again(self, account: Account) -> None:
        """The former router may have died before it settled what its edges had written."""
        if account.id and account.settled:
            self._store.settle(account.id, account.settled)


def _ignore(part: Part, account: Account) -> None:
    pass


def _nothing() -> None:
    pass
