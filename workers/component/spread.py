"""Which connection of a component gets which stanza. Pure.

A sender's stanzas stay in order: all that is not acknowledged is on one connection, and what comes next goes there, too. Who has nothing under way
is given a connection by a hash of its address, so that few senders move when a connection comes or goes.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import NamedTuple

from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza

#: A connection: the process that has it, and its number there.
Key = tuple[str, int]


class Sending(NamedTuple):
    """Stanza number `n` of a connection."""

    key: Key
    n: int
    stanza: Stanza


class _Open(NamedTuple):
    n: int
    #: Its place among all that was sent.
    at: int
    sender: str
    stanza: Stanza


class _Line:
    __slots__ = ("open", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.open: deque[_Open] = deque()


class Spread:
    """All connections of one component. Of everything that was ever sent the first `handled` stanzas are acknowledged."""

    __slots__ = ("_done", "_lines", "_pins", "handled", "sent")

    def __init__(self) -> None:
        self.sent = self.handled = 0
        self._lines: dict[Key, _Line] = {}
        #: Senders with something under way: their connection, and how many stanzas.
        self._pins: dict[str, tuple[Key, int]] = {}
        #: What is acknowledged beyond `handled`.
        self._done: set[int] = set()

    def __len__(self) -> int:
        """Connections."""
        return len(self._lines)

    def __contains__(self, key: Key) -> bool:
        return key in self._lines

    def add(self, key: Key) -> None:
        """A connection is there."""
        self._lines.setdefault(key, _Line())

    def send(self, stanza: Stanza) -> Sending:
        """Where the next stanza goes. There is a connection."""
        self.sent += 1
        return self._put(self.sent, bare_of(stanza.from_), stanza)

    def _put(self, index: int, sender: str, stanza: Stanza) -> Sending:
        pin = self._pins.get(sender)
        key, count = pin if pin is not None else (self._chosen(sender), 0)
        self._pins[sender] = key, count + 1
        line = self._lines[key]
        line.sent += 1
        line.open.append(_Open(line.sent, index, sender, stanza))
        return Sending(key, line.sent, stanza)

    def _chosen(self, sender: str) -> Key:
        if len(self._lines) == 1:
            return next(iter(self._lines))
        return max(self._lines, key=lambda key: blake2b(f"{key} {sender}".encode(), digest_size=8).digest())

    def acked(self, key: Key, n: int) -> bool:
        """The component has the first `n` stanzas of a connection. Returns whether `handled` has grown."""
        line = self._lines.get(key)
        if line is None:
            return False
        before = self.handled
        while line.open and line.open[0].n <= n:
            one = line.open.popleft()
            self._unpin(one.sender)
            self._done.add(one.at)
        while self.handled + 1 in self._done:
            self.handled += 1
            self._done.discard(self.handled)
        return self.handled > before

    def _unpin(self, sender: str) -> None:
        key, count = self._pins[sender]
        if count > 1:
            self._pins[sender] = key, count - 1
        else:
            del self._pins[sender]

    def remove(self, key: Key) -> list[Sending]:
        """A connection has ended: what was under way on it goes elsewhere, in order. Nothing when there is no other."""
        line = self._lines.pop(key, None)
        if line is None or not self._lines:
            return []
        for one in line.open:
            self._pins.pop(one.sender, None)
        return [self._put(one.at, one.sender, one.stanza) for one in line.open]
