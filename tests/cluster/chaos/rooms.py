"""The judge over rooms: what was said, who heard it, in which order, and who was put out. No I/O and no clock of its own.

A *stay* is one session of one client in one room: from the presence with code 110 until that session ends. All that is promised is promised to
stays: whoever is in when a message is said hears it once, all hear the same order, and nobody is told that somebody left who did not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: An unavailable presence is true when a session of that client ended so long before, in seconds: ghosts may stay for a minute.
GHOST_SECONDS = 90.0


class Spoken(NamedTuple):
    """One numbered message to a room, by client `sender`."""

    room: int
    sender: int
    n: int

    @property
    def name(self) -> str:
        """As it stands in its body."""
        return f"{self.room}:{self.sender}:{self.n}"


class Fate:
    """What became of a message. Times are the loop's, 0.0 for "not yet"."""

    __slots__ = ("acked", "bounced", "chain", "first", "last", "sent", "spoken", "void", "written")

    def __init__(self, spoken: Spoken, chain: int, now: float) -> None:
        self.spoken = spoken
        self.chain = chain
        self.sent = now
        self.written = now
        self.acked = 0.0
        self.bounced = ""
        self.void = False
        #: When the first and the last occupant heard it.
        self.first = 0.0
        self.last = 0.0


class Stay:
    """One session in one room."""

    __slots__ = ("chain", "client", "ended", "entered", "heard", "nicks", "room", "times")

    def __init__(self, client: int, chain: int, room: int, now: float) -> None:
        self.client = client
        self.chain = chain
        self.room = room
        self.entered = now
        self.ended = 0.0
        self.heard: list[Spoken] = []
        #: When each was heard, and whether as history.
        self.times: list[tuple[float, bool]] = []
        #: Who it believes to be in.
        self.nicks: set[int] = set()


class Event(NamedTuple):
    """Somebody was told something that must be judged at the end."""

    at: float
    client: int
    room: int
    what: str
    about: int
    chain: int


class RoomVerdict(NamedTuple):
    """Each of these must be empty; the figures follow."""

    lost: Sequence[str]
    doubled: Sequence[str]
    turned: Sequence[str]
    missing_in_archive: Sequence[str]
    put_out: Sequence[str]
    untrue: Sequence[str]
    never_acked: Sequence[str]
    bounced: Sequence[str]
    spoken: int = 0
    deliveries: int = 0
    stays: int = 0
    #: Seconds from the moment at which a message was written, and its hearer connected, until it was heard.
    gap_p99: float = 0.0
    gap_longest: float = 0.0

    @property
    def zero(self) -> bool:
        """Whether the promise was kept."""
        return not any(self[:8])


