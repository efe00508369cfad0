"""A stanza under way, and what a session keeps of it until its edge reports that it has left the server."""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.shared.bus.messages import NOBODY, Origin
from rookery.shared.xmpp.stanza import Stanza

#: What a kept stanza weighs besides its content.
OVERHEAD: Final = 256

#: Stands for the content of a delivery that a former router made: only its number and uid are known.
GONE: Final = Stanza("", "", "", "", "", "", (), (), b"")

_new: Final = tuple.__new__


class Fate:
    """One message that several sessions were given: when one has got it, it needs no other way."""

    __slots__ = ("got", "holders")

    def __init__(self, holders: int) -> None:
        self.holders = holders
        self.got = False


class Parcel(NamedTuple):
    """A stanza under way, and what is known of it: one value for all sessions that are given it.

    `origin` has its uid; what offline delivery brings has the stream b"" and its archive id. `at` is when it arrived, in Unix
    seconds. `fate` is set when several sessions are given it. `row` is the archive id of what is stored, else 0; `owed` when
    its row says that nobody has got it.
    """

    stanza: Stanza
    origin: Origin
    at: float = 0.0
    fate: Fate | None = None
    row: int = 0
    owed: bool = False


def plain(stanza: Stanza) -> Parcel:
    """A stanza that has no uid and no row: it is given once, and a dead session needs it no more."""
    # Parcel's own constructor is a Python function around this call; so are those of all NamedTuples.
    return _new(Parcel, (stanza, NOBODY, 0.0, None, 0, False))


class Kept(NamedTuple):
    """A delivery that the edge has not reported as gone out. `to` is "" or overrides the stanza's address."""

    n: int
    parcel: Parcel
    to: str = ""

    @property
    def flushed(self) -> bool:
        """Whether offline delivery brought it: it is still owed when its session ends."""
        return self.parcel.owed and not self.parcel.origin.stream
