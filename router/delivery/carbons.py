"""Copies of messages for an account's other resources (XEP-0280).

Both sides are made by the account's own router: of what its clients send (from `Copy`, or from `Submit`), and of what is delivered to
it. A copy is numbered and kept like any delivery, but nobody else needs it: when its session ends it is dropped, never bounced.
"""

from __future__ import annotations

from collections.abc import Collection

from rookery.router.accounts.account import Account
from rookery.router.accounts.answerable import Answerable
from rookery.router.accounts.kept import Parcel
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.partition import CARBON, Part
from rookery.router.pushing import Pushing
from rookery.shared.bus.messages import NOBODY, Origin
from rookery.shared.xeps.carbons import eligible, wrap
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza


class Carbons:
    """Makes copies. Callers look first whether `account.resources.carbons` has anybody."""

    def __init__(self, core: Core, pushing: Pushing) -> None:
        self._core = core
        self._pushing = pushing

    @staticmethod
    def wanted(account: Account, session: Session) -> bool:
        """Whether copies of what this session sends are wanted by another one."""
        return any(one is not session for one in account.resources.carbons)

    def received(self, part: Part, account: Account, stanza: Stanza, got: Collection[Session]) -> None:
        """A message for the account was delivered to `got` (section 7): the others that want copies get one.

        A message of the account to itself is copied only here, as one that was sent: every resource then has it once.
        """
        own = bare_of(stanza.from_) == account.bare
        others = [
            one
            for one in account.resources.carbons
            if one not in got and not (own and one.full == stanza.from_)
        ]
        if others and (not own or "/" in stanza.from_):
            self._copy(part, account, NOBODY, stanza, others, sent=own)

    def sent(self, part: Part, account: Account, full: str, origin: Origin, stanza: Stanza) -> None:
        """A client of the account, bound as `full`, has sent a message to somebody else (section 8).

        The copies have its uid, so that the next holder of the partition makes none when the edge sends it again.
        """
        if bare_of(stanza.to) == account.bare or not stanza.to:
            return  # `received` sees it
        others = [one for one in account.resources.carbons if one.full != full]
        if others:
            self._copy(part, account, origin, stanza, others, sent=True)

    def _copy(
        self,
        part: Part,
        account: Account,
        origin: Origin,
        stanza: Stanza,
        others: Collection[Session],
        *,
        sent: bool,
    ) -> None:
        peer = bare_of(stanza.to if sent else stanza.from_)
        answerable = account.answerable
        answers = stanza.type == "error" and answerable is not None and answerable.has(peer, stanza.id)
        if not eligible(stanza, sent=sent, answers_eligible=answers):
            return
        if stanza.type != "error" and stanza.id:
            if answerable is None:
                answerable = account.answerable = Answerable()
            answerable.add(peer, stanza.id)
        copy = wrap(stanza, account.bare, sent=sent)
        uid = Origin(CARBON + origin.stream, origin.n, "") if origin.stream else NOBODY
        for session in others:
            # One that does not read has the archive to catch up from.
            if not session.stalled:
                self._core.count.copied += 1
                self._pushing.push(part, session, Parcel(copy.replace(to=session.full), uid), like=stanza)
