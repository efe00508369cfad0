"""The bound resources of one bare JID, and what each of them has been sent: a pure machine.

A *session* is one bound resource. It numbers what it is sent densely from 1 and keeps it until the edge reports that it
left the server, so that a lost batch can be repeated, and so that what a dead session did not get finds another way: one fate.
`Resources` holds the sessions of an account and knows who is "most available" (RFC 6121 section 8.5).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from rookery.router.rules import MISS, Case
from rookery.shared.xeps.carbons import MARK as CARBONS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

if TYPE_CHECKING:
    from rookery.router.held import HeldBack
    from rookery.router.resumable import Resumable

#: Live delivery to a session stops above this; its messages then go to the store until it has caught up.
MAX_KEPT: Final = 1000
MAX_KEPT_BYTES: Final = 1024 * 1024
#: Presence goes on longer, since a client that misses it stays wrong; above this the session is ended.
HARD_KEPT: Final = 16_384
HARD_KEPT_BYTES: Final = 4 * 1024 * 1024
#: What a kept stanza weighs besides its content.
OVERHEAD: Final = 256
#: Targets of directed presence that a session may have.
MAX_DIRECTED: Final = 1000

#: Stands for the content of a delivery that a former router made: only its number and uid are known.
GONE: Final = Stanza("", "", "", "", "", "", (), (), b"")

Policy = Literal["replace", "generate", "refuse"]
_new: Final = tuple.__new__


class Fate:
    """One message that several sessions were given: when one has got it, it needs no other way."""

    __slots__ = ("got", "holders")

    def __init__(self, holders: int) -> None:
        self.holders = holders
        self.got = False


class Kept(NamedTuple):
    """A delivery that the edge has not reported as gone out.

    (stream, origin_n) is its uid; one that offline delivery brings has the stream b"" and its archive id. `to` is "" or overrides the
    stanza's address. `at` is when it arrived, in Unix seconds. `row` is the archive id of what is stored, else 0; `owed` when
    its row says that nobody has got it.
    """

    n: int
    stanza: Stanza
    to: str
    stream: bytes
    origin_n: int
    at: float
    fate: Fate | None
    row: int = 0
    owed: bool = False

    @property
    def flushed(self) -> bool:
        """Whether offline delivery brought it: it is still owed when its session ends."""
        return self.owed and not self.stream


class Session:
    """One bound resource."""

    __slots__ = (
        "acked",
        "behind",
        "copies",
        "directed",
        "edge",
        "full",
        "grant",
        "held",
        "kept",
        "kept_bytes",
        "marks",
        "n",
        "noted",
        "own_first",
        "presence",
        "priority",
        "resource",
        "resumable",
        "sid",
        "since",
        "stalled",
        "stream",
    )

    def __init__(self, full: str, grant: int, edge: str, sid: int, stream: bytes) -> None:
        self.full = full
        self.resource = full.partition("/")[2]
        self.grant = grant
        self.edge = edge
        self.sid = sid
        self.stream = stream
        self.n = 0
        self.acked = 0
        self.kept: deque[Kept] = deque()
        self.kept_bytes = 0
        #: The last available presence, None while unavailable (RFC 6121 section 4).
        self.presence: Stanza | None = None
        self.priority = 0
        #: Order in which resources became available.
        self.since = 0
        #: What it asked to be told about: "interested", "blocklist" (registry `Forward.marks`).
        self.marks: tuple[str, ...] = ()
        #: Targets of directed presence that have not had unavailable yet, in order.
        self.directed: dict[str, None] | None = None
        #: True when messages must not be given directly: behind a flush of stored messages, or stalled.
        self.behind = False
        self.stalled = False
        #: What waits while its client is inactive (XEP-0352), None while it is active.
        self.held: HeldBack | None = None
        #: What makes it resumable (XEP-0198); without a socket its `edge` is "".
        self.resumable: Resumable | None = None
        #: The note that its edge has.
        self.noted = b""
        #: Whether its edge sends everything as Submit (a block list must be checked).
        self.own_first = False
        #: Whether its edge posts a copy of each message (for the archive, for carbons).
        self.copies = False

    def give(
        self,
        stanza: Stanza,
        stream: bytes,
        origin_n: int,
        at: float,
        to: str = "",
        fate: Fate | None = None,
        row: int = 0,
        owed: bool = False,
    ) -> int:
        """Count a delivery and keep it; returns its number."""
        self.n = n = self.n + 1
        # Kept's own constructor is a Python function around this call; so are those of all NamedTuples.
        self.kept.append(_new(Kept, (n, stanza, to, stream, origin_n, at, fate, row, owed)))
        self.kept_bytes += len(stanza.inner) + OVERHEAD
        return n

    @property
    def full_up(self) -> bool:
        """Whether live delivery of messages must stop."""
        return len(self.kept) >= MAX_KEPT or self.kept_bytes >= MAX_KEPT_BYTES

    @property
    def overfull(self) -> bool:
        """Whether long answers must stop: an edge reports what has gone out only ten times a second."""
        return len(self.kept) * 2 >= HARD_KEPT or self.kept_bytes * 2 >= HARD_KEPT_BYTES

    @property
    def overrun(self) -> bool:
        """Whether the session must be ended."""
        return len(self.kept) >= HARD_KEPT or self.kept_bytes >= HARD_KEPT_BYTES

    @property
    def caught_up(self) -> bool:
        """Whether it has drained far enough to be given more (half, so that it does not flap)."""
        return len(self.kept) * 2 <= MAX_KEPT and self.kept_bytes * 2 <= MAX_KEPT_BYTES

    def ack(self, n: int) -> list[Kept]:
        """The edge reports everything up to `n` as gone out: what is no longer kept. Numbers never sent are ignored."""
        if n <= self.acked or n > self.n:
            return []
        self.acked = n
        gone = []
        kept = self.kept
        while kept and kept[0].n <= n:
            one = kept.popleft()
            self.kept_bytes -= len(one.stanza.inner) + OVERHEAD
            if one.fate is not None:
                one.fate.got = True
            gone.append(one)
        return gone

    def abandon(self) -> list[Kept]:
        """The session is dead: what it did not get and nobody else got or may still get, in order."""
        orphans = []
        for one in self.kept:
            fate = one.fate
            if fate is None:
                orphans.append(one)
            else:
                fate.holders -= 1
                if not fate.got and fate.holders == 0:
                    orphans.append(one)
        self.kept.clear()
        self.kept_bytes = 0
        return orphans

    def direct(self, target: str, available: bool) -> bool:
        """Remember a target of directed presence, or forget it after unavailable; False when there are too many."""
        directed = self.directed
        if not available:
            if directed is not None:
                directed.pop(target, None)
            return True
        if directed is None:
            self.directed = {target: None}
            return True
        if target not in directed and len(directed) >= MAX_DIRECTED:
            return False
        directed[target] = None
        return True


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
