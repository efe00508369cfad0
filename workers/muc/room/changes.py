"""Everything that can happen to a room. Features decide on these; `evolve` makes them true; `render` tells the occupants."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.outs import Note, Out, Tombstone
from rookery.workers.muc.room.config import Config
from rookery.workers.muc.room.state import Occupant, Seat
from rookery.workers.muc.room.values import Affiliate, Affiliation, Ending, Hat, Role, Subject, Wanted


class Created(NamedTuple):
    """The room is there; `owner` (a bare JID) made it. `locked`: nobody else comes in before it is configured (section 10.1)."""

    owner: str
    config: Config
    locked: bool
    at: float


class Entered(NamedTuple):
    """A session takes its seat."""

    occupant: Occupant


class Synchronized(NamedTuple):
    """A session that is in asks to be told all again (section 7.2.1)."""

    occupant: Occupant
    wanted: Wanted


class Moved(NamedTuple):
    """A session that is in was replaced by another one of the same full JID; `joined`: the number of its presence there."""

    occupant: Occupant
    stream: bytes
    joined: int


class Showed(NamedTuple):
    """A session has another presence: what it says itself."""

    occupant: Occupant
    inner: bytes
    payloads: tuple[tuple[str, str], ...]
    priority: int
    at: float


class Renamed(NamedTuple):
    """A nick changes, with all sessions under it (section 7.6). `said` is the presence that asked for it."""

    said: Showed
    former: Seat
    nick: str
    codes: tuple[int, ...] = ()


class Left(NamedTuple):
    """A session is in no more. `quiet`: only it is told, since other sessions under its nick follow."""

    occupant: Occupant
    ending: Ending
    quiet: bool = False


class RoleGiven(NamedTuple):
    """All sessions of a nick have another role. `actor` is a nick. `lasts`: it is remembered for the next visit."""

    occupant: Occupant
    role: Role
    former: Role
    actor: str = ""
    reason: str = ""
    lasts: bool = False


class AffiliationGiven(NamedTuple):
    """The entry of a bare JID or domain changes. `removes`: occupants who have it go, and are not told of before."""

    jid: str
    entry: Affiliate
    former: Affiliation
    actor: str = ""
    removes: bool = False
    #: Which roles its nicks had: key -> role.
    roles: Mapping[str, Role] = MappingProxyType({})


class Spoke(NamedTuple):
    """A message to all. `archived`: the archive keeps it; `counts`: slow mode counts it."""

    occupant: Occupant
    stanza: Stanza
    archived: bool
    durable: bool
    at: float
    counts: bool = False


class SubjectSet(NamedTuple):
    """The room has another subject; `stanza` says so to all."""

    occupant: Occupant
    subject: Subject
    stanza: Stanza


class Configured(NamedTuple):
    """The room has another configuration; it is open from now on."""

    config: Config
    former: Config


class CardSet(NamedTuple):
    """The room has another vCard (XEP-0486): canonical XML, b"" for none."""

    card: bytes


class HatsSet(NamedTuple):
    """The room has another list of hats, by URI; nobody wears what is not in it."""

    hats: Mapping[str, Hat]


class HatsGiven(NamedTuple):
    """A bare JID wears these hats (URIs)."""

    jid: str
    hats: tuple[str, ...]


class Notified(NamedTuple):
    """All are told of codes (section 10.2.1)."""

    codes: tuple[int, ...]


class Announced(NamedTuple):
    """The room itself says something to all; `archived`: for good."""

    stanza: Stanza
    archived: bool


class Destroyed(NamedTuple):
    """The room is no more (section 10.9); `destroy` is the element that says so."""

    destroy: bytes
    occupants: tuple[Occupant, ...]


Change = (
    Created
    | Entered
    | Synchronized
    | Moved
    | Showed
    | Renamed
    | Left
    | RoleGiven
    | AffiliationGiven
    | Spoke
    | SubjectSet
    | Configured
    | CardSet
    | HatsSet
    | HatsGiven
    | Notified
    | Announced
    | Destroyed
)
#: What a feature decides: changes, stanzas for one address, what the log says, what the archive forgets; in order.
Step = Change | Out | Note | Tombstone
