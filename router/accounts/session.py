"""One bound resource and what it has been sent: a pure machine.

A *session* numbers what it is sent densely from 1 and keeps it until the edge reports that it left the server, so that a lost
batch can be repeated, and so that what a dead session did not get finds another way: one fate.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from rookery.router.accounts.kept import OVERHEAD, Kept, Parcel
from rookery.router.accounts.postponed import Postponed
from rookery.router.accounts.resumable import Resumable
from rookery.shared.bus.messages import ROOM
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza

#: Live delivery to a session stops above this; its messages then go to the store until it has caught up.
MAX_KEPT: Final = 1000
MAX_KEPT_BYTES: Final = 1024 * 1024
#: Presence goes on longer, since a client that misses it stays wrong; above this the session is ended.
HARD_KEPT: Final = 16_384
HARD_KEPT_BYTES: Final = 4 * 1024 * 1024
#: Targets of directed presence that a session may have.
MAX_DIRECTED: Final = 1000

_new: Final = tuple.__new__


class Session:
    """One bound resource."""

    __slots__ = (
        "acked",
        "ahead",
        "behind",
        "copies",
        "directed",
        "edge",
        "full",
        "grant",
        "heard",
        "kept",
        "kept_bytes",
        "marks",
        "n",
        "noted",
        "own_first",
        "postponed",
        "presence",
        "priority",
        "resource",
        "resumable",
        "sid",
        "since",
        "stalled",
        "stream",
        "wants",
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
        #: What its client has acknowledged before it was committed, None for nothing.
        self.ahead: deque[Kept] | None = None
        #: The last available presence, None while unavailable (RFC 6121 section 4).
        self.presence: Stanza | None = None
        self.priority = 0
        #: Order in which resources became available.
        self.since = 0
        #: Names of nodes that its client wants notifications of (XEP-0163), None for none.
        self.wants: frozenset[str] | None = None
        #: What it asked to be told about: "interested", "blocklist" (registry `Forward.marks`).
        self.marks: tuple[str, ...] = ()
        #: Targets of directed presence that have not had unavailable yet, in order; and whether a room among them may have let the session
        #: in without this holder's knowing (see `forgotten`).
        self.directed: dict[str, bool] | None = None
        #: The highest number of each room's stream that it was given: what comes again is not given again.
        self.heard: dict[bytes, int] = {}
        #: True when messages must not be given directly: behind a flush of stored messages, or stalled.
        self.behind = False
        self.stalled = False
        #: What waits while its client is inactive (XEP-0352), None while it is active.
        self.postponed: Postponed | None = None
        #: What makes it resumable (XEP-0198); without a socket its `edge` is "".
        self.resumable: Resumable | None = None
        #: The note that its edge has.
        self.noted = b""
        #: Whether its edge sends everything as Submit (a block list must be checked).
        self.own_first = False
        #: Whether its edge posts a copy of each message (for the archive, for carbons).
        self.copies = False

    def give(self, parcel: Parcel, to: str = "") -> int:
        """Count a delivery and keep it; returns its number. `to` is "" or overrides the stanza's address."""
        self.n = n = self.n + 1
        self.kept.append(_new(Kept, (n, parcel, to)))
        self.kept_bytes += len(parcel.stanza.inner) + OVERHEAD
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
            _, (stanza, _, _, fate, _, _), _ = one
            self.kept_bytes -= len(stanza.inner) + OVERHEAD
            if fate is not None:
                fate.got = True
            gone.append(one)
        return gone

    def was_ahead(self, one: Kept, stored: int) -> None:
        """Its client has this message, whose row is not committed; everything up to the archive id `stored` is."""
        ahead = self.ahead
        if ahead is None:
            ahead = self.ahead = deque(maxlen=MAX_KEPT)
        while ahead and ahead[0].parcel.row <= stored:
            ahead.popleft()
        ahead.append(one)

    def not_stored(self, stored: int) -> list[Kept]:
        """What its client has acknowledged and is not committed; everything up to the archive id `stored` is."""
        left = [one for one in self.ahead or () if one.parcel.row > stored]
        self.ahead = deque(left, MAX_KEPT) if left else None
        return left

    def abandon(self) -> list[Kept]:
        """The session is dead: what it did not get and nobody else got or may still get, in order."""
        orphans = []
        for one in self.kept:
            fate = one.parcel.fate
            if fate is None:
                orphans.append(one)
            else:
                fate.holders -= 1
                if not fate.got and fate.holders == 0:
                    orphans.append(one)
        self.kept.clear()
        self.kept_bytes = 0
        return orphans

    def hear(self, stream: bytes, n: int) -> bool:
        """Whether number `n` of a room's stream is new to it; then it counts as given."""
        heard = self.heard
        if heard.get(stream, 0) >= n:
            return False
        if len(heard) >= MAX_DIRECTED and stream not in heard:
            # One of those that it has left: it is in fewer rooms than these.
            inside = {ROOM + bare_of(target).encode() for target in self.directed or ()}
            del heard[next((room for room in heard if room not in inside), next(iter(heard)))]
        heard[stream] = n
        return True

    def acknowledged(self) -> tuple[tuple[bytes, int], ...]:
        """(stream, number): the highest of each room that its client has, or will not be given again."""
        heard = dict(self.heard)
        for one in reversed(self.kept):
            origin = one.parcel.origin
            if origin.stream in heard:
                heard[origin.stream] = origin.n - 1
        return tuple(heard.items())

    def occupies(self, stream: bytes, said_by: str) -> bool:
        """Whether what `said_by` (a room or an occupant JID) says in the room's stream is for this session.

        A session that the room has not let in has only the full JID of an occupant that died: what that one did not get is not for it,
        also while its own entrance is under way.
        """
        if stream in self.heard:
            return True
        room = bare_of(said_by)
        return any(noted and bare_of(target) == room for target, noted in (self.directed or {}).items())

    def forgotten(self) -> None:
        """A former holder or its edge could not remember all rooms that it has heard: any that it wants to be in may be one of them."""
        self.directed = dict.fromkeys(self.directed or (), True) or None

    def enters(self, room: str) -> bool:
        """Whether it wants to be in the room that lets it in now."""
        return any(bare_of(target) == room for target in self.directed or ())

    def direct(self, target: str, available: bool) -> bool:
        """Remember a target of directed presence, or forget it after unavailable; False when there are too many."""
        directed = self.directed
        if not available:
            if directed is not None:
                directed.pop(target, None)
            return True
        if directed is None:
            self.directed = {target: False}
            return True
        if target not in directed and len(directed) >= MAX_DIRECTED:
            return False
        directed.setdefault(target, False)
        return True
