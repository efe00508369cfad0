"""What a room does, as values: what leaves it, and which rows that changes. The shell gives each its number and its way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rookery.shared.xmpp.stanza import Stanza


class Say(NamedTuple):
    """One stanza, which has no `to`, for these occupants (full JIDs); None: for all who are in the room then.

    `archived`: it is a message that the room's archive keeps; the number of this becomes its id. `but`: they do not get it, who else would.
    `author` is the real bare JID of who said it.
    """

    stanza: Stanza
    audience: Sequence[str] | None = None
    archived: bool = False
    but: Sequence[str] = ()
    author: str = ""


class Tell(NamedTuple):
    """Stanzas for one full JID, in order. `entrance`: it is what somebody is told who comes in, in the session `stream`; live stanzas follow."""

    full: str
    stanzas: Sequence[Stanza]
    entrance: bool = False
    stream: bytes = b""


class Send(NamedTuple):
    """A stanza to whatever its address is; `relayed`: it is what somebody sent to an occupant, and is kept until it is accepted."""

    stanza: Stanza
    relayed: bool = False


Out = Say | Tell | Send


class Note(NamedTuple):
    """Something that an operator may ask for later: who did what to whom in a room. Addresses are real ones."""

    event: str
    actor: str = ""
    target: str = ""
    detail: str = ""


class Tombstone(NamedTuple):
    """The message with this id of XEP-0359 is taken back: `room.moderating.buried(it, grave)` takes its place, in the archive and in the history.

    With an `author` (bare JID) only when that one said it. An id that nothing has any more is ignored (XEP-0424 section 5).
    """

    id: str
    grave: bytes
    author: str = ""


class Deed(NamedTuple):
    """What a room did with one stanza.

    `durable`: whoever sent it is answered after the commit. `room`: its own state changed; `affiliations`: those of these JIDs;
    `occupants`: these full JIDs came, went, or are not what they were. `removed`: the room is no more, once all that is said has left.
    """

    outs: Sequence[Out] = ()
    durable: bool = False
    room: bool = False
    affiliations: Sequence[str] = ()
    occupants: Sequence[str] = ()
    removed: bool = False
    notes: Sequence[Note] = ()
    tombstones: Sequence[Tombstone] = ()
