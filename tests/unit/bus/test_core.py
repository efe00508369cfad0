"""The bus core: parking, items that come back, calls, peers that are lost, faults of the transport."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from rookery.shared.bus.api import BusTimeout, Call
from rookery.shared.bus.core import BusCore
from rookery.shared.bus.memory import Fate, MemoryBus, Network
from rookery.shared.bus.messages import Acked, Done, GetDomains, Item, Kind
from rookery.shared.bus.parking import PARK_ITEMS, PARK_SECONDS
from rookery.shared.xmpp.errors import StanzaError


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class World:
    """One sender and two possible holders that write down what they get."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.net = Network(clock=self.clock)
        self.edge = self.net.bus("edge1")
        self.holder: tuple[str, int] | None = None
        self.edge.resolver = lambda kind, partition: self.holder
        self.got: dict[str, list[int]] = {}
        self.refusing: set[str] = set()
        for name in ("router1", "router2"):
            self.add(name)

    def add(self, name: str) -> MemoryBus:
        bus = self.net.bus(name)
        self.got[name] = []

        def receive(source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
            if name in self.refusing:
                bus.refuse(source, kind, partition, epoch, item)
            else:
                assert isinstance(item, Acked)
                self.got[name].append(item.n)

        bus.receiver = receive
        return bus

    def post(self, *numbers: int) -> None:
        for n in numbers:
            self.edge.post(Kind.ROUTER, 5, Acked("a@x/r", 1, n))


@pytest.fixture
def world() -> World:
    return World()


KEY = [(Kind.ROUTER, 5)]


def test_items_wait_for_a_holder_and_then_go_in_order(world: World) -> None:
    world.post(1, 2)
    world.net.settle()
    world.holder = ("router1", 1)
    world.post(3)  # behind those that wait
    world.edge.holder_changed(None, KEY)
    world.net.settle()
    assert world.got["router1"] == [1, 2, 3]


def test_items_that_wait_too_long_are_lost_and_counted(world: World) -> None:
    world.post(1)
    world.clock.now = PARK_SECONDS - 1
    world.post(2)
    world.net.tick()
    world.clock.now = PARK_SECONDS + 1
    world.net.tick()
    assert world.edge.stats.expired == 1
    world.holder = ("router1", 1)
    world.edge.holder_changed(None, KEY)
    world.net.settle()
    assert world.got["router1"] == [2]


def test_parking_is_bounded_and_congests_long_before(world: World) -> None:
    for n in range(5000):
        world.post(n)
    assert world.edge.congested()
    for n in range(PARK_ITEMS):
        world.post(n)
    assert world.edge.parking.count == PARK_ITEMS


def test_live_move_keeps_order_although_items_come_back(world: World) -> None:
    world.holder = ("router1", 1)
    world.post(1)
    world.net.settle()
    world.refusing.add("router1")  # it is releasing
    world.post(2, 3)
    world.net.settle()
    assert world.edge.stats.refused == 0
    world.post(4)
    world.holder = ("router2", 2)
    world.edge.holder_changed("router1", KEY)
    world.post(5)  # must not overtake 2, 3 and 4
    world.net.settle()
    assert world.got == {"router1": [1], "router2": [2, 3, 4, 5]}


def test_refused_item_waits_until_a_higher_epoch_is_known(world: World) -> None:
    world.holder = ("router1", 1)
    world.refusing.add("router1")
    world.post(1)
    world.net.settle()
    world.edge.holder_changed(None, KEY)
    world.net.settle()
    assert world.net.buses["router1"].stats.refused == 1, (
        "it is not offered to the same holder again and again"
    )
    world.holder = ("router2", 2)
    world.edge.holder_changed("router1", KEY)
    world.net.settle()
    assert world.got["router2"] == [1]


def test_what_was_for_one_process_alone_does_not_come_back(world: World) -> None:
    """Nobody else can be given it, so it would wait here for nothing (`bus_item_expired`)."""
    world.refusing.add("router1")
    world.edge.post_to("router1", Acked("a@x/r", 1, 1))
    world.net.settle()
    assert world.net.buses["router1"].stats.refused == 1
    assert world.edge.parking.count == 0


def test_kept_items_go_before_what_waited_when_the_holder_is_lost(world: World) -> None:
    world.holder = ("router1", 1)
    world.post(1)
    world.net.settle()
    world.net.kill("router1")
    world.post(2)  # sent to the dead process, or never sent: of unknown fate
    world.net.settle()
    world.holder = None
    world.edge.on_holder = lambda kind, partition: world.post(1, 2, 3)
    world.edge.forget("router1")
    world.post(3)
    world.holder = ("router2", 2)
    world.edge.holder_changed("router1", KEY)
    world.net.settle()
    assert world.got["router2"] == [1, 2, 3, 3]


def test_barrier_that_a_former_holder_does_not_pass_ends(world: World) -> None:
    world.holder = ("router1", 1)
    world.post(1)
    world.net.settle()
    world.net.kill("router1")
    world.holder = ("router2", 2)
    world.edge.holder_changed("router1", KEY)
    world.post(2)
    world.net.settle()
    assert world.got["router2"] == []
    world.clock.now = 4.0
    world.net.tick()
    assert world.got["router2"] == [2]


def test_what_a_silent_holder_was_not_sent_goes_behind_what_the_services_send_again(world: World) -> None:
    world.holder = ("router1", 1)
    world.post(1)
    world.net.settle()
    world.post(2)  # in the queue of the link while the next holder is heard of
    world.edge.on_holder = lambda kind, partition: world.post(1, 2)
    world.holder = ("router2", 2)
    world.edge.holder_changed("router1", KEY, wait=False)
    world.net.settle()
    assert world.got["router2"] == [1, 2, 2]


def test_moving_to_and_from_this_very_process_keeps_order() -> None:
    net = Network(clock=lambda: 0.0)
    a, b = net.bus("a1"), net.bus("b1")
    got: list[tuple[str, int]] = []
    refusing = False

    def local(source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        assert isinstance(item, Acked)
        if refusing:
            a.refuse(source, kind, partition, epoch, item)
        else:
            got.append(("a1", item.n))

    a.receiver = local
    b.receiver = lambda source, kind, partition, epoch, item: got.append(("b1", item.n))  # type: ignore[union-attr]
    holder = ("a1", 1)
    a.resolver = lambda kind, partition: holder
    a.post(Kind.ROUTER, 5, Acked("", 0, 1))
    net.settle()
    refusing = True
    a.post(Kind.ROUTER, 5, Acked("", 0, 2))
    holder = ("b1", 2)
    a.holder_changed("a1", KEY)
    a.post(Kind.ROUTER, 5, Acked("", 0, 3))
    net.settle()
    assert got == [("a1", 1), ("b1", 2), ("b1", 3)]


# --- calls ---


async def test_call_without_holder_times_out(autojump_clock: MockClock) -> None:
    world = World()
    begin = trio.current_time()
    with pytest.raises(BusTimeout):
        await world.edge.call(Kind.ACCOUNT, 1, GetDomains(), timeout=3)
    assert trio.current_time() - begin == pytest.approx(3)


async def test_a_long_call_ends_with_the_tick_after_its_time(nursery: trio.Nursery) -> None:
    world = World()
    failed: list[BusTimeout] = []

    async def ask() -> None:
        try:
            await world.edge.call(Kind.ACCOUNT, 1, GetDomains(), timeout=10)
        except BusTimeout as error:
            failed.append(error)

    world.clock.now = 100.0
    nursery.start_soon(ask)
    await wait_all_tasks_blocked()
    for now, ended in ((109.5, 0), (110.0, 1)):
        world.clock.now = now
        world.net.tick()
        await wait_all_tasks_blocked()
        assert len(failed) == ended
    world.net.tick()  # it is forgotten
    assert len(failed) == 1


async def test_call_fails_at_once_when_the_holder_is_lost(autojump_clock: MockClock) -> None:
    world = World()
    world.net.buses["router1"].receiver = lambda *_: None
    world.holder = ("router1", 1)
    async with trio.open_nursery() as nursery:

        async def lose() -> None:
            await trio.sleep(1)
            world.holder = None
            world.edge.forget("router1")

        nursery.start_soon(world.net.run)
        nursery.start_soon(lose)
        begin = trio.current_time()
        with pytest.raises(BusTimeout):
            await world.edge.call(Kind.ROUTER, 1, GetDomains(), timeout=30)
        assert trio.current_time() - begin == pytest.approx(1)
        nursery.cancel_scope.cancel()


async def test_call_that_was_refused_reaches_the_next_holder(autojump_clock: MockClock) -> None:
    world = World()
    second = world.net.buses["router2"]
    second.receiver = lambda s, k, p, e, item: second.reply(item, Done()) if isinstance(item, Call) else None
    world.refusing.add("router1")
    world.holder = ("router1", 1)
    async with trio.open_nursery() as nursery:

        async def move() -> None:
            await trio.sleep(1)
            world.holder = ("router2", 2)
            world.edge.holder_changed("router1", KEY)

        nursery.start_soon(world.net.run)
        nursery.start_soon(move)
        assert await world.edge.call(Kind.ROUTER, 5, GetDomains()) == Done()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "error", [StanzaError("conflict"), StanzaError("not-allowed", "no", type="auth", app=("urn:x", "y"))]
)
async def test_call_raises_the_stanza_error_of_the_holder(error: StanzaError) -> None:
    world = World()
    bus = world.net.buses["router1"]
    bus.receiver = lambda s, k, p, e, item: bus.reply(item, error) if isinstance(item, Call) else None
    world.holder = ("router1", 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.net.run)
        with pytest.raises(StanzaError) as raised:
            await world.edge.call(Kind.ROUTER, 5, GetDomains())
        nursery.cancel_scope.cancel()
    got = raised.value
    assert (got.condition, got.type, got.text, got.app) == (
        error.condition,
        error.type,
        error.text,
        error.app,
    )


# --- faults ---


def test_loss_repetition_and_delay_are_made_good(world: World) -> None:
    fates: list[Fate] = [None, (1, 1), (3,), (1,), None, (2,)]

    def fault(source: str, subject: str, payload: bytes) -> Fate:
        fates.append(fates.pop(0))
        return fates[-1]

    world.holder = ("router1", 1)
    world.net.fault = fault
    for n in range(60):
        world.post(n)
        world.net.step()
    for _ in range(20):
        world.net.tick()
    assert world.got["router1"] == list(range(60))


def test_transport_that_was_away_loses_nothing(world: World) -> None:
    world.holder = ("router1", 1)
    world.post(1)
    world.net.settle()
    world.net.buses["router1"].disconnect()
    world.post(2)
    world.net.settle()
    world.edge.disconnect()
    world.post(3)
    world.net.settle()
    assert world.edge.congested()
    world.net.buses["router1"].reconnect()
    world.edge.reconnect()
    world.net.settle()
    assert world.got["router1"] == [1, 2, 3]
    assert not world.edge.congested()
    assert world.edge.stats.resets == 0


def test_peer_that_gave_us_up_and_comes_back_resets_the_link(world: World) -> None:
    world.holder = ("router1", 1)
    world.post(1)
    world.net.settle()
    world.net.buses["router1"].forget("edge1")
    resets: list[str] = []

    def again(peer: str) -> None:
        resets.append(peer)
        world.post(2)  # kept, not accepted

    world.edge.on_reset = again
    world.post(2)
    world.net.settle()
    world.post(3)
    world.net.settle()
    assert resets == ["router1"]
    assert world.got["router1"] == [1, 2, 3]


def test_bad_item_and_failing_receiver_do_not_stop_a_link(world: World) -> None:
    calls: list[object] = []

    def receive(source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        calls.append(item)
        if len(calls) == 1:
            raise RuntimeError("a mistake in a service")

    world.net.buses["router1"].receiver = receive
    world.holder = ("router1", 1)
    world.post(1)
    world.edge.post(Kind.ROUTER, 5, Acked("a@x/r", object(), 2))  # type: ignore[arg-type]  cannot be packed
    world.post(3)
    world.net.settle()
    assert calls == [Acked("a@x/r", 1, 1), Acked("a@x/r", 1, 3)]
    assert world.edge.stats.unsendable == 1
    assert world.net.buses["router1"].stats.bad_items == 1


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x91" * 5000, b"\x92\x90\x90"])
def test_bytes_that_are_no_batch_change_nothing(world: World, raw: bytes) -> None:
    world.edge.take_batch(raw)
    world.edge.take_control(raw)
    assert world.edge.stats.bad_batches == 2


def test_long_queue_goes_in_batches_that_the_transport_carries(world: World) -> None:
    sizes: list[int] = []
    world.holder = ("router1", 1)
    world.net.fault = lambda source, subject, payload: sizes.append(len(payload)) or (1,)  # type: ignore[func-returns-value]
    for n in range(40):
        world.edge.post(Kind.ROUTER, 5, Acked("x" * 100_000, 1, n))
    world.net.settle()
    assert world.got["router1"] == list(range(40))
    assert max(sizes) <= 1024 * 1024
    world.edge.post(Kind.ROUTER, 5, Acked("x" * 1_100_000, 1, 99))
    world.net.settle()
    assert world.edge.stats.unsendable == 1


def test_pause_holds_senders_back_and_resume_lets_them_go_on(world: World) -> None:
    world.holder = ("router1", 1)
    router: BusCore = world.net.buses["router1"]
    router.pause()
    world.post(*range(5000))
    world.net.settle()
    assert len(world.got["router1"]) == 4096, "the first window was granted before anything was known"
    assert world.edge.congested()
    router.resume()
    world.net.settle()
    assert len(world.got["router1"]) == 5000


def test_one_turn_is_one_batch_for_each_peer_with_the_acknowledgement_in_it(world: World) -> None:
    router = world.net.buses["router1"]
    router.receiver = lambda source, k, p, e, item: router.post_to(source, Acked("", 0, 1))
    world.edge.receiver = lambda *_: None
    world.holder = ("router1", 1)
    world.post(*range(100))
    world.net.settle()
    assert world.edge.stats.batches_out == 1
    assert router.stats.batches_out == 1
    assert world.net.carried == 2
