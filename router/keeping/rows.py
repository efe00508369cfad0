"""Messages into the next group commit: what is archived, and what no resource takes (XEP-0313, XEP-0160).

In a durable domain every message of the durable class has a row, and its sender is told `Accepted` only after the commit. One that is
given to a resource does not wait for that: its row is archived, and owed to nobody unless every session that had it ends without
having acknowledged it. What must not be archived has a row until a resource has acknowledged it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol

from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import Parcel
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.shared.bus.messages import Origin
from rookery.shared.store.holding import Holding
from rookery.shared.store.ids import Seal
from rookery.shared.store.rows import Row, archivable, make_row, offline_eligible, unpack_stanza
from rookery.shared.xeps import offline_storage
from rookery.shared.xeps.stanza_ids import identified
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

_new: Final = tuple.__new__


class Store(Protocol):
    """The part of `shared.store.writer.StoreWriter` that the router needs."""

    def put(self, row: Row, done: Callable[[Row, bool | None], None], holding: Holding) -> None:
        """Commit the row with the next group; `done` is called after the commit, with None when the row cannot be stored.

        Nothing happens once `holding` is not live any more.
        """

    def settle(self, owner_id: int, ids: Iterable[int]) -> None:
        """These rows are no longer owed."""

    def owe(self, owner_id: int, id: int, done: Callable[[], None]) -> None:
        """This row is owed after all; `done` is called after the commit."""

    def owe_again(self, row: Row, done: Callable[[], None]) -> None:
        """The stored message that `row` repeats is owed; `done` is called after the commit."""

    def after(self, done: Callable[[], None]) -> None:
        """Call `done` once everything is committed that was put before; at once when that is so."""

    @property
    def full(self) -> bool:
        """Whether no more should be taken."""


class Keeping:
    """Puts messages into the store and accepts them once they are committed."""

    def __init__(self, core: Core, store: Store) -> None:
        self._core = core
        self._store = store
        #: Makes the ids that clients see; known before the first partition is held.
        self.seal: Seal | None = None
        #: Called when nothing of an account is on its way into the store any more.
        self.on_committed: Callable[[Part, Account], None] = _ignore
        self._most = core.node.config.options(offline_storage.Options)

    # --- what a resource takes ---------------------------------------------------------------------------------------

    def record(self, part: Part, account: Account, parcel: Parcel, waits: bool) -> Parcel:
        """Store a message that is about to be given to resources: as they get it, with its row; the same when it has none.

        One that `waits` behind a flush or for a socket is owed until then, since no edge has a copy of it. With a row, acceptance follows the commit;
        without, the caller accepts. Raises StanzaError while no more can be stored.
        """
        stanza, origin, at, fate, _, _ = parcel
        if not offline_eligible(stanza):
            return parcel
        archived = self._archived(account, stanza, stanza.from_)
        if account.relaxed and not archived:
            return parcel
        if self._store.full:
            raise StanzaError("resource-constraint", "the server cannot store messages now")
        owed = waits or not archived
        row = self._row(part, account, parcel, archived, owed)
        if account.relaxed:
            self._core.accept(part, origin)
        elif origin.custodian:
            part.recent.mark(origin.stream, origin.n, False)
        self._store.put(row, partial(self._accept, part, account, account.relaxed, origin), part)
        if archived:
            assert self.seal is not None
            stanza = identified(stanza, account.id_prefix, self.seal.seal(account.id, row.id))
        return _new(Parcel, (stanza, origin, at, fate, row.id, owed))

    def _accept(
        self, part: Part, account: Account, accepted: bool, origin: Origin, row: Row, new: bool | None
    ) -> None:
        account.stored = row.id
        if new is False and row.stream:
            account.repeats = account.repeats or {}
            account.repeats[row.id] = row
        # Refused (`new` is None): a resource was given it, so nobody is told that it failed; the archive misses it.
        if not accepted:
            self._core.accept(part, origin)

    def owe(self, part: Part, account: Account, parcel: Parcel) -> int:
        """No session that was given this stored message has acknowledged it, and no other takes it: offline delivery owes it."""
        account.owed += 1
        account.owed_bytes += len(parcel.stanza.inner)
        account.puts += 1
        self._core.count.offline += 1
        repeat = None if account.repeats is None else account.repeats.pop(parcel.row, None)
        done = partial(self._landed, part, account)
        if repeat is None:
            self._store.owe(account.id, parcel.row, done)
        else:
            self._store.owe_again(repeat, done)
        return parcel.row

    def acknowledged(self, account: Account, ids: list[int]) -> None:
        """Live messages whose rows say that they are owed have reached a client."""
        self._settle(account, ids)

    # --- what no resource takes --------------------------------------------------------------------------------------

    def keep(self, part: Part, account: Account, parcel: Parcel) -> int:
        """Store a message, or drop what is not to be kept. Over quota it goes back (XEP-0160 section 2).

        Returns its archive id, or 0 when it was not put into the store. Acceptance follows the commit.
        """
        core = self._core
        stanza, origin, _, _, _, _ = parcel
        if not offline_eligible(stanza):
            core.count.dropped += 1
            core.accept(part, origin)
            return 0
        if self._store.full:
            core.bounce(stanza, StanzaError("resource-constraint", "the server cannot store messages now"))
            core.accept(part, origin)
            return 0
        if account.owed >= self._most.messages or account.owed_bytes >= self._most.bytes:
            core.count.refused += 1
            core.bounce(stanza, StanzaError("service-unavailable", "offline storage is full"))
            core.accept(part, origin)
            return 0
        archived = self._archived(account, stanza, stanza.from_)
        row = self._row(part, account, parcel, archived, True)
        account.owed += 1
        account.owed_bytes += len(row.stanza)
        account.puts += 1
        core.count.offline += 1
        if account.relaxed:
            core.accept(part, origin)
        elif origin.custodian:
            part.recent.mark(origin.stream, origin.n, False)
        self._store.put(row, partial(self._committed, part, account, origin), part)
        return row.id

    def _committed(self, part: Part, account: Account, origin: Origin, row: Row, new: bool | None) -> None:
        if new is None:
            account.owed = max(0, account.owed - 1)
            account.owed_bytes = max(0, account.owed_bytes - len(row.stanza))
            error = StanzaError("internal-server-error", "this message cannot be stored")
            self._core.bounce(unpack_stanza(row.stanza), error)
        if new is False and row.stream:
            # A former holder stored it and died before its sender knew. What its sessions still have, or have acknowledged lately, is known to
            # be repeated before it comes here: so it was given to a session that has died with its edge, and is owed after all.
            self._store.owe_again(row, partial(self._kept, part, account, origin))
        else:
            self._kept(part, account, origin)

    def _kept(self, part: Part, account: Account, origin: Origin) -> None:
        if not account.relaxed:
            self._core.accept(part, origin)
        self._landed(part, account)

    def _landed(self, part: Part, account: Account) -> None:
        account.puts -= 1
        if part.live and not account.puts:
            self.on_committed(part, account)

    def settle(self, account: Account, rows: list[tuple[int, int]]) -> None:
        """These stored messages, (archive id, bytes), were written to a client: they are no longer owed."""
        account.owed = max(0, account.owed - len(rows))
        account.owed_bytes = max(0, account.owed_bytes - sum(size for _, size in rows)) if account.owed else 0
        self._settle(account, [row for row, _ in rows])

    def _settle(self, account: Account, ids: list[int]) -> None:
        if account.settled is None:
            account.settled = set()
        account.settled.update(ids)
        self._store.settle(account.id, ids)

    def settle_again(self, account: Account) -> None:
        """The former router may have died before it settled what its edges had written."""
        if account.id and account.settled:
            self._store.settle(account.id, account.settled)

    def after(self, done: Callable[[], None]) -> None:
        """Call `done` once everything is committed that was put before; at once when that is so."""
        self._store.after(done)

    # --- what the account sends --------------------------------------------------------------------------------------

    def sent(
        self,
        part: Part,
        account: Account,
        origin: Origin,
        stanza: Stanza,
        done: Callable[[Row, bool | None], None],
    ) -> tuple[Stanza, bool]:
        """Archive a message that the account's own client has sent; False when it is not to be archived.

        The message comes back as the account's other resources may see it: with its id (XEP-0313 section 3.5).
        """
        if not account.id or not offline_eligible(stanza) or not self._archived(account, stanza, stanza.to):
            return stanza, False
        row = make_row(
            account.id,
            part.ids.next(),
            origin.stream,
            origin.n,
            stanza,
            peer=stanza.to.partition("/")[0],
            outgoing=True,
            archived=True,
            owed=False,
            stamp=self._core.clock(),
        )
        self._store.put(row, done, part)
        if not account.resources.carbons:
            return stanza, True
        assert self.seal is not None
        return identified(stanza, account.id_prefix, self.seal.seal(account.id, row.id)), True

    # --- both --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _archived(account: Account, stanza: Stanza, peer: str) -> bool:
        """Whether a message that may be stored goes into the account's archive."""
        archiving = account.archiving
        return (archiving is None or archiving.wants(peer)) and archivable(stanza)

    @staticmethod
    def _row(part: Part, account: Account, parcel: Parcel, archived: bool, owed: bool) -> Row:
        stanza, origin, at, _, _, _ = parcel
        return make_row(
            account.id,
            part.ids.next(),
            origin.stream,
            origin.n,
            stanza,
            peer=stanza.from_.partition("/")[0],
            outgoing=False,
            archived=archived,
            owed=owed,
            stamp=at,
        )


def _ignore(part: Part, account: Account) -> None:
    pass
