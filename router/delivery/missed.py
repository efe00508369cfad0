"""What clients miss that want to be notified while they are away (XEP-0357): told to the holder of the account's nodes.

A client is away when its resource has no session, or one without a socket. An inactive client (XEP-0352) has its socket, and gets the
message by it. Accounts without such clients cost one look at `Account.pushes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import Kept
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.shared.bus.messages import Kind, Missed, NoLongerAway
from rookery.shared.xeps import push
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.stanza import Stanza

#: Characters of a message that an app server is told.
MAX_BODY: Final = 1000


class Misses:
    """Tells what is missed."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._options = core.node.config.options(push.Options)

    # --- messages ----------------------------------------------------------------------------------------------------

    def message(self, account: Account, stanza: Stanza) -> None:
        """A message has come for the account, and was not sent back."""
        away = self._away(account)
        if away and (worth := push.worth(stanza)) is not None:
            self._tell(account, away, 1, stanza, worth)

    @staticmethod
    def _away(account: Account) -> list[str]:
        found = []
        for resource in account.pushes or ():
            session = account.resources.by_resource.get(resource)
            if session is None or not session.edge:
                found.append(resource)
        return found

    def unread(self, account: Account, session: Session, kept: Iterable[Kept]) -> None:
        """The socket of a session is gone, and these have not been acknowledged."""
        if account.pushes is None or session.resource not in account.pushes:
            return
        now = account.resources.by_resource.get(session.resource)
        if now is not None and now is not session and now.edge:
            return  # its client has come anew
        count = 0
        last: tuple[Stanza, push.Worth] | None = None
        urgent = False
        for one in kept:
            worth = self._worth(account, session, one.parcel.stanza)
            if worth is not None:
                count += 1
                urgent = urgent or worth.urgent
                last = one.parcel.stanza, worth
        if last is not None:
            self._tell(account, (session.resource,), count, last[0], last[1]._replace(urgent=urgent))

    def in_room(self, part: Part, session: Session, stanza: Stanza) -> None:
        """A message of a room was kept for a session that has no socket."""
        account = part.accounts.get(session.full.partition("/")[0])
        if account is None or account.pushes is None or session.resource not in account.pushes:
            return
        worth = self._worth(account, session, stanza)
        if worth is not None:
            self._tell(account, (session.resource,), 1, stanza, worth)

    @staticmethod
    def _worth(account: Account, session: Session, stanza: Stanza) -> push.Worth | None:
        if stanza.kind != "message":
            return None
        if stanza.type != "groupchat":
            return push.worth(stanza)
        room = stanza.from_.partition("/")[0]
        nick = ""
        for target in session.directed or ():
            place, _, named = target.partition("/")
            if place == room:
                nick = named
        if not nick or stanza.from_ == f"{room}/{nick}":
            return None
        return push.Worth() if push.mentions(stanza, nick, account.bare) else None

    def _tell(
        self, account: Account, resources: Sequence[str], count: int, stanza: Stanza, worth: push.Worth
    ) -> None:
        options = self._options
        body = options.placeholder
        if options.body and not worth.encrypted and not worth.urgent:
            element = stanza.find(ns.CLIENT, "body")
            body = body if element is None else element.text[:MAX_BODY]
        sender = stanza.from_ if options.sender else ""
        item = Missed(account.bare, tuple(resources), count, sender, body, worth.urgent)
        self._core.post(Kind.PUBSUB, account.bare, item)

    # --- clients -----------------------------------------------------------------------------------------------------

    def back(self, account: Account, session: Session) -> None:
        """The client of a session is there, or there again."""
        if account.pushes is not None and session.resource in account.pushes:
            self._core.post(Kind.PUBSUB, account.bare, NoLongerAway(account.bare, session.resource))
