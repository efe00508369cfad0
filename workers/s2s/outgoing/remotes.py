"""All remote domains that this process holds: their timers, the gate, and what they tell the queues."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, Protocol

import structlog
import trio

from rookery.shared.store.holding import Held
from rookery.workers.s2s.outgoing.conditions import Condition, Opener
from rookery.workers.s2s.outgoing.gate import Gate
from rookery.workers.s2s.outgoing.remote import Remote
from rookery.workers.s2s.queue.entries import Entry
from rookery.workers.s2s.queue.pair import Pair
from rookery.workers.s2s.queue.room import Room
from rookery.workers.s2s.streams.api import Link, Owner, Trouble

_log = structlog.get_logger()
#: Seconds between looks at idle and silent streams, and at what waits in memory.
LOOK_SECONDS: Final = 1.0
#: Remote domains that are looked at before others have their turn: thousands at once would hold up what is under way.
LOOK_AT_ONCE: Final = 32
#: Attempts that have lasted from one to two times as long hold no place of the gate any more.
TICK_SECONDS: Final = 0.3
#: Remote domains that are remembered before those of which nothing need be are looked for.
SWEEP: Final = 4096
_UNCERTAIN: Final = Trouble(
    text="it was sent once, and that server cannot say whether it has it: the stream broke"
)


class Queues(Protocol):
    """What the rows are told."""

    def acked(self, held: Held, pair: Pair, seq: int) -> None:
        """The other side has everything of the pair up to this number."""

    def read(self, held: Held, remote: Remote, pair: Pair) -> None:
        """Read the next rows of the pair."""

    def spoiled(self, held: Held, pair: Pair, entry: Entry, trouble: Trouble) -> None:
        """Give this stanza up: the other side cannot bear it."""

    def mute(self, held: Held, remote: Remote) -> None:
        """The other side cannot acknowledge, or can again: remember it."""

    def outcome(self, held: Held, remote: Remote, local: str, trouble: Trouble | None) -> None:
        """A stream was opened for a pair, or could not be."""


class Remotes:
    """By name. It implements `remote.Surroundings`; `opener` may be set later than made, before anything is sent."""

    def __init__(self, queues: Queues, *, longest_pause: float) -> None:
        self.opener: Opener = _Nowhere()
        self.gate = Gate()
        self.room = Room()
        self.longest_pause = longest_pause
        self._queues = queues
        self._remotes: dict[str, Remote] = {}
        self._sweep_at = SWEEP
        self._held: dict[int, Held] = {}
        self._by_partition: dict[int, set[str]] = {}
        self._rings: list[tuple[float, int, Remote]] = []
        self._tick = count()
        self._rung = trio.Event()
        #: Called once a second with the remote domains that something waits for.
        self.on_look: Callable[[Remote], None] = _ignore
        #: Called when a stream to a remote domain broke.
        self.on_broken: Callable[[str], None] = _ignore

    # --- what is held ------------------------------------------------------------------------------------------------

    def hold(self, held: Held) -> None:
        """A partition is held from now on."""
        self._held[held.partition] = held

    def held(self, partition: int) -> Held | None:
        """The partition, when it is held."""
        return self._held.get(partition)

    def partitions(self) -> list[int]:
        """The partitions that are held."""
        return list(self._held)

    def drop(self, partition: int) -> None:
        """The partition is another process's: its streams end, nothing of it is remembered."""
        held = self._held.pop(partition, None)
        if held is not None:
            held.live = False
        for name in self._by_partition.pop(partition, ()):
            self._remotes.pop(name).end()

    def get(self, name: str, partition: int) -> Remote:
        """The remote domain of a name (prepared), in a held partition."""
        found = self._remotes.get(name)
        if found is None:
            if len(self._remotes) >= self._sweep_at:
                self._sweep()
            found = self._remotes[name] = Remote(name, partition, self)
            self._by_partition.setdefault(partition, set()).add(name)
        return found

    def _sweep(self) -> None:
        """Forget domains that somebody wrote to once and that never answered: users can make up any number of names."""
        for name, remote in list(self._remotes.items()):
            if remote.empty:
                del self._remotes[name]
                self._by_partition[remote.partition].discard(name)
        self._sweep_at = max(SWEEP, 2 * len(self._remotes))

    def find(self, name: str) -> Remote | None:
        """The remote domain, when anything is known of it here."""
        return self._remotes.get(name)

    def count_of(self, condition: Condition) -> int:
        """How many are in this condition."""
        return sum(remote.condition is condition for remote in self)

    def waiting(self) -> int:
        """Stanzas that wait, or are not acknowledged."""
        return sum(len(pair) for remote in self for one in remote.all() for pair in one.pairs.values())

    def __iter__(self) -> Iterator[Remote]:
        return iter(list(self._remotes.values()))

    # --- remote.Surroundings -----------------------------------------------------------------------------------------

    def clock(self) -> float:
        """Monotonic seconds."""
        return trio.current_time()

    def chance(self) -> float:
        """A random number in [0, 1)."""
        return random.random()

    def acked(self, pair: Pair, seq: int) -> None:
        """The other side has everything of the pair up to this number."""
        held = self._held_of(pair.remote)
        if held is not None:
            self._queues.acked(held, pair, seq)

    def read(self, pair: Pair) -> None:
        """The pair wants its next rows."""
        held = self._held_of(pair.remote)
        if held is not None:
            self._queues.read(held, self._remotes[pair.remote], pair)

    def opened(self, remote: Remote, local: str) -> None:
        """A pair was proved."""
        _log.info("s2s_opened", remote=remote.name, local=local)
        held = self._held.get(remote.partition)
        if held is not None:
            self._queues.outcome(held, remote, local, None)

    def failed(self, remote: Remote, trouble: Trouble) -> None:
        """A stream could not be opened, or a pair was refused."""
        _log.info(
            "s2s_failed", remote=remote.name, why=trouble.text or trouble.condition, failures=remote.failures
        )
        held = self._held.get(remote.partition)
        if held is not None:
            for local in list(remote.pairs):
                self._queues.outcome(held, remote, local, trouble)

    def broken(self, name: str) -> None:
        """A stream to the remote domain that was open has ended, and not because nobody used it."""
        self.on_broken(name)

    def spoiled(self, pair: Pair, entry: Entry, trouble: Trouble) -> None:
        """The other side ends each stream that brings this stanza: give it up."""
        _log.warning("s2s_spoiled", remote=pair.remote, why=trouble.text or trouble.condition)
        held = self._held_of(pair.remote)
        if held is not None:
            self._queues.spoiled(held, pair, entry, trouble)

    def mute(self, remote: Remote) -> None:
        """The other side cannot acknowledge, or can again."""
        if remote.mute:
            _log.warning("s2s_cannot_acknowledge", remote=remote.name)
        else:
            _log.info("s2s_acknowledges", remote=remote.name)
        held = self._held.get(remote.partition)
        if held is not None:
            self._queues.mute(held, remote)

    def uncertain(self, pair: Pair, entry: Entry) -> None:
        """It was sent once to a side that cannot acknowledge, on a stream that broke."""
        held = self._held_of(pair.remote)
        if held is not None and entry.seq:
            _log.warning("s2s_uncertain", remote=pair.remote)
            self._queues.spoiled(held, pair, entry, _UNCERTAIN)

    def ring(self, remote: Remote, at: float) -> None:
        """Call its `on_time` at this moment."""
        heapq.heappush(self._rings, (at, next(self._tick), remote))
        if self._rings[0][2] is remote:
            self._rung.set()

    def _held_of(self, name: str) -> Held | None:
        remote = self._remotes.get(name)
        return None if remote is None else self._held.get(remote.partition)

    # --- time --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ring until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look)
            nursery.start_soon(self._ticks)
            while True:
                self._rung = trio.Event()
                until = self._rings[0][0] if self._rings else float("inf")
                with trio.move_on_at(until):
                    await self._rung.wait()
                await trio.lowlevel.checkpoint()
                now = self.clock()
                while self._rings and self._rings[0][0] <= now:
                    _, _, remote = heapq.heappop(self._rings)
                    self._guarded(remote, now)

    async def _look(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            now = self.clock()
            for number, remote in enumerate(self):
                if number % LOOK_AT_ONCE == LOOK_AT_ONCE - 1:
                    await trio.lowlevel.checkpoint()
                for one in remote.all():
                    if one.condition is Condition.OPEN:
                        self._guarded(one, now)
                    self.on_look(one)

    async def _ticks(self) -> None:
        while True:
            await trio.sleep(TICK_SECONDS)
            self.gate.tick()

    @staticmethod
    def _guarded(remote: Remote, now: float) -> None:
        try:
            remote.on_time(now)
        except Exception:
            _log.exception("s2s_remote_failed", remote=remote.name)


class _Nowhere:
    """No way to other servers yet."""

    def open(self, remote: str, local: str, owner: Owner) -> Link:
        raise RuntimeError("no streams")


def _ignore(remote: object) -> None:
    pass
