"""Links: whatever is lost, repeated or reordered on the way, the receiver gets every item once and in order, until a reset."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.examples import STEPS, many

from rookery.shared.bus.batch import BACK, Entry, Head, pack_item
from rookery.shared.bus.links import Link
from rookery.shared.bus.messages import Acked, Kind

WINDOW, WINDOW_BYTES = 8, 400


def entry(n: int) -> Entry:
    return (Kind.ROUTER, 0, 1, Acked("a@x/r", 1, n), 0)


def number(packed: bytes) -> int:
    return NUMBERS[packed]


NUMBERS = {pack_item(entry(n)): n for n in range(5000)}
Batch = tuple[Head, Sequence[bytes]]


class Peer:
    """One end: a link, what it has received, and the wire towards the other end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.serial = 1
        self.link = Link(1, WINDOW, WINDOW_BYTES)
        self.posted = 0
        self.received: list[int] = []
        self.resets = 0
        self.wire: deque[Batch] = deque()

    def post(self, count: int) -> None:
        for _ in range(count):
            self.link.queue.append(entry(self.posted))
            self.posted += 1

    def pump(self) -> None:
        link = self.link
        if link.unknown_due:
            self.wire.append((link.head(1, self.name), ()))
        while (taken := link.take(pack_item, 150)) is not None:
            first, items = taken
            self.wire.append((link.head(1, self.name, first), items))
        if link.reply_due:
            self.wire.append((link.head(1, self.name), ()))

    def take(self, batch: Batch) -> None:
        head, items = batch
        if self.link.acknowledged(head):
            self.serial += 1
            self.resets += 1
            self.link.queue.extend(self.link.restart(self.serial))
        skip = self.link.arrived(head, len(items), sum(map(len, items)))
        self.received += [number(packed) for packed in items[skip:]]


class LinkMachine(RuleBasedStateMachine):
    """Two peers and a wire that loses, repeats and reorders."""

    @initialize()
    def start(self) -> None:
        self.a, self.b = Peer("a"), Peer("b")

    @rule(count=st.integers(1, 12), back=st.booleans())
    def post(self, count: int, back: bool) -> None:
        peer = self.b if back else self.a
        peer.post(count)
        peer.pump()

    @rule(
        back=st.booleans(),
        fate=st.sampled_from(["deliver", "deliver", "deliver", "lose", "repeat", "reorder"]),
    )
    def carry(self, back: bool, fate: str) -> None:
        source, target = (self.b, self.a) if back else (self.a, self.b)
        if not source.wire:
            return
        batch = source.wire.popleft()
        if fate == "reorder" and source.wire:
            source.wire.insert(1, batch)
            return
        for _ in range({"lose": 0, "repeat": 2}.get(fate, 1)):
            target.take(batch)
        target.pump()
        source.pump()

    @rule()
    def tick(self) -> None:
        for peer in (self.a, self.b):
            peer.link.tick()
            peer.pump()

    @rule()
    def transport_away(self) -> None:
        for peer in (self.a, self.b):
            peer.wire.clear()
            peer.link.resync()
            peer.pump()

    @precondition(lambda self: hasattr(self, "a"))
    @invariant()
    def in_order_and_once(self) -> None:
        for source, target in ((self.a, self.b), (self.b, self.a)):
            assert target.received == list(range(len(target.received)))
            assert source.resets == 0, "without amnesia no generation ends"
            assert len(source.link._unacked) <= WINDOW

    def teardown(self) -> None:
        """When the wire behaves again, everything arrives: no deadlock of credit."""
        if not hasattr(self, "a"):
            return
        for _ in range(300):
            if self.a.link.idle and self.b.link.idle:
                break
            for source, target in ((self.a, self.b), (self.b, self.a)):
                while source.wire:
                    target.take(source.wire.popleft())
                target.link.tick()
                target.pump()
        assert self.b.received == list(range(self.a.posted))
        assert self.a.received == list(range(self.b.posted))


TestLinks = LinkMachine.TestCase
TestLinks.settings = settings(max_examples=many(50), stateful_step_count=min(40, STEPS), deadline=None)


def exchange(a: Peer, b: Peer) -> None:
    while a.wire or b.wire:
        for source, target in ((a, b), (b, a)):
            while source.wire:
                target.take(source.wire.popleft())
            target.pump()
            source.pump()


def test_window_stops_the_sender_and_a_quarter_of_it_lets_it_go_on() -> None:
    a, b = Peer("a"), Peer("b")
    a.post(20)
    a.pump()
    assert a.link.blocked
    assert sum(len(items) for _, items in a.wire) == WINDOW
    exchange(a, b)
    assert b.received == list(range(20))
    assert not a.link.blocked


