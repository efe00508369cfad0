"""The bus without its transport: posts, calls, parking, links, and what arrives.

A `Transport` carries bytes to subjects; `BusCore` does the rest, without tasks of its own: `wake` asks whoever drives it to
call `turn` soon (`shared.bus.nats` and `shared.bus.memory` do). One turn delivers what was posted to this very process and
sends one batch to each peer that something is due for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import structlog
import trio
from mypy_extensions import mypyc_attr

from rookery.shared.bus import batch
from rookery.shared.bus.api import Call
from rookery.shared.bus.batch import BadBatch, Entry, Head, WrongVersion
from rookery.shared.bus.calls import Calls, answer_item
from rookery.shared.bus.links import Link
from rookery.shared.bus.marks import Mark
from rookery.shared.bus.messages import VERSION, Barrier, Failed, Item, Kind, Passed, Refused, Return
from rookery.shared.bus.moves import Moves
from rookery.shared.bus.parking import Key, Parking
from rookery.shared.bus.pump import Pump, Stats, Transport
from rookery.shared.bus.repeats import restart, take_back
from rookery.shared.bus.streams import BACKLOG_LIMIT
from rookery.shared.bus.subjects import Subjects
from rookery.shared.bus.versions import OLDEST, Unspoken
from rookery.shared.xmpp.errors import StanzaError

_log = structlog.get_logger()
#: Peers that we remember: bounds what forged sources can make us keep.
MAX_LINKS: Final = 8192


@mypyc_attr(allow_interpreted_subclasses=True)
class BusCore:
    """Implements `shared.bus.api.Bus`. `clock` gives monotonic seconds."""

    def __init__(
        self,
        incarnation: str,
        subjects: Subjects,
        *,
        window_items: int = 4096,
        window_bytes: int = 2 * 1024 * 1024,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        subjects.node(incarnation)  # raises for an incarnation that cannot be a subject
        self.incarnation = incarnation
        self.subjects = subjects
        self.stats = Stats()
        #: The highest version that this process reads; the cluster layer lowers it for a rehearsal.
        self.speaks = VERSION
        #: The version that batches are written in: the lowest alive (the cluster layer sets it); till then what all can read.
        self.version = OLDEST
        #: The version of the last batch that came, 0 before: everybody writes what all who are alive read.
        self.heard = 0
        self.receiver: Callable[[str, Kind, int, int, Item | Call], None] = self.refuse
        self.on_control: Callable[[Item], None] = _ignore
        self.on_reset: Callable[[str], None] = _ignore
        self.resolver: Callable[[Kind, int], tuple[str, int] | None] = lambda kind, partition: None
        #: Called before parked items of a partition go to its new holder: services send again what they keep for it.
        self.on_holder: Callable[[Kind, int], None] = _ignore
        #: Called with an item that came back because its partition has moved; it waits for the next holder.
        self.on_returned: Callable[[Kind, int, Item], None] = _ignore
        #: Called when `turn` is wanted.
        self.wake: Callable[[], None] = _ignore
        self._window_items, self._window_bytes = window_items, window_bytes
        self.clock = clock
        self._links: dict[str, Link] = {}
        self._dead: dict[str, int] = {}
        self._dirty: dict[str, Link] = {}
        self._blocked: set[str] = set()
        self._local: deque[Entry] = deque()
        self._announcements: list[Item] = []
        self.parking = Parking()
        self._awake = False
        self._serial = self._paused = 0
        self.calls = Calls(clock)
        self._moves = Moves(self)
        self._internal: dict[type, Callable[[str, Item], None]] = {
            Return: self.calls.on_return,
            Failed: self.calls.on_failed,
            Refused: self._moves.on_refused,
            Barrier: self._moves.on_barrier,
            Passed: self._moves.on_passed,
        }
        self._warned: set[str] = set()

    def attach(self, transport: Transport) -> None:
        """Give the bus its transport, once, before anything else."""
        self.transport = transport
        self._pump = Pump(self.incarnation, transport, self.stats)

    # --- sending ---

    def post(self, kind: Kind, partition: int, item: Item) -> None:
        """Send to whoever holds the partition; parked for at most 30 s while nobody does."""
        self.post_call(kind, partition, item, 0)

    def post_to(
        self, incarnation: str, item: Item, *, kind: Kind = Kind.EDGE, partition: int = 0, epoch: int = 0
    ) -> None:
        """Send to one process (deliveries to an edge, answers to a sender)."""
        self.put(incarnation, (kind, partition, epoch, item, 0))

    def announce(self, item: Item) -> None:
        """Tell every process, this one included, on the control subject. Not repeated when the transport is away."""
        self._announcements.append(item)
        self.want()

    def post_call(self, kind: Kind, partition: int, item: Item, call: int) -> None:
        """`post` for an item that may be the request of a call (0: it is none)."""
        parking = self.parking
        if (parking and (kind, partition) in parking) or (holder := self.resolver(kind, partition)) is None:
            self._moves.park(kind, partition, item, call)
            return
        if call:
            self.calls.asked(call, holder[0])
        self.put(holder[0], (kind, partition, holder[1], item, call))

    def holder(self, kind: Kind, partition: int) -> tuple[str, int] | None:
        """Who gets what is posted to the partition now, and under which epoch; None while it would wait."""
        return None if (kind, partition) in self.parking else self.resolver(kind, partition)

    def put(self, incarnation: str, entry: Entry) -> None:
        """Queue an entry for one process."""
        if incarnation == self.incarnation:
            self._local.append(entry)
        else:
            link = self._links.get(incarnation) or self._link(incarnation)
            link.queue.append(entry)
            self._dirty[incarnation] = link
        if not self._awake:
            self._awake = True
            self.wake()

    def want(self) -> None:
        """Ask for a turn soon."""
        if not self._awake:
            self._awake = True
            self.wake()

    def _link(self, peer: str) -> Link:
        self.subjects.node(peer)
        dead = self._dead.get(peer, 0)
        link = self._links[peer] = Link(self.serial(), self._window_items, self._window_bytes, dead)
        return link

    def serial(self) -> int:
        """A number that this process has not used before: generations, calls, barriers."""
        self._serial += 1
        return self._serial

    # --- calls ---

    async def call(
        self, kind: Kind, partition: int, request: Item, *, timeout: float = 10.0, to: str = ""
    ) -> Item:
        """Ask the holder, or the process `to`, and wait. Raises the StanzaError that was replied, or BusTimeout: PeerLost at once
        when the process is lost, and whether it did what was asked is then unknown."""
        number = self.serial()
        self.calls.begin(number)
        if to:
            self.put(to, (kind, partition, 0, request, number))
        else:
            self.post_call(kind, partition, request, number)
        return await self.calls.finish(number, kind, partition, timeout)

    def reply(self, call: Call, answer: Item | StanzaError) -> None:
        """Answer a Call."""
        self.put(call.reply_to, (Kind.EDGE, 0, 0, answer_item(call.id, answer), 0))

    # --- partitions that move: see `shared.bus.moves` ---

    def refuse(self, source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        """Give an item back to its sender: this process does not hold the partition."""
        self._moves.refuse(source, kind, partition, epoch, item)

    def holder_changed(self, former: str | None, keys: list[Key], *, wait: bool = True) -> None:
        """The resolver answers differently for `keys`, whose holder was `former` (None: there was none).

        While `former` lives (`wait`), it must first say that it has given back what it refused.
        """
        wait = wait and (former is None or former in self._links or former == self.incarnation)
        if not wait and (link := self._links.get(former or "")) is not None:
            self._moves.wait(take_back(link, frozenset(keys).__contains__))
        self._moves.holder_changed(former, keys, wait=wait)

    def forget(self, peer: str) -> None:
        """The peer is lost: drop its link and what waited for it. Should it come back, its link starts anew and it is told so."""
        link = self._links.pop(peer, None)
        self._dirty.pop(peer, None)
        self._blocked.discard(peer)
        if link is not None:
            if len(self._dead) >= MAX_LINKS:
                del self._dead[next(iter(self._dead))]
            self._dead[peer] = max(link.peer_generation, link.dead)
            # What another holds by now has gone there already, but for what was never sent.
            self._moves.repeat(take_back(link, self._unheld, unsent=True))
        self.calls.lost(peer)
        self._moves.lost(peer)

    def _unheld(self, key: Key) -> bool:
        return self.resolver(*key) is None

    # --- arrivals ---

    def take_batch(self, raw: bytes) -> None:
        """A message came to this process's own subject."""
        try:
            head, items = batch.unpack_batch(raw, self.speaks)
            source = head.source
            link = self._links.get(source)
            if link is None:
                if head.generation < 1 or source == self.incarnation or len(self._links) >= MAX_LINKS:
                    raise BadBatch("not from a link")
                link = self._link(source)
            elif head.generation < 1:
                raise BadBatch("not from a link")
        except ValueError as exc:  # BadBatch, or a source that can be no incarnation
            self._bad_batch(exc)
            return
        self.stats.batches_in += 1
        self.heard = head.version
        if link.acknowledged(head):
            self._restart(source, link)
        skip = link.arrived(head, len(items), len(raw))
        if link.queue or link.reply_due or link.resending:
            self._dirty[source] = link
            self.want()
        if skip < len(items):
            self.stats.items_in += len(items) - skip
            read = batch.read_item
            for raw_item in items[skip:] if skip else items:
                entry = read(raw_item)
                if entry is None:
                    self.stats.bad_items += 1
                    self.warn("bus_bad_item", source=source)
                else:
                    self._dispatch(source, entry)

    def take_control(self, raw: bytes) -> None:
        """A message came to the control subject."""
        try:
            head, items = batch.unpack_batch(raw, self.speaks)
        except BadBatch as exc:
            self._bad_batch(exc)
            return
        if head.source == self.incarnation:
            return
        for raw_item in items:
            entry = batch.read_item(raw_item)
            if entry is not None:
                self._control(entry[3])

    def _bad_batch(self, error: ValueError) -> None:
        self.stats.bad_batches += 1
        event = "bus_wrong_version" if isinstance(error, WrongVersion) else "bus_bad_batch"
        self.warn(event, error=str(error))

    def _control(self, item: Item) -> None:
        try:
            self.on_control(item)
        except Exception:
            _log.exception("bus_control_failed", item=type(item).__name__)

    def _dispatch(self, source: str, entry: Entry) -> None:
        kind, partition, epoch, item, call = entry
        try:
            internal = self._internal.get(item.__class__)
            if internal is not None:
                internal(source, item)
            else:
                self.receiver(source, kind, partition, epoch, Call(call, source, item) if call else item)
        except Exception:  # one bad item must not stop a link
            self.stats.bad_items += 1
            _log.exception(
                "bus_receive_failed", kind=kind.label, partition=partition, item=type(item).__name__
            )

    def _restart(self, peer: str, link: Link) -> None:
        """The peer knows nothing of our link (it gave us up): begin anew; services first, then what was queued."""
        self.stats.resets += 1
        held = restart(link, self.serial())
        _log.warning("bus_link_reset", peer=peer)
        try:
            self.on_reset(peer)
        except Exception:
            _log.exception("bus_reset_failed", peer=peer)
        link.queue.extend(held)
        self._dirty[peer] = link
        self.want()

    # --- turns ---

    def turn(self) -> None:
        """Deliver what was posted to this process, then send. Posts made meanwhile ask for another turn."""
        self._awake = False
        if self._local:
            local, self._local = self._local, deque()
            self.stats.items_local += len(local)
            me = self.incarnation
            for entry in local:
                self._dispatch(me, entry)
        for item in self._announce() if self._announcements else ():
            self._control(item)
        self.flush()

    def _announce(self) -> list[Item]:
        items, self._announcements = self._announcements, []
        if self.transport.connected:
            head = Head(self.version, self.incarnation, 0, 0, 0, 0, 0, 0, 0, 0)
            # Each by itself: none is long, they are rare, and Holds of a whole kind may come together.
            for item in items:
                try:
                    packed = batch.pack_item((Kind.EDGE, 0, 0, item, 0), self.version)
                except Unspoken:
                    continue
                self.transport.send(self.subjects.control, batch.pack_batch(head, [packed]))
        return items

    def flush(self) -> None:
        """Send now what was posted in this turn (the bus also does so by itself before it next waits)."""
        transport, dirty = self.transport, self._dirty
        if transport.connected:
            while dirty and transport.backlog < BACKLOG_LIMIT:
                peer, link = dirty.popitem()
                self._pump.run(link, self.subjects.node(peer), self.version, paused=self._paused > 0)
                if link.queue:
                    self._blocked.add(peer)
                else:
                    self._blocked.discard(peer)
            transport.flush()

    def tick(self) -> None:
        """Call once a second: time-outs, acknowledgements that are owed, links that got no answer."""
        self.calls.tick()
        self._moves.tick()
        for peer, link in self._links.items():
            link.tick()
            if link.reply_due:
                self._dirty[peer] = link
        if self._dirty:
            self.want()
        self._warned.clear()

    def reconnected(self) -> None:
        """The transport is up again: every link says where it stands, so both sides send again what got lost."""
        for peer, link in self._links.items():
            link.resync()
            self._dirty[peer] = link
        self.want()

    # --- state ---

    @property
    def connected(self) -> bool:
        """Whether the transport is up."""
        return self.transport.connected

    def congested(self) -> bool:
        """Whether any link has more waiting than its credit allows, too much is parked, or the transport is away."""
        return (
            bool(self._blocked)
            or not self.transport.connected
            or self.parking.count >= self._window_items
            or len(self._local) >= self._window_items
        )

    def mark(self) -> Mark:
        """What was posted until now: it can be asked whether that has arrived."""
        return Mark(self._links)

    def pause(self) -> None:
        """Grant no credit until `resume` was called as often: this process has more to do than it can take."""
        self._paused += 1

    def resume(self) -> None:
        """The opposite of `pause`."""
        self._paused -= 1
        if not self._paused:
            for peer, link in self._links.items():
                link.answer_due = True
                self._dirty[peer] = link
            self.want()

    def warn(self, event: str, **fields: object) -> None:
        """Log at most once a second for each event."""
        if event not in self._warned:
            self._warned.add(event)
            _log.warning(event, **fields)


def _ignore(*_: object) -> None:
    pass
