"""Rows of rooms as values. What is packed stays packed here."""

from __future__ import annotations

from typing import NamedTuple


class RoomRow(NamedTuple):
    """One room: its packed state, and what lists of rooms need of it."""

    id: int
    partition: int
    jid: str
    state: bytes
    public: bool = False
    persistent: bool = False
    name: str = ""
    description: str = ""
    lang: str = ""
    occupants: int = 0


class AffiliationRow(NamedTuple):
    """The lasting affiliation of a bare JID (or of a domain); `state` None: it has none any more."""

    room_id: int
    jid: str
    affiliation: str
    state: bytes | None


class OccupantRow(NamedTuple):
    """Who is in a room, by full JID, since which number of the room; `state` None: not any more."""

    room_id: int
    jid: str
    partition: int
    nick: str
    since: int
    state: bytes | None


class Saying(NamedTuple):
    """What a room has said under a number, for the next holder; (stream, origin_n) is the uid of what it came of."""

    room_id: int
    n: int
    partition: int
    stream: bytes
    origin_n: int
    said: bytes


class Rows(NamedTuple):
    """What one change of a room writes, in one commit."""

    room: RoomRow | None = None
    affiliations: tuple[AffiliationRow, ...] = ()
    occupants: tuple[OccupantRow, ...] = ()
    saying: Saying | None = None

    @property
    def any(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.room or self.affiliations or self.occupants or self.saying)


class Loaded(NamedTuple):
    """A room as its rows tell it."""

    room: RoomRow
    affiliations: dict[str, bytes]
    occupants: dict[str, tuple[int, bytes]]
