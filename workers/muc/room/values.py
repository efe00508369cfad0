"""What a room is made of, as values: affiliations, roles, who has which."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class Affiliation(IntEnum):
    """What somebody is to a room for good (section 5.2), in the order of their privileges."""

    OUTCAST = 0
    NONE = 1
    MEMBER = 2
    ADMIN = 3
    OWNER = 4

    @property
    def label(self) -> str:
        """As it is written."""
        return _AFFILIATION_LABELS[self]


class Role(IntEnum):
    """What an occupant may do during this visit (section 5.1), in the order of their privileges."""

    NONE = 0
    VISITOR = 1
    PARTICIPANT = 2
    MODERATOR = 3

    @property
    def label(self) -> str:
        """As it is written."""
        return _ROLE_LABELS[self]


_AFFILIATION_LABELS: Final = tuple(one.name.lower() for one in Affiliation)
_ROLE_LABELS: Final = tuple(one.name.lower() for one in Role)
AFFILIATIONS: Final = {one.label: one for one in Affiliation}
ROLES: Final = {one.label: one for one in Role}


class Hat(NamedTuple):
    """A tag for people in this room (XEP-0317); `hue` is its colour, as it was written."""

    uri: str
    title: str
    hue: str = ""


class Affiliate(NamedTuple):
    """The lasting entry of a bare JID or of a domain. `nick` is reserved for it; `by` (a bare JID) gave it at `at` (Unix seconds)."""

    affiliation: Affiliation = Affiliation.NONE
    nick: str = ""
    reason: str = ""
    by: str = ""
    at: float = 0.0
    #: URIs of those that it wears.
    hats: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remember."""
        return self.affiliation is Affiliation.NONE and not self.nick and not self.hats


class Subject(NamedTuple):
    """The subject as it was set: canonical XML of its elements, who set it (occupant JID), when (Unix seconds); 0: never."""

    inner: bytes = b"<subject/>"
    payloads: tuple[tuple[str, str], ...] = (("jabber:client", "subject"),)
    from_: str = ""
    at: float = 0.0


class Wanted(NamedTuple):
    """How much history somebody wants (section 7.2.14); None: no limit of theirs. `since` is in Unix seconds."""

    maxchars: int | None = None
    maxstanzas: int | None = None
    since: float | None = None


class Ending(NamedTuple):
    """How a visit ends: what the unavailable presence says. `inner` is what the occupant said itself (status and more)."""

    codes: tuple[int, ...] = ()
    actor: str = ""
    reason: str = ""
    inner: bytes = b""
    payloads: tuple[tuple[str, str], ...] = ()
    destroy: bytes = b""
