"""Stanzas that a worker gives to sessions of one account: roster pushes, and answers that are many stanzas."""

from __future__ import annotations

from rookery.router.accounts.kept import Parcel, plain
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.delivery.rooms import Rooms
from rookery.router.partition import Part
from rookery.router.pushing import Pushing
from rookery.shared.bus.messages import ToResources, ToSession
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of


class FromWorkers:
    """Handles ToResources and ToSession."""

    def __init__(self, core: Core, pushing: Pushing, rooms: Rooms) -> None:
        self._core = core
        self._pushing = pushing
        self._rooms = rooms

    def on_to_resources(self, part: Part, item: ToResources) -> None:
        """Give a stanza to some of an account's resources (roster pushes, subscription requests)."""
        account = part.accounts.get(item.account)
        if account is None:
            return
        for session in list(account.resources.by_resource.values()):
            if self._meant(session, item.which):
                stanza = item.stanza
                # Presence that was sent to the bare JID keeps that address (RFC 6121 section 8.5.2.1.2).
                if stanza.kind != "presence" or not stanza.to:
                    stanza = stanza.replace(to=session.full)
                if stanza.kind == "iq" and stanza.type == "set":
                    stanza = stanza.replace(id=f"{session.grant:x}-{session.n + 1:x}")
                self._pushing.push(part, session, plain(stanza))

    def on_to_session(self, part: Part, item: ToSession) -> None:
        """The answer of a worker that is many stanzas. A session that does not read gets an error instead of the last one."""
        _, session = part.known(item.full)
        if item.origin.stream:
            self._from_room(part, session, item)
            return
        if session is None or item.grant not in (0, session.grant):
            return
        stanzas = item.stanzas
        last = stanzas[-1] if stanzas else None
        if session.overfull and last is not None and last.kind == "iq" and last.type == "result":
            # An error goes the other way than the result that it takes the place of.
            request = last.replace(to=last.from_, from_=last.to)
            stanzas = (request.error(StanzaError("resource-constraint", "read what you were sent first")),)
        for stanza in stanzas:
            self._pushing.push(part, session, plain(stanza))

    def _from_room(self, part: Part, session: Session | None, item: ToSession) -> None:
        """What a room tells one occupant: its presence, what was said before."""
        origin = item.origin
        first = item.stanzas[0].from_
        if session is None:
            self._core.absences.missed(part)
        elif self._meant_for(session, item) and session.hear(origin.stream, origin.n):
            for stanza in item.stanzas:
                self._pushing.push(part, session, Parcel(stanza, origin))
        self._rooms.took(first.partition("/")[0], origin)

    @staticmethod
    def _meant_for(session: Session, item: ToSession) -> bool:
        if item.entrance and item.stream and item.stream != session.stream:
            return False  # (a former session of this full JID was let in; this one is on its way)
        first = item.stanzas[0].from_
        return session.occupies(item.origin.stream, first) or (
            item.entrance and session.enters(bare_of(first))
        )

    @staticmethod
    def _meant(session: Session, which: str) -> bool:
        if which == "all":
            return True
        if which == "available":
            return session.presence is not None
        return which in session.marks or which == session.full
