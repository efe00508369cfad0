"""One stanza for many: presence for accounts, messages of a room for its occupants.

A recipient is a bare JID, which stands for an account as in a Route, or a full one, which stands for that resource alone. What its
sender numbered (a uid) is given once to each recipient, also when it comes again: from the bus after the loss of a process, or from
a sender that does not know who has it.
"""

from __future__ import annotations

from typing import Final

from rookery.router.account_cache import Accounts
from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import Parcel
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.delivery.rooms import Rooms
from rookery.router.delivery.route import Delivery
from rookery.router.partition import Part
from rookery.router.pushing import Pushing
from rookery.shared.bus.messages import NODE, ROOM, Fanout, Kind
from rookery.shared.xeps.blocking import matches
from rookery.shared.xmpp.errors import StanzaError

#: Messages that nobody keeps for a resource: they go to sessions as they are. Others have a fate of their own at each recipient.
_SPREAD: Final = frozenset({"groupchat", "headline"})

_Targets = list[tuple[Part, Session, str]]


class Fanouts:
    """Handles Fanout."""

    def __init__(
        self, core: Core, accounts: Accounts, pushing: Pushing, delivery: Delivery, rooms: Rooms
    ) -> None:
        self._core = core
        self._rooms = rooms
        self._accounts = accounts
        self._pushing = pushing
        self._delivery = delivery

    def on_fanout(self, part: Part, item: Fanout) -> None:
        """One stanza for recipients of any partitions of this process: one item leaves for each edge.

        Who has no session there gets nothing; a room learns of it by the error that a Route gets.
        """
        stanza = item.stanza
        elsewhere: dict[int, list[str]] = {}
        targets: _Targets = []
        room = item.origin.stream.startswith(ROOM)
        stream, n = item.origin.stream, item.origin.n
        # What a node tells again when its process was lost comes to nobody behind something newer.
        node = stream.startswith(NODE)
        partition_of = self._core.node.partition
        for to in item.recipients:
            bare = to.partition("/")[0]
            number = partition_of(bare)
            its = part if number == part.number else self._core.parts.get(number)
            if its is None:
                # From a process of the former version, which did not say what belongs to which partition.
                elsewhere.setdefault(number, []).append(to)
                continue
            account = its.accounts.get(bare)
            if room:
                self._occupant(its, account, to, item, targets)
            elif account is None or account.waiting is not None:
                self._later(its, account, bare, to, item)
            elif item.notify:
                self._interested(its, account, item, targets)
            elif not stream or (its.heard.next(stream, n, to) if node else its.heard.new(stream, n, to)):
                self._give(its, account, to, item, targets)
        if targets:
            parcel = Parcel(stanza, item.origin, self._core.clock())
            self._pushing.spread(parcel, targets)
        for number, recipients in elsewhere.items():
            self._core.bus.post(Kind.ROUTER, number, Fanout(stanza, recipients, item.origin, (), item.notify))
        if room:
            self._rooms.took(stanza.from_.partition("/")[0], item.origin)

    def _occupant(
        self, part: Part, account: Account | None, to: str, item: Fanout, targets: _Targets
    ) -> None:
        """A full JID that is in a room: that session, which gets it once and keeps it however far it is behind, or nobody.

        Nothing waits for an account's row: what comes from a room stays in order.
        """
        session = None if account is None else account.resources.by_resource.get(to.partition("/")[2])
        if account is None or session is None:
            self._core.absences.missed(part)
            self._absent(to, item)
        elif not session.occupies(item.origin.stream, item.stanza.from_):
            return
        elif session.hear(item.origin.stream, item.origin.n):
            if account.blocked is not None and self._refuses(account, item.stanza.from_):
                return
            targets.append((part, session, to))

    def _later(self, part: Part, account: Account | None, bare: str, to: str, item: Fanout) -> None:
        """An account that is loading, or that is not in the cache: then it has no sessions."""
        one = Fanout(item.stanza, (to,), item.origin, (), item.notify)
        if account is not None and account.waiting is not None:
            account.waiting.append((self.on_fanout, one))
        elif item.notify:
            return
        elif item.stanza.kind != "presence" and "/" not in to:
            self._accounts.ready(part, bare, self.on_fanout, one)
        else:
            self._absent(to, item)

    def _interested(self, part: Part, account: Account, item: Fanout, targets: _Targets) -> None:
        """A notification for those resources that want it (XEP-0163 section 4.3)."""
        stream, n = item.origin.stream, item.origin.n
        if self._refuses(account, item.stanza.from_):
            return
        for session in account.resources.by_resource.values():
            wants = session.wants
            if (
                wants is not None
                and item.notify in wants
                and session.presence is not None
                and part.told.new(session.stream, stream, n)
            ):
                targets.append((part, session, session.full))

    def _give(self, part: Part, account: Account, to: str, item: Fanout, targets: _Targets) -> None:
        """Find the sessions of a recipient; what is not spread gets its fate at once."""
        stanza = item.stanza
        if self._refuses(account, stanza.from_):
            self._absent(to, item)
            return
        _, _, resource = to.partition("/")
        if not resource and stanza.kind == "presence":
            targets.extend((part, session, to) for session in account.resources.available())
            return
        if not resource and stanza.type == "headline" and self._each(part, account, to, item, targets):
            return
        session = account.resources.by_resource.get(resource)
        if resource and session is None:
            self._absent(to, item)
        elif session is not None and stanza.type == "headline" and item.origin.stream.startswith(NODE):
            if _tells(part, session, item):
                targets.append((part, session, to))
        elif session is not None and (
            stanza.kind == "presence" or (stanza.type in _SPREAD and not session.behind)
        ):
            targets.append((part, session, to))
        else:
            self._alone(part, account, resource, to, item)

    @staticmethod
    def _each(part: Part, account: Account, to: str, item: Fanout, targets: _Targets) -> bool:
        """A headline for all resources that may have it (RFC 6121 section 8.5.2.1.1): nothing is kept of it. False: one has to wait for others."""
        if not account.id:
            return False
        sessions = account.resources.non_negative
        if item.origin.stream.startswith(NODE):
            targets.extend((part, session, to) for session in sessions if _tells(part, session, item))
            return True
        if any(session.behind for session in sessions):
            return False
        targets.extend((part, session, to) for session in sessions)
        return True

    def _alone(self, part: Part, account: Account, resource: str, to: str, item: Fanout) -> None:
        """A message that has its own fate at this recipient: a row, another resource, a place behind stored messages."""
        parcel = Parcel(item.stanza.replace(to=to), item.origin._replace(custodian=""), self._core.clock())
        try:
            self._delivery.message(part, account, resource, parcel)
        except StanzaError as error:
            self._core.bounce(parcel.stanza, error)

    def _absent(self, to: str, item: Fanout) -> None:
        """Nobody is there who may have it: a message comes back, as one by itself would (RFC 6121 section 8.5.3.2.1)."""
        if item.stanza.kind == "message" and item.stanza.type != "headline":
            self._core.bounce(item.stanza.replace(to=to), StanzaError("service-unavailable"))

    @staticmethod
    def _refuses(account: Account, sender: str) -> bool:
        blocked = account.blocked
        return blocked is not None and sender.partition("/")[0] != account.bare and matches(blocked, sender)


def _tells(part: Part, session: Session, item: Fanout) -> bool:
    """Whether a headline of a node goes to the session now: it was not told of this, nor of something newer. That it knows wherever it goes.

    It need not stay behind stored messages, since it belongs to no conversation; a session that is full misses it, since nothing is kept of it.
    """
    return not session.stalled and part.told.new(session.stream, item.origin.stream, item.origin.n)
