"""One remote domain: the queues of all hosted domains to it, the one stream that they share, and what happens when that ends.

A machine: time comes in, what it wants of others goes through `Surroundings`. States: IDLE (nothing to say, no stream), WAITING (for its turn to
connect), OPENING, OPEN, PAUSED (after a failure).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import Final, Protocol

from rookery.workers.s2s.outgoing.gate import Gate, Standing
from rookery.workers.s2s.outgoing.pauses import pause
from rookery.workers.s2s.outgoing.streams import Opener, Outbound, Trouble
from rookery.workers.s2s.queue.entries import Entry
from rookery.workers.s2s.queue.pair import Pair

#: Stanzas that may be unacknowledged on one stream, and bytes that its socket may have to take.
UNACKNOWLEDGED: Final = 2048
OUTBOX: Final = 256 * 1024
#: Stanzas of one pair before another has its turn.
TURN: Final = 64
#: Seconds that the other side may take to answer a mark, and the least between two marks.
ANSWER_SECONDS: Final = 60.0
MARK_SECONDS: Final = 0.05
#: Seconds after which a pair that was refused is tried again, and of silence after which a stream is closed.
REFUSED_SECONDS: Final = 60.0


class Condition(Enum):
    """Where a remote domain is."""

    IDLE = "idle"
    WAITING = "waiting"
    OPENING = "opening"
    OPEN = "open"
    PAUSED = "paused"


class Surroundings(Protocol):
    """What a remote domain uses of its process."""

    opener: Opener
    gate: Gate
    longest_pause: float
    idle_seconds: float

    def clock(self) -> float:
        """Monotonic seconds."""

    def chance(self) -> float:
        """A random number in [0, 1)."""

    def acked(self, pair: Pair, seq: int) -> None:
        """The other side has everything of the pair up to this number."""

    def read(self, pair: Pair) -> None:
        """The pair wants its next rows."""

    def opened(self, remote: Remote, local: str) -> None:
        """A pair was proved."""

    def failed(self, remote: Remote, trouble: Trouble) -> None:
        """A stream could not be opened, or a pair was refused."""

    def ring(self, remote: Remote, at: float) -> None:
        """Call `on_time` at this moment."""


class Remote:
    """See the module's text. It implements `streams.Owner`."""

    __slots__ = (
        "_around", "_asked", "_asked_at", "_attempt", "_marked", "_marked_at", "_proved", "_refused", "_sent", "_used_at", "_useful", "acked",
        "condition", "count", "failures", "name", "pairs", "partition", "resume_at", "stream", "trouble", "worked",
    )  # fmt: skip

    def __init__(self, name: str, partition: int, around: Surroundings) -> None:
        self.name = name
        self.partition = partition
        self.pairs: dict[str, Pair] = {}
        self.condition = Condition.IDLE
        self.stream: Outbound | None = None
        self.failures = 0
        #: Whether a stream to it has ever worked, and what was wrong the last time.
        self.worked = False
        self.trouble: Trouble | None = None
        self.resume_at = 0.0
        #: Stanzas sent on this stream, and acknowledged.
        self.count = 0
        self.acked = 0
        self._around = around
        self._attempt = ""
        self._proved: set[str] = set()
        self._asked: set[str] = set()
        self._refused: dict[str, float] = {}
        self._sent: deque[tuple[Pair, Entry]] = deque()
        #: The count at the mark that is not answered, and when marks were made; 0 for none.
        self._marked = 0
        self._asked_at = 0.0
        self._marked_at = 0.0
        self._used_at = 0.0
        self._useful = False

    def pair(self, local: str) -> Pair:
        """The queue of a hosted domain."""
        found = self.pairs.get(local)
        if found is None:
            found = self.pairs[local] = Pair(local, self.name)
        return found

    @property
    def standing(self) -> Standing:
        """How it is treated when it wants to connect."""
        if self.failures:
            return Standing.FAILING
        return Standing.GOOD if self.worked else Standing.NEW

    @property
    def unacknowledged(self) -> int:
        """Stanzas on the stream that the other side has not acknowledged."""
        return len(self._sent)

    @property
    def empty(self) -> bool:
        """Whether nothing of it need be remembered."""
        return (
            self.condition is Condition.IDLE
            and not self._sent
            and not any(pair.waits or pair.rows for pair in self.pairs.values())
        )

    # --- what is to be sent ------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send what can be sent; begin to connect when there is no stream."""
        if self.condition is Condition.OPEN:
            self._pump()
        elif self.condition is Condition.IDLE and any(pair.waits for pair in self.pairs.values()):
            self._want()

    def _want(self) -> None:
        self.condition = Condition.WAITING
        self._around.gate.enter(self.name, self.standing, self._connect)

    def _connect(self) -> None:
        local = next((pair.local for pair in self.pairs.values() if pair.waits), "")
        if not local:
            self.condition = Condition.IDLE
            self._around.gate.leave(self.name)
            return
        self.condition = Condition.OPENING
        self._attempt = local
        self.stream = self._around.opener.open(self.name, local, self)

    def _pump(self) -> None:
        stream = self.stream
        assert stream is not None
        now = self._around.clock()
        more = True
        while more:
            more = False
            for local, pair in self.pairs.items():
                if pair.wanting:
                    self._around.read(pair)
                if not pair.sendable:
                    continue
                if local not in self._proved:
                    self._ask(stream, local, now)
                    continue
                if len(self._sent) >= UNACKNOWLEDGED or stream.waiting >= OUTBOX:
                    break
                self._send(stream, pair)
                self._used_at = now
                more = more or pair.sendable
                if self.stream is not stream:
                    return
            else:
                continue
            break
        self._mark(stream, now)

    def _send(self, stream: Outbound, pair: Pair) -> None:
        for entry in pair.take(TURN):
            self.count += 1
            self._sent.append((pair, entry))
            stream.send(entry.stanza)
            if self.stream is not stream:
                return

    def _ask(self, stream: Outbound, local: str, now: float) -> None:
        if local not in self._asked and self._refused.get(local, 0.0) <= now:
            self._asked.add(local)
            stream.authenticate(local)

    def _mark(self, stream: Outbound, now: float) -> None:
        """Ask how far the other side is: not for each stanza, and not again before it has answered."""
        if self._marked or not self._sent:
            return
        if now < self._marked_at + MARK_SECONDS:
            self._around.ring(self, self._marked_at + MARK_SECONDS)
            return
        self._marked, self._marked_at, self._asked_at = self.count, now, now
        stream.mark()

    # --- what the stream tells ---------------------------------------------------------------------------------------

    def on_open(self, stream: Outbound) -> None:
        """The stream is usable."""
        if stream is not self.stream:
            return
        self._around.gate.leave(self.name)
        self.condition = Condition.OPEN
        self.count = self.acked = self._marked = 0
        self._useful = False
        self._used_at = self._around.clock()
        self._proved = {self._attempt}
        self._asked = set()
        self.worked = True
        self.trouble = None
        self._around.opened(self, self._attempt)
        self._pump()

    def on_pair(self, local: str, trouble: Trouble | None) -> None:
        """A further hosted domain is proved, or is not."""
        self._asked.discard(local)
        if self.condition is not Condition.OPEN:
            return
        if trouble is None:
            self._proved.add(local)
            self._refused.pop(local, None)
            self._around.opened(self, local)
        else:
            self._refused[local] = self._around.clock() + REFUSED_SECONDS
            self._around.failed(self, trouble)
        self._pump()

    def on_acked(self, stream: Outbound, count: int) -> None:
        """The other side has handled the first `count` stanzas of this stream."""
        if stream is not self.stream or count <= self.acked:
            return
        self._useful = True
        self.failures = 0
        heads: dict[str, int] = {}
        while self._sent and self.acked < count:
            self.acked += 1
            pair, entry = self._sent.popleft()
            if entry.seq and not entry.gone:
                heads[pair.local] = entry.seq
                pair.settled(entry)
        for local, seq in heads.items():
            pair = self.pairs[local]
            pair.acked = max(pair.acked, seq)
            self._around.acked(pair, pair.acked)
        if self._marked and self.acked >= self._marked:
            self._marked = 0
        if self.condition is Condition.OPEN:
            self._pump()

    def on_drained(self, stream: Outbound) -> None:
        """The socket has taken everything."""
        if stream is self.stream and self.condition is Condition.OPEN:
            self._pump()

    def on_closed(self, stream: Outbound, trouble: Trouble) -> None:
        """The stream has ended, or could not be opened: what it had not acknowledged waits again, in order."""
        if stream is not self.stream:
            return
        opened = self.condition is Condition.OPEN
        self.stream = None
        self._around.gate.leave(self.name)
        self._proved.clear()
        self._asked.clear()
        unacknowledged = bool(self._sent)
        self._requeue()
        if opened and (self._useful or not unacknowledged):
            self.failures = 0
        else:
            # A stream that took stanzas and acknowledged none is a failure, too: what it was sent may have ended it.
            self.failures += 1
        if not opened:
            self.trouble = trouble
        self._rest()
        if not opened:
            self._around.failed(self, trouble)

    def _rest(self) -> None:
        if not self.failures and not any(pair.waits for pair in self.pairs.values()):
            self.condition = Condition.IDLE
            return
        self.condition = Condition.PAUSED
        around = self._around
        self.resume_at = around.clock() + pause(self.failures, around.chance(), around.longest_pause)
        around.ring(self, self.resume_at)

    def _requeue(self) -> None:
        by_pair: dict[str, list[Entry]] = {}
        for pair, entry in self._sent:
            by_pair.setdefault(pair.local, []).append(entry)
        self._sent.clear()
        self._marked = 0
        for local, entries in by_pair.items():
            self.pairs[local].back(entries)

    # --- time --------------------------------------------------------------------------------------------------------

    def on_time(self, now: float) -> None:
        """A moment that was asked for, or a second has passed."""
        if self.condition is Condition.PAUSED and now >= self.resume_at:
            self.condition = Condition.IDLE
            self.pump()
        elif self.condition is Condition.OPEN:
            assert self.stream is not None
            if self._marked and now > self._asked_at + ANSWER_SECONDS:
                self._abandon(Trouble("remote-server-timeout", "no answer on an open stream"))
            elif not self._sent and now > self._used_at + self._around.idle_seconds:
                self.stream.close()
            else:
                self._pump()

    def _abandon(self, trouble: Trouble) -> None:
        stream = self.stream
        assert stream is not None
        self._useful = False
        self.on_closed(stream, trouble)
        stream.close()

    def retry(self) -> None:
        """The operator wants it to be tried now."""
        self._refused.clear()
        if self.condition is Condition.PAUSED:
            self.failures = 0
            self.condition = Condition.IDLE
        self.pump()

    def end(self) -> None:
        """Another process holds the domain now: nothing more is sent from here."""
        stream, self.stream = self.stream, None
        self._around.gate.leave(self.name)
        self._sent.clear()
        self.pairs.clear()
        self.condition = Condition.IDLE
        if stream is not None:
            stream.close()

    def under_way(self, local: str, seq: int) -> bool:
        """Whether this row is on the stream and not acknowledged."""
        return any(entry.seq == seq and pair.local == local for pair, entry in self._sent)

    def forget(self, local: str, seqs: Iterable[int]) -> None:
        """These rows of a hosted domain were given up; they are not on the stream."""
        if (pair := self.pairs.get(local)) is not None:
            pair.forget(seqs)