def test_bytes_stop_the_sender_too() -> None:
    link = Link(1, 1000, 100)
    link.queue.extend(entry(n) for n in range(50))
    while link.take(pack_item, 1000) is not None:
        pass
    assert link.blocked
    assert 100 <= link.flying_bytes < 130


def test_batches_respect_the_limit_but_one_long_item_still_goes() -> None:
    link = Link(1, 1000, 10_000)
    link.queue.extend(entry(n) for n in range(10))
    size = len(pack_item(entry(0)))
    sizes = []
    while (taken := link.take(pack_item, size * 3)) is not None:
        sizes.append(len(taken[1]))
    assert sizes == [3, 3, 3, 1]
    link.queue.append(entry(0))
    assert link.take(pack_item, 1) is not None


def test_what_cannot_be_packed_is_left_out_and_leaves_no_hole() -> None:
    link = Link(1, 10, 1000)
    link.queue.extend(entry(n) for n in range(3))
    taken = link.take(lambda e: None if e == entry(1) else pack_item(e), 1000)
    assert taken is not None
    assert [number(packed) for packed in taken[1]] == [0, 2]
    assert link.sent == 2


def test_lost_tail_is_found_by_the_probe() -> None:
    a, b = Peer("a"), Peer("b")
    a.post(3)
    a.pump()
    a.wire.clear()
    a.link.tick()
    a.pump()
    exchange(a, b)
    assert b.received == [0, 1, 2]


def test_forgetting_peer_makes_the_sender_begin_a_new_generation() -> None:
    a, b = Peer("a"), Peer("b")
    a.post(3)
    a.pump()
    exchange(a, b)
    b.link = Link(2, WINDOW, WINDOW_BYTES, dead=b.link.peer_generation)  # b gave a up and forgot it
    a.post(2)
    a.pump()
    exchange(a, b)
    assert a.resets == 1
    assert b.received == [0, 1, 2], "what was on the way is of unknown fate: services send it again"
    a.post(2)
    a.pump()
    exchange(a, b)
    assert b.received == [0, 1, 2, 5, 6]


def test_forgotten_generation_is_not_delivered_again_even_from_its_beginning() -> None:
    a, b = Peer("a"), Peer("b")
    a.post(2)
    a.pump()
    first = a.wire[0]
    b.take(first)
    b.link = Link(2, WINDOW, WINDOW_BYTES, dead=b.link.peer_generation)
    b.take(first)
    assert b.received == [0, 1]
    assert b.link.unknown_due == 1


def test_queued_items_survive_a_reset_behind_what_services_send_again() -> None:
    link = Link(1, 2, 1000)
    link.queue.extend(entry(n) for n in range(4))
    link.take(pack_item, 1000)
    held = link.restart(5)
    assert [e[3] for e in held] == [entry(2)[3], entry(3)[3]]
    assert (link.generation, link.sent, link.acked, link.flying_bytes) == (5, 0, 0, 0)


def test_paused_receiver_grants_nothing_and_then_again() -> None:
    a, b = Peer("a"), Peer("b")
    a.post(1)
    a.pump()
    head, items = a.wire.popleft()
    b.take((head, items))
    assert not a.link.acknowledged(b.link.head(1, "b", paused=True))
    a.post(1)
    a.pump()
    assert a.link.blocked
    a.link.acknowledged(b.link.head(1, "b"))
    assert not a.link.blocked


@given(st.integers(-5, 50), st.integers(0, 3), st.integers(0, 3))
def test_nonsense_acknowledgements_change_nothing(ack: int, generation: int, flags: int) -> None:
    link = Link(2, WINDOW, WINDOW_BYTES)
    link.queue.extend(entry(n) for n in range(5))
    link.take(pack_item, 1000)
    head = Head(1, "b", 1, 0, 0, flags, generation, ack, WINDOW, WINDOW_BYTES)
    unknown = link.acknowledged(head)
    assert unknown == (generation == 2 and ack == -1)
    valid = generation == 2 and 0 <= ack <= 5
    assert link.acked == (ack if valid else 0)
    assert link.resending == (valid and bool(flags & BACK) and ack < 5)


def test_old_generation_of_the_peer_is_ignored() -> None:
    link = Link(1, WINDOW, WINDOW_BYTES)
    assert link.arrived(Head(1, "b", 4, 0, 0, 0, 0, 0, 8, 8), 2, 10) == 0
    assert link.arrived(Head(1, "b", 3, 0, 0, 0, 0, 0, 8, 8), 2, 10) == 2
    assert link.next == 2
