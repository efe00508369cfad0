"""What is known of one room. `evolve` alone changes it."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from rookery.shared.bucket import Bucket
from rookery.shared.xeps.occupant_ids import NS as OCCUPANT_ID
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.room import nicks
from rookery.workers.muc.room.config import Config
from rookery.workers.muc.room.values import Affiliate, Affiliation, Hat, Role, Subject, Wanted

_NOBODY = Affiliate()
_EVERYTHING = Wanted()
#: Private messages of a room that are remembered.
_PRIVATES: Final = 512


class Seat:
    """One nick that is in use: all sessions under it are of one bare JID, and share role and affiliation."""

    __slots__ = ("affiliation", "key", "mark", "nick", "role", "room", "service_admin", "sessions", "shown")

    def __init__(self, room: str, nick: str, mark: bytes) -> None:
        #: The room's bare JID, which all its seats share.
        self.room = room
        self.nick = nick
        self.key = nicks.key(nick)
        #: The element of XEP-0421.
        self.mark = mark
        self.affiliation = Affiliation.NONE
        self.role = Role.NONE
        self.service_admin = False
        #: Whether everybody was told of it; else only moderators and itself.
        self.shown = False
        self.sessions: list[Occupant] = []

    @property
    def from_(self) -> str:
        """The occupant JID."""
        return f"{self.room}/{self.nick}"

    @property
    def bare(self) -> str:
        """Whose it is."""
        return self.sessions[0].bare

    @property
    def face(self) -> Occupant:
        """The session whose presence is shown: the highest priority, then what changed last."""
        sessions = self.sessions
        if len(sessions) == 1:
            return sessions[0]
        return max(sessions, key=lambda one: (one.priority, one.changed))


class Occupant:
    """One session in the room. `inner` and `payloads` are what its presence says itself."""

    __slots__ = (
        "_messages",
        "_presences",
        "bare",
        "changed",
        "codes",
        "full",
        "inner",
        "joined",
        "payloads",
        "priority",
        "seat",
        "shown",
        "stream",
        "wanted",
    )

    def __init__(self, full: str, seat: Seat) -> None:
        self.full = full
        self.bare = bare_of(full)
        self.seat = seat
        self.inner = b""
        self.payloads: tuple[tuple[str, str], ...] = ()
        self.priority = 0
        self.changed = 0.0
        #: Status codes of its entrance besides those that follow from the configuration.
        self.codes: tuple[int, ...] = ()
        self.wanted = _EVERYTHING
        #: The session of the user in which it is here (`Origin.stream`); empty for other servers', and where nobody knows.
        self.stream = b""
        #: The number that its presence had there with which it came in; what is not newer comes again, from a client that could not know.
        self.joined = 0
        #: Made when needed: most occupants only listen.
        self._messages: Bucket | None = None
        self._presences: Bucket | None = None
        #: Its presence as it is shown to most: with its real JID in a non-anonymous room, without in others. None until it is needed; the
        #: other form is for few, and made each time.
        self.shown: Stanza | None = None

    @property
    def nick(self) -> str:
        """Its nick."""
        return self.seat.nick

    @property
    def messages(self) -> Bucket:
        """How often it speaks."""
        if self._messages is None:
            self._messages = Bucket(0.0, 1 << 30, 0.0)
        return self._messages

    @property
    def presences(self) -> Bucket:
        """How often it changes its presence."""
        if self._presences is None:
            self._presences = Bucket(0.0, 1 << 30, 0.0)
        return self._presences

    def stale(self) -> None:
        """What is cached is not true any more."""
        self.shown = None


class State:
    """One room."""

    __slots__ = (
        "_moderators",
        "_owners",
        "affiliates",
        "card",
        "config",
        "exists",
        "hats",
        "jid",
        "joins",
        "large",
        "late",
        "locked",
        "occupants",
        "privates",
        "rehatted",
        "reserved",
        "seats",
        "spoke",
        "subject",
        "telling",
        "voices",
    )

    def __init__(self, jid: str) -> None:
        self.jid = jid
        #: Whether it was made; and whether its owner has not said yet what it shall be like (section 10.1).
        self.exists = False
        self.locked = False
        self.config = Config()
        self.subject = Subject()
        self.card = b""
        #: By URI; and nicks whose hats have just changed, of which nobody was told yet.
        self.hats: dict[str, Hat] = {}
        self.rehatted: list[Seat] = []
        #: Bare JIDs and domains.
        self.affiliates: dict[str, Affiliate] = {}
        #: Keys of reserved nicks -> whose.
        self.reserved: dict[str, str] = {}
        #: Roles that were given in a moderated room, which last (section 5.1).
        self.voices: dict[str, Role] = {}
        self.occupants: dict[str, Occupant] = {}
        self.seats: dict[str, Seat] = {}
        self.joins = Bucket(0.0, 1 << 30, 0.0)
        #: How many presences of newcomers may still be told; and whether somebody came in for whom that was too little.
        self.telling = Bucket(0.0, 1 << 30, 0.0)
        self.late = False
        #: More occupants than this are not all shown to everybody.
        self.large = 1 << 30
        #: When a bare JID spoke last, in slow mode.
        self.spoke: dict[str, float] = {}
        #: Private messages of late: (full JID that got it, key of the sender's nick, id). What comes back and is none of them was for all.
        self.privates: dict[tuple[str, str, str], None] = {}
        self._owners = 0
        self._moderators: Sequence[str] | None = None

    def wrote(self, full: str, key: str, id: str) -> None:
        """A private message goes to a session."""
        privates = self.privates
        privates[full, key, id] = None
        if len(privates) > _PRIVATES:
            del privates[next(iter(privates))]

    # --- asking ------------------------------------------------------------------------------------------------------

    def affiliate(self, bare: str) -> Affiliate:
        """The entry of a bare JID; that of its domain counts where it has none (section 9.2)."""
        entry = self.affiliates.get(bare)
        if entry is None or entry.affiliation is Affiliation.NONE:
            domain = self.affiliates.get(bare.rpartition("@")[2])
            if domain is not None and domain.affiliation is Affiliation.OUTCAST:
                return domain if entry is None else entry._replace(affiliation=Affiliation.OUTCAST)
        return _NOBODY if entry is None else entry

    def seat(self, nick: str) -> Seat | None:
        """Who has a nick now."""
        return self.seats.get(nicks.key(nick))

    def seats_of(self, bare: str) -> list[Seat]:
        """All nicks of a bare JID."""
        return [seat for seat in self.seats.values() if seat.sessions[0].bare == bare]

    def listed(self, affiliation: Affiliation) -> list[tuple[str, Affiliate]]:
        """All entries of an affiliation."""
        return [item for item in self.affiliates.items() if item[1].affiliation is affiliation]

    @property
    def owners(self) -> int:
        """How many owners there are."""
        return self._owners

    @property
    def moderators(self) -> Sequence[str]:
        """Full JIDs of those who see real JIDs in a semi-anonymous room; the same object while nothing changes."""
        found = self._moderators
        if found is None:
            moderator = Role.MODERATOR
            found = tuple([full for full, one in self.occupants.items() if one.seat.role is moderator])
            self._moderators = found
        return found

    @property
    def crowded(self) -> bool:
        """Whether there are so many that not everybody is shown to everybody."""
        return len(self.occupants) > self.large

    def sees(self, occupant: Occupant) -> bool:
        """Whether an occupant sees real JIDs."""
        return self.config.non_anonymous or occupant.seat.role is Role.MODERATOR

    # --- changing, for `evolve` and for what loads a room ------------------------------------------------------------

    def resplit(self) -> None:
        """Who moderates has changed."""
        self._moderators = None

    def set_affiliate(self, jid: str, entry: Affiliate) -> None:
        """Give a JID its entry; an empty one is removed."""
        former = self.affiliates.pop(jid, _NOBODY)
        if former.nick and self.reserved.get(nicks.key(former.nick)) == jid:
            del self.reserved[nicks.key(former.nick)]
        if entry.nick:
            self.reserved[nicks.key(entry.nick)] = jid
        if not entry.empty:
            self.affiliates[jid] = entry
        owner = Affiliation.OWNER
        self._owners += (entry.affiliation is owner) - (former.affiliation is owner)

    def stale(self) -> None:
        """How everybody is shown has changed."""
        for occupant in self.occupants.values():
            occupant.stale()

    def sit(self, occupant: Occupant) -> None:
        """A session takes its place."""
        occupant.seat.sessions.append(occupant)
        self.occupants[occupant.full] = occupant
        if occupant.seat.role is Role.MODERATOR:
            self._moderators = None

    def rise(self, occupant: Occupant) -> None:
        """A session leaves its place."""
        seat = occupant.seat
        if len(seat.sessions) == 1:
            # It stays in the seat itself, which is told of once more.
            self.seats.pop(seat.key, None)
        else:
            seat.sessions.remove(occupant)
        self.occupants.pop(occupant.full, None)
        if seat.role is Role.MODERATOR:
            self._moderators = None


def mark(secret: bytes, room: str, bare: str) -> bytes:
    """The element that names an occupant for good and hides who it is (XEP-0421 section 4)."""
    digest = hmac.digest(secret, f"{room}\0{bare}".encode(), "sha256").hex()
    return f"<occupant-id xmlns='{OCCUPANT_ID}' id='{digest}'/>".encode()
