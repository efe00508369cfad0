"""Inactive clients (XEP-0352): what can wait is held back before it is numbered, and given when it matters.

It waits at most until something important comes, the client is active again, or there is too much of it. What is held back has no
copy anywhere; should this router die, its successor asks the contacts how they are.
"""

from __future__ import annotations

from rookery.router.accounts.account import Account
from rookery.router.accounts.postponed import Postponed
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.delivery.presence import Presence
from rookery.router.partition import Part
from rookery.router.pushing import Pushing
from rookery.shared.bus.messages import Broadcast, ClientState, Kind
from rookery.shared.xmpp.stanza import Stanza


class ClientStates:
    """Handles ClientState, and leaves at the edge what a successor needs."""

    def __init__(self, core: Core, pushing: Pushing, presence: Presence) -> None:
        self._core = core
        self._pushing = pushing
        self._presence = presence

    def on_state(self, part: Part, item: ClientState) -> None:
        """The client said that it is inactive, or active. Its edge repeats that to a successor."""
        bare, _, resource = item.full.partition("/")
        account = part.accounts.get(bare)
        session = None if account is None else account.resources.current(resource, item.grant)
        if account is None or session is None:
            return
        if item.active:
            self.activate(part, account, session)
        elif session.postponed is None:
            session.postponed = Postponed()
            self._presence.note(part, account, session)

    def activate(self, part: Part, account: Account, session: Session) -> None:
        """Active, as at the beginning and after a resumption (section 5.2): give what waits."""
        if session.postponed is not None:
            self._pushing.give_postponed(part, session)
            session.postponed = None
            self._presence.note(part, account, session)

    def tick(self) -> None:
        """Leave notes of what waits now; call about twice a second."""
        changed, self._pushing.postponed_lately = self._pushing.postponed_lately, {}
        for session, part in changed.items():
            account = part.accounts.get(session.full.partition("/")[0])
            if (
                part.live
                and account is not None
                and account.resources.by_resource.get(session.resource) is session
                and session.postponed is not None
                and session.postponed.untold()
            ):
                self._presence.note(part, account, session)

    def restored(self, part: Part, account: Account, session: Session) -> None:
        """A former router held presence back and is no more: tell who has gone, and ask how the others are."""
        postponed = session.postponed
        if (
            postponed is None
            or not postponed.lost
            or account.resources.current(session.resource, session.grant) is None
        ):
            return
        for sender in postponed.lost_gone:
            postponed.postpone(
                Stanza.build("presence", type="unavailable", from_=sender, to=session.full), ""
            )
        postponed.lost = False
        postponed.lost_gone = ()
        self._pushing.postponed_lately[session] = part
        if session.presence is not None:
            ask = Broadcast(account.bare, session.full, session.presence, initial=True, quiet=True)
            self._core.bus.post(Kind.PRESENCE, part.number, ask)
