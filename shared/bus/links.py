"""One link to one peer process, both directions: a pure machine, without I/O and without a clock.

Core NATS delivers at most once and tells nobody what it lost, so a link numbers its items as TCP numbers bytes. The sender
keeps what is not acknowledged and sends it again from the receiver's position (go back N: NATS does not reorder, so a hole is a loss). So
between two live processes every item arrives once and in order, also over a restart of NATS. What a link cannot bridge is
that one side has given the other up for lost and forgot it: then the sender starts a new generation with number 0, what
was unacknowledged is of unknown fate, and the services are told (`Bus.on_reset`).

Credit is the receiver's window: so many items and bytes may be unacknowledged; the rest waits in `queue`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

from rookery.shared.bus.batch import ANSWER, BACK, MAX_ITEMS, UNKNOWN, Entry, Head


class Link:
    """The state of one link. `generation` must be higher than that of any earlier link to this peer.

    `dead` is the highest generation of the peer that this process has given up: it is refused.
    """

    __slots__ = (
        "_asked", "_cursor", "_owed_bytes", "_owed_items", "_progress", "_unacked", "acked", "answer_due", "back_due", "dead",
        "flying_bytes", "generation", "next", "peer_bytes", "peer_generation", "peer_items", "probe_due", "queue", "sent",
        "unknown_due", "window_bytes", "window_items",
    )  # fmt: skip

    def __init__(self, generation: int, window_items: int, window_bytes: int, dead: int = 0) -> None:
        # Sending. [acked, sent) is unacknowledged and kept packed; `_cursor` is the number that goes out next.
        self.generation = generation
        self.acked = 0
        self.sent = 0
        self._cursor = 0
        self._unacked: deque[bytes] = deque()
        self.flying_bytes = 0
        #: Until the peer has said what it grants, what we would grant: one cluster has one configuration.
        self.peer_items = window_items
        self.peer_bytes = window_bytes
        self.queue: deque[Entry] = deque()
        self._progress = 0
        self.probe_due = False
        # Receiving.
        self.peer_generation = 0
        self.dead = dead
        self.next = 0
        self.window_items = window_items
        self.window_bytes = window_bytes
        self._owed_items = 0
        self._owed_bytes = 0
        self.answer_due = False
        self.back_due = False
        self._asked = -1
        self.unknown_due = 0

    # --- sending ---

    @property
    def blocked(self) -> bool:
        """Whether items wait for credit."""
        return bool(self.queue) and not self._credit()

    @property
    def resending(self) -> bool:
        """Whether the peer asked for items again and they have not gone out yet."""
        return self._cursor < self.sent

    @property
    def unacknowledged(self) -> Iterable[bytes]:
        """What was sent and may not have arrived, packed, in order."""
        return self._unacked

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or unacknowledged."""
        return not self.queue and not self._unacked

    def _credit(self) -> bool:
        return len(self._unacked) < self.peer_items and self.flying_bytes < self.peer_bytes

    def take(self, pack: Callable[[Entry], bytes | None], limit: int) -> tuple[int, list[bytes]] | None:
        """The next items to send, at most `limit` bytes, as (first number, packed items); None when there is nothing.

        `pack` returns None for an item that cannot be sent; it is left out.
        """
        out: list[bytes] = []
        first, size = self._cursor, 0
        if first < self.sent:
            for packed in islice(self._unacked, first - self.acked, None):
                size += len(packed)
                if (size > limit and out) or len(out) == MAX_ITEMS:
                    self._cursor = first + len(out)
                    return first, out
                out.append(packed)
        queue, unacked = self.queue, self._unacked
        room = min(self.peer_items - len(unacked), MAX_ITEMS - len(out))
        flying, allowed = self.flying_bytes, self.peer_bytes
        while queue and room > 0 and flying < allowed:
            new = pack(queue[0])
            if new is None:
                queue.popleft()
                continue
            size += len(new)
            if size > limit and out:
                break
            queue.popleft()
            out.append(new)
            unacked.append(new)
            flying += len(new)
            room -= 1
        self.flying_bytes = flying
        self.sent = self.acked + len(unacked)
        self._cursor = first + len(out)
        return (first, out) if out else None

    def acknowledged(self, head: Head) -> bool:
        """Take what a head says of our items. True when the peer knows nothing of our generation: `restart` is due."""
        if head.ack_generation != self.generation:
            return False
        ack = head.ack
        if ack == UNKNOWN:
            return True
        if not self.acked <= ack <= self.sent:
            return False  # old, or nonsense
        unacked = self._unacked
        for _ in range(ack - self.acked):
            self.flying_bytes -= len(unacked.popleft())
        self.acked = ack
        self._cursor = ack if head.flags & BACK else max(self._cursor, ack)
        self.peer_items = head.window_items
        self.peer_bytes = head.window_bytes
        return False

    def restart(self, generation: int) -> deque[Entry]:
        """Begin anew with number 0. Returns what was queued: it goes behind what the services send again."""
        held, self.queue = self.queue, deque()
        self.generation = generation
        self._unacked.clear()
        self.acked = self.sent = self._cursor = self.flying_bytes = self._progress = 0
        self.peer_items, self.peer_bytes = self.window_items, self.window_bytes
        return held

    # --- receiving ---

    def arrived(self, head: Head, count: int, size: int) -> int:
        """A batch of `count` items and `size` bytes came: how many of its first items are to be skipped."""
        generation, first = head.generation, head.first
        if generation != self.peer_generation and not self._adopt(head):
            return count
        if head.flags & ANSWER:
            self.answer_due = True
        if first > self.next:  # a hole
            if self._asked != self.next:
                self._asked = self.next
                self.back_due = True
            return count
        skip = self.next - first
        if skip >= count:
            if count:
                self.answer_due = True  # all known: our acknowledgement was lost
            return count
        self.next = first + count
        self._owed_items += count - skip
        self._owed_bytes += size
        if self._owed_items * 4 >= self.window_items or self._owed_bytes * 4 >= self.window_bytes:
            self.answer_due = True
        return skip

    def _adopt(self, head: Head) -> bool:
        """Begin a new generation of the peer, unless it is an old one or one whose beginning we do not have."""
        if head.generation < self.peer_generation:
            return False
        if head.generation <= self.dead or head.base > 0:
            self.unknown_due = head.generation
            return False
        self.peer_generation = head.generation
        self.next = self._owed_items = self._owed_bytes = 0
        self._asked = -1
        return True

    @property
    def reply_due(self) -> bool:
        """Whether a head must go to the peer although there is no item for it."""
        return self.answer_due or self.back_due or self.unknown_due != 0 or self.probe_due

    def head(self, version: int, source: str, first: int | None = None, *, paused: bool = False) -> Head:
        """The head of the next batch to the peer; what was due is then done. `paused` grants nothing."""
        flags = ANSWER if self.probe_due else 0
        if self.unknown_due:
            generation, ack, flags = self.unknown_due, UNKNOWN, flags | BACK
            # What is due for the living generation stays due: this head speaks of a dead one.
            self.unknown_due = 0
        else:
            generation, ack = self.peer_generation, self.next
            flags |= BACK if self.back_due else 0
            self.answer_due = self.back_due = False
            self._owed_items = self._owed_bytes = 0
        self.probe_due = False
        return Head(
            version,
            source,
            self.generation,
            self._cursor if first is None else first,
            self.acked,
            flags,
            generation,
            ack,
            0 if paused else self.window_items,
            0 if paused else self.window_bytes,
        )

    # --- time ---

    def tick(self) -> None:
        """About a second has passed: acknowledge what is owed, ask the peer where it stands when it keeps silent."""
        if self._owed_items:
            self.answer_due = True
        self._asked = -1
        if (self._unacked and self.acked == self._progress) or self.blocked:
            self.probe_due = True
        self._progress = self.acked

    def resync(self) -> None:
        """The transport was away: say where we stand, ask where the peer stands."""
        self.back_due = self.peer_generation != 0
        self.probe_due = self.sent > 0