class RoomBook:
    """All that clients saw of rooms."""

    def __init__(self) -> None:
        self.fates: dict[Spoken, Fate] = {}
        self.stays: dict[tuple[int, int, int], Stay] = {}
        self.events: list[Event] = []
        self.gaps: list[float] = []
        #: When the run began: times are told from there.
        self.started = 0.0
        #: When sessions of a client have ended.
        self._ends: dict[int, list[float]] = {}
        self._open: list[Fate] = []

    # --- what happens ---

    def said(self, spoken: Spoken, chain: int, now: float) -> Fate:
        """A client has made a message."""
        fate = self.fates[spoken] = Fate(spoken, chain, now)
        self._open.append(fate)
        return fate

    def entered(self, client: int, chain: int, room: int, now: float) -> None:
        """A room has told a session that it is in."""
        if (client, chain, room) not in self.stays:
            self.stays[(client, chain, room)] = Stay(client, chain, room, now)

    def stay(self, client: int, chain: int, room: int) -> Stay | None:
        """The stay of a session."""
        return self.stays.get((client, chain, room))

    def heard(self, stay: Stay, spoken: Spoken, now: float, up: float, delayed: bool) -> None:
        """A message has come; `up`: since when its hearer is connected. One of the history is in the order, too."""
        stay.heard.append(spoken)
        stay.times.append((now, delayed))
        fate = self.fates.get(spoken)
        if fate is None:
            self.tell(now, stay.client, stay.room, f"heard {spoken.name}, which nobody said", stay.client, 0)
            return
        if not delayed:
            fate.first = fate.first or now
            fate.last = now
            self.gaps.append(now - max(fate.written, up))

    def ended(self, client: int, chain: int, now: float) -> None:
        """A session has ended, whoever ended it."""
        self._ends.setdefault(client, []).append(now)
        for (whose, which, _), stay in self.stays.items():
            if whose == client and which == chain:
                stay.ended = now
        for fate in self._open:
            if fate.spoken.sender == client and fate.chain == chain and not fate.acked:
                fate.void = True

    def tell(self, at: float, client: int, room: int, what: str, about: int, chain: int) -> None:
        """`client` was told something about client `about`, whose session was then `chain`."""
        self.events.append(Event(at, client, room, what, about, chain))

    # --- the verdict ---

    def settled(self) -> bool:
        """Whether everything is acknowledged and heard, or will never be."""
        self._open = [fate for fate in self._open if not (fate.acked or fate.void)]
        return not self._open and not any(True for _ in self._unheard(self._live()))

    def _live(self) -> list[Stay]:
        return [stay for stay in self.stays.values() if not stay.ended]

    def _unheard(self, stays: Iterable[Stay]) -> Iterable[str]:
        by_room: dict[int, list[Fate]] = {}
        for fate in self.fates.values():
            if fate.acked and not fate.bounced:
                by_room.setdefault(fate.spoken.room, []).append(fate)
        for stay in stays:
            heard = set(stay.heard)
            for fate in by_room.get(stay.room, ()):
                if fate.sent > stay.entered and fate.spoken not in heard:
                    yield f"{self._about(fate.spoken)}, by client {stay.client} in chain {stay.chain}"

    def _about(self, spoken: Spoken) -> str:
        fate = self.fates.get(spoken)
        if fate is None:
            return f"{spoken.name}, which nobody said"
        acked = f"{fate.acked - self.started:.2f} s" if fate.acked else "never"
        return (
            f"{spoken.name} of chain {fate.chain}, sent {fate.sent - self.started:.2f} s, acknowledged {acked},"
            f" heard {max(0.0, fate.first - self.started):.2f} s"
        )

    def verdict(self, archives: dict[int, list[Spoken]] | None, nicks: bool = True) -> RoomVerdict:
        """Judge. `archives`: what each room's archive has, in its order; None when it could not be asked. `nicks`: also who believes whom to
        be in, which is true only when all is quiet.
        """
        fates = list(self.fates.values())
        acked = [fate for fate in fates if fate.acked and not fate.bounced]
        stored = {} if archives is None else archives
        places = {room: {spoken: at for at, spoken in enumerate(rows)} for room, rows in stored.items()}
        missing = (
            ["the archive could not be asked"]
            if archives is None and fates
            else [f.spoken.name for f in acked if f.spoken not in places.get(f.spoken.room, {})]
        )
        missing += [
            f"{rows[at].name} twice"
            for room, rows in stored.items()
            for at in range(len(rows))
            if places[room][rows[at]] != at
        ]
        gaps = sorted(self.gaps)
        return RoomVerdict(
            lost=list(self._unheard(self._live())),
            doubled=[text for stay in self.stays.values() for text in _doubled(stay, self.started)],
            turned=[
                f"{self._about(spoken)}, by client {stay.client} in chain {stay.chain}"
                for stay in self.stays.values()
                for spoken in _turned(stay, places.get(stay.room, {}))
            ],
            missing_in_archive=missing,
            put_out=[self._told(one) for one in self.events if one.about == one.client],
            untrue=[*self._untrue(), *(self._strangers() if nicks else ())],
            never_acked=[fate.spoken.name for fate in fates if not fate.acked and not fate.void],
            bounced=[f"{fate.spoken.name} {fate.bounced}" for fate in fates if fate.bounced],
            spoken=len(fates),
            deliveries=sum(len(stay.heard) for stay in self.stays.values()),
            stays=len(self.stays),
            gap_p99=gaps[-1 - len(gaps) // 100] if gaps else 0.0,
            gap_longest=gaps[-1] if gaps else 0.0,
        )

    def _untrue(self) -> Iterable[str]:
        """Somebody was said to have left whose session went on, and none of whose sessions had ended shortly before."""
        for one in self.events:
            if one.about != one.client:
                ends = self._ends.get(one.about, ())
                if not any(end >= one.at - GHOST_SECONDS for end in ends):
                    yield self._told(one)

    def _told(self, one: Event) -> str:
        at = one.at - self.started
        return f"{at:.2f}: client {one.client} in room {one.room}: {one.what} (client {one.about})"

    def _strangers(self) -> Iterable[str]:
        """Who sees somebody who is not in, or does not see somebody who is."""
        inside: dict[int, set[int]] = {}
        for stay in self._live():
            inside.setdefault(stay.room, set()).add(stay.client)
        for stay in self._live():
            for nick in sorted(stay.nicks ^ inside[stay.room]):
                how = "a ghost" if nick in stay.nicks else "not seen"
                yield f"client {nick} is {how} for client {stay.client} in room {stay.room}"


def _doubled(stay: Stay, started: float) -> Iterable[str]:
    seen: dict[Spoken, tuple[float, bool]] = {}
    for spoken, when in zip(stay.heard, stay.times, strict=True):
        if spoken in seen:
            times = " and ".join(
                f"at {at - started:.2f} s{' as history' * delayed}" for at, delayed in (seen[spoken], when)
            )
            yield f"{spoken.name} for client {stay.client} in chain {stay.chain}, in since {stay.entered - started:.2f} s, {times}"
        seen[spoken] = when


def _turned(stay: Stay, places: dict[Spoken, int]) -> Iterable[Spoken]:
    """Each sender's messages in their order, and all of them in that of the archive: so it is one order for everybody."""
    last: dict[int, int] = {}
    before = -1
    seen: set[Spoken] = set()
    for spoken in stay.heard:
        if spoken in seen:
            continue
        seen.add(spoken)
        at = places.get(spoken, before)
        if spoken.n < last.get(spoken.sender, 0) or at < before:
            yield spoken
        last[spoken.sender] = max(spoken.n, last.get(spoken.sender, 0))
        before = max(before, at)
