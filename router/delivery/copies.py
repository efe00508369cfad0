"""The other leg of a message: what the sender's own router does with it - its row in the sender's archive, and carbons.

The edge posts `Copy` to here beside the `Route` to the addressee's router; what goes through the own router first (`Submit`) is copied
on its way. `Copied` is said after the commit, at once when nothing has to be stored.
"""

from __future__ import annotations

from functools import partial

from rookery.router.account_cache import Accounts
from rookery.router.accounts.account import Account
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.delivery.carbons import Carbons
from rookery.router.delivery.forged_marks import sift_sent
from rookery.router.keeping.rows import Keeping
from rookery.router.partition import Part
from rookery.shared.bus.messages import Copy, Origin
from rookery.shared.store.rows import Row
from rookery.shared.xmpp.stanza import Stanza


def wanted(account: Account, session: Session) -> bool:
    """Whether the session's edge has to post copies of what it sends."""
    archiving = account.archiving
    if archiving is None or archiving.fallback != "never" or archiving.always:
        return True
    return Carbons.wanted(account, session)


class Copies:
    """Handles Copy."""

    def __init__(self, core: Core, accounts: Accounts, keeping: Keeping, carbons: Carbons) -> None:
        self._core = core
        self._accounts = accounts
        self._keeping = keeping
        self._carbons = carbons

    def on_copy(self, part: Part, item: Copy) -> None:
        """A message that a client of an account of this partition has sent to somebody else."""
        account = self._accounts.ready(part, item.full.partition("/")[0], self.on_copy, item)
        if account is not None:
            self.take(part, account, item.origin, item.full, item.stanza)

    def take(self, part: Part, account: Account, origin: Origin, full: str, stanza: Stanza) -> None:
        """Archive it and make carbons, once; say so."""
        done = part.copied.state(origin.stream, origin.n)
        if done is not None:
            self._core.count.repeated += 1
            if done:
                self._core.copied(part, origin)
            return
        stanza = sift_sent(stanza, account.bare)
        shown, stored = self._keeping.sent(
            part, account, origin, stanza, partial(self._committed, part, origin)
        )
        if account.resources.carbons and part.wrapped.state(origin.stream, origin.n) is None:
            self._carbons.sent(part, account, full, origin, shown)
        if stored and not account.relaxed:
            part.copied.mark(origin.stream, origin.n, False)
        else:
            self._core.copied(part, origin)

    def _committed(self, part: Part, origin: Origin, row: Row, new: bool) -> None:
        if part.copied.state(origin.stream, origin.n) is not True:
            self._core.copied(part, origin)
