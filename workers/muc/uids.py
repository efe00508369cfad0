"""Which stanzas a partition of rooms has taken: what comes again counts once. A pure machine.

What is under way is known with its entry, so that whoever keeps the stanza now is told, too; what is done for a minute at least: longer than
anybody waits before sending again.
"""

from __future__ import annotations

from typing import Final

from rookery.shared.bus.messages import Origin
from rookery.workers.muc.queue import Entry

#: Done uids of one generation that are remembered at most.
MOST: Final = 65_536

_Uid = tuple[bytes, int]


class Uids:
    """The uids of one partition."""

    __slots__ = ("_done", "_older", "_open")

    def __init__(self) -> None:
        self._open: dict[_Uid, Entry] = {}
        self._done: set[_Uid] = set()
        self._older: set[_Uid] = set()

    def repeated(self, origin: Origin) -> bool | None:
        """None: it is new. True: it is done, say so again. False: it is under way, and this custodian is told as well."""
        uid = origin.stream, origin.n
        entry = self._open.get(uid)
        if entry is not None:
            if all(one.custodian != origin.custodian for one in entry.origins):
                entry.origins.append(origin)
            return False
        return True if uid in self._done or uid in self._older else None

    def begin(self, origin: Origin, entry: Entry) -> None:
        """It is under way."""
        if origin.n:
            uid = origin.stream, origin.n
            former = self._open.get(uid)
            if former is not None:
                entry.origins = former.origins
            self._open[uid] = entry

    def done(self, origin: Origin) -> None:
        """It needs nothing more."""
        if origin.n:
            uid = origin.stream, origin.n
            self._open.pop(uid, None)
            self._done.add(uid)
            if len(self._done) >= MOST:
                self.rotate()

    def rotate(self) -> None:
        """Half a minute or more has passed: forget what was done before the last call."""
        self._older, self._done = self._done, set()
