"""The queue of one pair of domains, a hosted one and a remote one, in the order of what came. A pure machine.

Stanzas with rows and those without stand in one line, so that what one user sends to another arrives in order. At most `WINDOW` of those with
rows are in memory, and no more bytes than `room` lets one pair have: of what comes beyond, only the row remains, and it is read when there is room (`behind`). What is not to be kept
has no place behind such rows: availability waits until they are read, the rest is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from rookery.workers.s2s.queue.entries import Entry, supersedes
from rookery.workers.s2s.queue.room import Room

#: Entries with rows of one pair in memory, and entries without rows.
WINDOW: Final = 4096
LOOSE: Final = 4096
LOOSE_BYTES: Final = 4 * 1024 * 1024
_ANSWERS: Final = frozenset({"error", "result"})


class Pair:
    """The queue from the hosted domain `local` to the domain `remote`."""

    __slots__ = (
        "_beyond", "_latest", "_line", "_loose", "_loose_bytes", "_room", "_stash", "acked", "behind", "in_memory", "local", "pushed", "read_to",
        "remote", "rows", "size", "spoken", "wanted",
    )  # fmt: skip

    def __init__(self, local: str, remote: str, room: Room | None = None) -> None:
        self._room = room or Room()
        self.local = local
        self.remote = remote
        #: A user of ours has written on it, and its row says so.
        self.spoken = False
        #: Something else than answers was to be sent.
        self.wanted = False
        #: Everything with a row up to this number is with the other side.
        self.acked = 0
        #: Rows that are not acknowledged, whether in memory or not, and how many of them are in memory.
        self.rows = 0
        self.in_memory = 0
        #: The bytes of these.
        self.size = 0
        #: Rows beyond those in memory wait to be read; the last number in memory.
        self.behind = False
        self.read_to = 0
        #: Rows that went past memory: how many ever, and those whose commit is under way.
        self.pushed = 0
        self._beyond: set[int] = set()
        self._line: deque[Entry] = deque()
        #: Availability that waits in the line, by (from, to), and what comes while rows are behind.
        self._latest: dict[tuple[str, str], Entry] = {}
        self._stash: dict[tuple[str, str], Entry] = {}
        self._loose = 0
        self._loose_bytes = 0

    # --- what comes ---

    def push(self, entry: Entry) -> bool:
        """Put an entry at the end. False when it is not taken: too much waits that has no row.

        One with a row is always taken; when it does not fit into memory its row alone remembers it, once it is committed.
        """
        self.wanted = self.wanted or entry.stanza.type not in _ANSWERS
        if entry.seq:
            self.rows += 1
            if self.behind or not self._fits(entry):
                self.behind = True
                self.pushed += 1
                if not entry.ready:
                    self._beyond.add(entry.seq)
                return True
            self._remember(entry)
            return True
        pair = supersedes(entry.stanza)
        if pair is not None and self._supersede(pair, entry):
            return True
        if self._loose >= LOOSE or self._loose_bytes + entry.size > LOOSE_BYTES:
            return False
        if self.behind:
            if pair is None:
                return False
            self._stash[pair] = entry
        else:
            self._line.append(entry)
            if pair is not None:
                self._latest[pair] = entry
        self._loose += 1
        self._loose_bytes += entry.size
        return True

    def _supersede(self, pair: tuple[str, str], entry: Entry) -> bool:
        """A newer availability takes the place of one at the very end of what waits, else the older one goes."""
        if pair in self._stash:
            self._loose_bytes += entry.size - self._stash[pair].size
            self._stash[pair] = entry
            return True
        older = self._latest.pop(pair, None)
        if older is not None:
            self._leave(older)
        return False

    def _leave(self, entry: Entry) -> None:
        """An entry without a row will not be sent from here."""
        if not entry.gone:
            entry.gone = True
            self._loose -= 1
            self._loose_bytes -= entry.size

    def _fits(self, entry: Entry) -> bool:
        """Whether memory takes one more; the first in any case."""
        if not self.in_memory:
            return True
        return self.in_memory < WINDOW and self.size + entry.size <= self._room.share

    def _remember(self, entry: Entry) -> None:
        self._line.append(entry)
        self.in_memory += 1
        self.size += entry.size
        self._room.used += entry.size
        self.read_to = max(self.read_to, entry.seq)

    # --- rows that are not in memory ---

    @property
    def wanting(self) -> bool:
        """Whether the next rows are to be read."""
        if not self.behind or self._beyond:
            return False
        return not self.in_memory or (self.in_memory <= WINDOW // 2 and self.size <= self._room.share // 2)

    @property
    def share(self) -> int:
        """Bytes of rows that may be read at once."""
        return self._room.share

    def restored(self, rows: int, acked: int) -> None:
        """A new holder knows how many rows wait, and reads them when they are wanted."""
        self.rows = rows
        self.acked = self.read_to = acked
        self.behind = rows > 0

    def read(self, entries: Iterable[Entry], more: bool, pushed: int) -> None:
        """The next rows, in order; `more`: there are others behind them. `pushed` is what it was when they were asked for."""
        for entry in entries:
            if entry.seq > self.read_to:
                self._remember(entry)
        self.behind = more or pushed != self.pushed or bool(self._beyond)
        if not self.behind and self._stash:
            stash, self._stash = self._stash, {}
            for pair, entry in stash.items():
                self._line.append(entry)
                self._latest[pair] = entry

    # --- what goes ---

    def take(self, count: int) -> list[Entry]:
        """The next entries to send, at most `count`; one that is not committed holds up what is behind it."""
        taken: list[Entry] = []
        line = self._line
        while line and len(taken) < count:
            entry = line[0]
            if entry.gone:
                line.popleft()
                continue
            if not entry.ready:
                break
            line.popleft()
            if not entry.seq:
                self._loose -= 1
                self._loose_bytes -= entry.size
                pair = supersedes(entry.stanza)
                if pair is not None and self._latest.get(pair) is entry:
                    del self._latest[pair]
            taken.append(entry)
        return taken

    @property
    def sendable(self) -> bool:
        """Whether `take` would give anything."""
        line = self._line
        while line and line[0].gone:
            line.popleft()
        return bool(line) and line[0].ready

    @property
    def waits(self) -> bool:
        """Whether anything is to be sent, now or when it is committed or read."""
        return bool(self._line) or self.behind or bool(self._stash)

    def settled(self, entry: Entry) -> None:
        """The other side has this row, or it was given up: memory needs it no more."""
        self.rows -= 1
        self._leave_memory(entry)

    def _leave_memory(self, entry: Entry) -> None:
        self.in_memory -= 1
        self.size -= entry.size
        self._room.used -= entry.size

    def abandon(self) -> None:
        """The pair is another process's now."""
        self._room.used -= self.size
        self.size = self.in_memory = 0

    def back(self, entries: Iterable[Entry]) -> None:
        """What was sent on a stream that broke and was not acknowledged goes to the front, in order.

        What has no row is not repeated: availability of that moment, answers, requests whose sender waits no longer.
        """
        again = [entry for entry in entries if entry.seq and not entry.gone]
        for entry in again:
            entry.late = True
        self._line.extendleft(reversed(again))

    def cull(self, now: float) -> list[Entry]:
        """Give up what has no row and has waited too long; returns it."""
        if not self._loose:
            # (asked of each domain once a second: thousands of rows that wait are not looked through for nothing)
            return []
        old = [e for e in self._line if not e.seq and not e.gone and e.until and e.until <= now]
        old += [entry for entry in self._stash.values() if entry.until and entry.until <= now]
        self._stash = {pair: entry for pair, entry in self._stash.items() if entry.until > now}
        return self._give_up(old)

    def requests(self) -> list[Entry]:
        """Give up all requests and answers that wait; returns them."""
        if not self._loose:
            return []
        return self._give_up([e for e in self._line if not e.seq and not e.gone and e.stanza.kind == "iq"])

    def _give_up(self, entries: list[Entry]) -> list[Entry]:
        for entry in entries:
            self._leave(entry)
            pair = supersedes(entry.stanza)
            if pair is not None and self._latest.get(pair) is entry:
                del self._latest[pair]
        return entries

    def forget(self, seqs: Iterable[int]) -> None:
        """These rows are gone (given up, or repetitions): they are not sent any more."""
        gone = set(seqs)
        self.rows -= len(gone)
        self._beyond -= gone
        for entry in self._line:
            if entry.seq in gone and not entry.gone:
                entry.gone = True
                self._leave_memory(entry)

    def committed(self, entry: Entry) -> None:
        """Its row is in Postgres."""
        entry.ready = True
        self._beyond.discard(entry.seq)

    def __len__(self) -> int:
        """Stanzas that wait, with and without rows."""
        return self.rows + self._loose
