"""One remote domain: the queues of all hosted domains to it, the one stream that they share, and what happens when that ends.

A machine: time comes in, what it wants of others goes through `Surroundings`. States: IDLE (nothing to say, no stream), WAITING (for its turn to
connect), OPENING, OPEN, PAUSED (after a failure).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from rookery.workers.s2s.outgoing.conditions import Condition, Means
from rookery.workers.s2s.outgoing.gate import Standing, standing_of
from rookery.workers.s2s.outgoing.pauses import pause
from rookery.workers.s2s.outgoing.sent import Sent
from rookery.workers.s2s.queue.entries import Entry
from rookery.workers.s2s.queue.pair import Pair
from rookery.workers.s2s.streams.api import Link, Trouble

#: Stanzas that may be unacknowledged on one stream, and bytes that its socket may have to take.
UNACKNOWLEDGED: Final = 2048
OUTBOX: Final = 256 * 1024
#: Streams in a row that the other side ended with an error before it acknowledged anything: then it gets one stanza at a time, and the
#: one that ends the next stream goes back to its sender.
SPOILED: Final = 3
#: Streams in a row on which all arrived and nothing was answered: from then on the domain cannot acknowledge.
UNANSWERED: Final = 2
#: Stanzas of one pair before another has its turn.
TURN: Final = 64
#: The least seconds between two marks.
MARK_SECONDS: Final = 0.05
#: Seconds after which a pair that was refused is tried again.
REFUSED_SECONDS: Final = 60.0


class Surroundings(Means, Protocol):
    """What a remote domain uses of its process."""

    def opened(self, remote: Remote, local: str) -> None:
        """A pair was proved."""

    def failed(self, remote: Remote, trouble: Trouble) -> None:
        """A stream could not be opened, or a pair was refused."""

    def mute(self, remote: Remote) -> None:
        """The other side cannot acknowledge, or can again."""

    def ring(self, remote: Remote, at: float) -> None:
        """Call `on_time` at this moment."""


class Remote:
    """See the module's text. It implements `streams.api.Owner`.

    Where the other side takes only one pair of domains on a stream, each further hosted domain has a branch: a remote of its own.
    """

    __slots__ = (
        "_around", "_asked", "_attempt", "_key", "_marked", "_marked_at", "_proved", "_refused", "_sent", "_spoiled", "_unanswered", "_useful",
        "branches", "condition", "failures", "mute", "name", "pairs", "partition", "quiet", "resume_at", "stream", "trouble",
        "worked",
    )  # fmt: skip

    def __init__(self, name: str, partition: int, around: Surroundings) -> None:
        self.name = name
        self.partition = partition
        self.pairs: dict[str, Pair] = {}
        self.branches: dict[str, Remote] = {}
        self.condition = Condition.IDLE
        self.stream: Link | None = None
        self.failures = 0
        #: Whether a stream to it has ever worked, and what was wrong the last time.
        self.worked = False
        self.trouble: Trouble | None = None
        self.resume_at = 0.0
        #: Nothing more is sent.
        self.quiet = False
        #: It cannot acknowledge: what its kernel has confirmed counts, and nothing is sent twice.
        self.mute = False
        self._around = around
        self._key = name
        self._attempt = ""
        self._proved: set[str] = set()
        self._asked: set[str] = set()
        self._refused: dict[str, float] = {}
        self._sent = Sent()
        #: The count at the mark that is not answered, and when marks were made; 0 for none.
        self._marked = 0
        self._marked_at = 0.0
        self._useful = False
        self._spoiled = self._unanswered = 0

    def at(self, local: str) -> Remote:
        """Whose stream a hosted domain uses: this one, or that of a branch."""
        return self.branches.get(local, self)

    def all(self) -> Iterator[Remote]:
        """This one and its branches."""
        yield self
        yield from self.branches.values()

    def pair(self, local: str) -> Pair:
        """The queue of a hosted domain."""
        if local in self.branches:
            return self.branches[local].pair(local)
        found = self.pairs.get(local)
        if found is None:
            found = self.pairs[local] = Pair(local, self.name, self._around.room)
        return found

    @property
    def standing(self) -> Standing:
        """How it is treated when it wants to connect."""
        wanted = any(pair.wanted or pair.rows for pair in self.pairs.values())
        return standing_of(failing=bool(self.failures), worked=self.worked, wanted=wanted)

    @property
    def unacknowledged(self) -> int:
        """Stanzas on the stream that the other side has not acknowledged."""
        return len(self._sent)

    @property
    def empty(self) -> bool:
        """Whether nothing of it need be remembered: it has never worked, and nothing is for it."""
        return (
            self.condition is Condition.IDLE
            and not (self._sent or self.worked or self.mute or self.branches)
            and not any(pair.waits or pair.rows for pair in self.pairs.values())
        )

    # --- what is to be sent ------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send what can be sent; begin to connect when there is no stream."""
        if self.quiet:
            return
        for branch in self.branches.values():
            branch.pump()
        if self.condition is Condition.OPEN:
            self._pump()
        elif self.condition is Condition.IDLE and any(pair.waits for pair in self.pairs.values()):
            self._want()

    def _want(self) -> None:
        self.condition = Condition.WAITING
        self._around.gate.enter(self._key, self.standing, self._connect)

    def _connect(self) -> None:
        local = next((pair.local for pair in self.pairs.values() if pair.waits), "")
        if not local:
            self.condition = Condition.IDLE
            self._around.gate.leave(self._key)
            return
        self.condition = Condition.OPENING
        self._attempt = local
        self.stream = self._around.opener.open(self.name, local, self)

    def _pump(self) -> None:
        stream = self.stream
        if self.quiet or stream is None:
            return
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
                if len(self._sent) >= self._window or stream.waiting >= OUTBOX:
                    break
                self._send(stream, pair)
                more = more or pair.sendable
                if self.stream is not stream:
                    return
            else:
                continue
            break
        self._mark(stream, now)

    def _send(self, stream: Link, pair: Pair) -> None:
        for entry in pair.take(min(TURN, self._window - len(self._sent))):
            self._sent.add(pair, entry)
            stream.send(entry.stanza, entry.seq)
            if self.stream is not stream:
                return

    @property
    def _window(self) -> int:
        return 1 if self._spoiled >= SPOILED else UNACKNOWLEDGED

    def _ask(self, stream: Link, local: str, now: float) -> None:
        if local not in self._asked and self._refused.get(local, 0.0) <= now:
            self._asked.add(local)
            stream.authenticate(local)

    def _mark(self, stream: Link, now: float) -> None:
        """Ask how far the other side is: not for each stanza, and not again before it has answered."""
        if self._marked or not self._sent:
            return
        if now < self._marked_at + MARK_SECONDS:
            self._around.ring(self, self._marked_at + MARK_SECONDS)
            return
        self._marked, self._marked_at = self._sent.count, now
        stream.mark()

    # --- what the stream tells ---------------------------------------------------------------------------------------

    def on_open(self, stream: Link) -> None:
        """The stream is usable."""
        if stream is not self.stream:
            return
        self._around.gate.leave(self._key)
        self.condition = Condition.OPEN
        self._sent.begin()
        self._marked = 0
        self._useful = False
        self._proved, self._asked = {self._attempt}, set()
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
        elif trouble.kind == "multiplex":
            self._branch(local)
            return
        else:
            self._refused[local] = self._around.clock() + REFUSED_SECONDS
            self._around.failed(self, trouble)
        self._pump()

    def _branch(self, local: str) -> None:
        branch = self.branches[local] = Remote(self.name, self.partition, self._around)
        branch._key = f"{self.name} {local}"
        branch.worked, branch.mute = True, self.mute
        if (pair := self.pairs.pop(local, None)) is not None:
            branch.pairs[local] = pair
        branch.pump()

    def on_acked(self, stream: Link, count: int) -> None:
        """The other side has handled the first `count` stanzas of this stream."""
        if stream is not self.stream:
            return
        self._set_mute(False)
        self._useful = True
        self.failures = self._spoiled = self._unanswered = 0
        self._settle(count)
        if self._marked and count >= self._marked:
            self._marked = 0
        if self.condition is Condition.OPEN:
            self._pump()

    def _settle(self, count: int) -> None:
        for pair in self._sent.settle(count):
            self._around.acked(pair, pair.acked)

    def _set_mute(self, mute: bool) -> None:
        if mute is not self.mute:
            self.mute = mute
            self._around.mute(self)

    def on_drained(self, stream: Link) -> None:
        """The socket has taken everything."""
        if stream is self.stream and self.condition is Condition.OPEN:
            self._pump()

    def on_closed(self, stream: Link, trouble: Trouble) -> None:
        """The stream has ended, or could not be opened: what it had not acknowledged waits again, in order."""
        if stream is not self.stream:
            return
        opened = self.condition is Condition.OPEN
        self._end_unanswered(stream, trouble)
        self.stream = None
        self._around.gate.leave(self._key)
        self._proved, self._asked = set(), set()
        unacknowledged = bool(self._sent)
        if opened and unacknowledged and not self._useful and trouble.kind == "stream":
            self._spoil(trouble)
        self._requeue()
        if opened and (self._useful or not unacknowledged or trouble.kind == "idle"):
            self.failures = 0
        else:
            # A stream that took stanzas and acknowledged none is a failure, too: what it was sent may have ended it.
            self.failures += 1
        if not opened:
            self.trouble = trouble
        self._rest(trouble.kind)
        if not opened:
            self._around.failed(self, trouble)
        elif trouble.kind != "idle":
            self._around.broken(self.name)

    def _spoil(self, trouble: Trouble) -> None:
        if self._spoiled >= SPOILED and len(self._sent) == 1:
            [(pair, entry)] = self._sent.take()
            self._around.spoiled(pair, entry, trouble)
            self._spoiled = 0
        else:
            self._spoiled += 1

    def _end_unanswered(self, stream: Link, trouble: Trouble) -> None:
        """Another end than that by silence says nothing of what a mute domain has: its senders hear that it is not known."""
        if trouble.kind == "unanswered":
            self._unanswered += 1
            if self._unanswered >= UNANSWERED:
                self._set_mute(True)
            if self.mute:
                self._settle(self._sent.count)
        elif self.mute and not stream.managed:
            for pair, entry in self._sent.take():
                self._around.uncertain(pair, entry)

    def _rest(self, kind: str) -> None:
        if not self.failures and not any(pair.waits for pair in self.pairs.values()):
            self.condition = Condition.IDLE
            return
        self.condition = Condition.PAUSED
        around = self._around
        self.resume_at = around.clock() + pause(kind, self.failures, around.chance(), around.longest_pause)
        around.ring(self, self.resume_at)

    def _requeue(self) -> None:
        by_pair: dict[str, list[Entry]] = {}
        for pair, entry in self._sent.take():
            by_pair.setdefault(pair.local, []).append(entry)
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
            stream = self.stream
            if stream is not None and self.mute and self._sent and not (stream.managed or stream.unconfirmed):
                self._settle(self._sent.count)
            self._pump()

    def hush(self) -> None:
        """Send nothing more: the domain is about to be another process's."""
        self.quiet = True
        self._around.gate.leave(self._key)
        if self.condition is Condition.OPEN and self._sent and self.stream is not None and not self._marked:
            self._marked = self._sent.count
            self.stream.mark()

    def retry(self) -> None:
        """The operator wants it to be tried now."""
        self._refused.clear()
        for branch in self.branches.values():
            branch.retry()
        if self.condition is Condition.PAUSED:
            self.failures = 0
            self.condition = Condition.IDLE
        self.pump()

    def end(self) -> None:
        """Another process holds the domain now: nothing more is sent from here."""
        for branch in self.branches.values():
            branch.end()
        stream, self.stream = self.stream, None
        self._around.gate.leave(self._key)
        self._sent.take()
        while self.pairs:
            self.pairs.popitem()[1].abandon()
        self.condition = Condition.IDLE
        if stream is not None:
            stream.close()

    def under_way(self, local: str, seq: int) -> bool:
        """Whether this row was sent: it is on the stream, or the other side has it and the row does not say so yet."""
        peer = self.at(local)
        pair = peer.pairs.get(local)
        return peer._sent.holds(local, seq) or (pair is not None and seq <= pair.acked)

    def forget(self, local: str, seqs: Iterable[int]) -> None:
        """These rows of a hosted domain were given up; they are not on the stream."""
        if (pair := self.at(local).pairs.get(local)) is not None:
            pair.forget(seqs)
