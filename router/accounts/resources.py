"""The bound resources of one bare JID: who they are, and who is "most available" (RFC 6121 section 8.5). A pure machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from rookery.router.accounts.session import Session
from rookery.router.rules import MISS, Case
from rookery.shared.xeps.carbons import MARK as CARBONS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

Policy = Literal["replace", "generate", "refuse"]


class Binding(NamedTuple):
    """Outcome of a bind: the new session, and the one whose resource it took."""

    session: Session
    replaced: Session | None


class Resources:
    """The sessions of one account."""

    __slots__ = ("best", "by_resource", "carbons", "case", "non_negative", "ties")

    def __init__(self, ties: Literal["all", "latest"]) -> None:
        self.by_resource: dict[str, Session] = {}
        self.ties = ties
        #: How the account stands for a bare JID: NONE, NEGATIVE or SOME.
        self.case = Case.NONE
        self.best: tuple[Session, ...] = ()
        self.non_negative: tuple[Session, ...] = ()
        #: Those that want copies of messages (XEP-0280).
        self.carbons: tuple[Session, ...] = ()

    def __len__(self) -> int:
        return len(self.by_resource)

    @property
    def miss(self) -> Case:
        """How the account stands for a full JID that is not bound."""
        return MISS[self.case]

    def available(self) -> list[Session]:
        """Sessions that have sent available presence."""
        return [session for session in self.by_resource.values() if session.presence is not None]

    def bind(
        self,
        bare: str,
        wanted: str,
        grant: int,
        edge: str,
        sid: int,
        stream: bytes,
        *,
        policy: Policy,
        limit: int,
        generate: Callable[[], str],
    ) -> Binding:
        """Bind a resource (RFC 6120 section 7.7); `generate` makes names for a client that leaves the choice to us.

        A stream that asks again for its own binding (its first request had no answer) replaces it silently with a new grant.
        Raises StanzaError: conflict, resource-constraint.
        """
        for old in self.by_resource.values():
            if old.stream == stream and stream:
                self.remove(old)
                return Binding(self._add(f"{bare}/{old.resource}", grant, edge, sid, stream), old)
        holder = self.by_resource.get(wanted) if wanted else None
        if holder is not None and policy == "refuse":
            raise StanzaError("conflict", "the resource is in use")
        if holder is None or policy == "generate":
            if len(self.by_resource) >= limit:
                raise StanzaError("resource-constraint", "too many resources are connected")
            if holder is not None or not wanted:
                holder = None
                wanted = generate()
                while wanted in self.by_resource:
                    wanted = generate()
        if holder is not None:
            self.remove(holder)
        return Binding(self._add(f"{bare}/{wanted}", grant, edge, sid, stream), holder)

    def _add(self, full: str, grant: int, edge: str, sid: int, stream: bytes) -> Session:
        session = Session(full, grant, edge, sid, stream)
        self.by_resource[session.resource] = session
        return session

    def restore(self, session: Session) -> Session | None:
        """Take a session that an edge mirrored; the higher grant keeps the resource. Returns the loser, if any."""
        other = self.by_resource.get(session.resource)
        if other is not None and other.grant >= session.grant:
            return session
        self.by_resource[session.resource] = session
        self._recount()
        return other

    def current(self, resource: str, grant: int) -> Session | None:
        """The session of that resource when `grant` is its current grant."""
        session = self.by_resource.get(resource)
        return session if session is not None and session.grant == grant else None

    def remove(self, session: Session) -> bool:
        """The session is gone; False when its resource is another's now."""
        if self.by_resource.get(session.resource) is not session:
            return False
        del self.by_resource[session.resource]
        self._recount()
        return True

    def set_presence(self, session: Session, presence: Stanza | None, priority: int) -> bool:
        """Store available presence, or None for unavailable; True when this is initial presence (RFC 6121 section 4.2)."""
        initial = session.presence is None and presence is not None
        session.presence = presence
        session.priority = priority
        if initial:
            session.since = 1 + max((one.since for one in self.by_resource.values()), default=0)
        self._recount()
        return initial

    def mark(self, session: Session, mark: str, on: bool) -> bool:
        """Remember or forget that a session asked for something; True when that is a change."""
        if (mark in session.marks) is on:
            return False
        if on:
            session.marks = (*session.marks, mark)
        else:
            session.marks = tuple(one for one in session.marks if one != mark)
        self._recount()
        return True

    def _recount(self) -> None:
        available = self.available()
        self.carbons = tuple(session for session in self.by_resource.values() if CARBONS in session.marks)
        non_negative = tuple(session for session in available if session.priority >= 0)
        self.non_negative = non_negative
        if not non_negative:
            self.best = ()
            self.case = Case.NEGATIVE if available else Case.NONE
            return
        self.case = Case.SOME
        top = max(session.priority for session in non_negative)
        best = tuple(session for session in non_negative if session.priority == top)
        if len(best) > 1 and self.ties == "latest":
            best = (max(best, key=lambda session: session.since),)
        self.best = best
