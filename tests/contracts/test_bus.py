"""One suite for the bus on its in-process network and on a real NATS."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio

from rookery.shared import config
from rookery.shared.bus.api import Call
from rookery.shared.bus.core import BusCore
from rookery.shared.bus.memory import Network
from rookery.shared.bus.messages import Acked, DomainsChanged, Done, GetDomains, Item, Kind, Origin, Route
from rookery.shared.bus.nats import NatsBus
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

MakeBus = Callable[[str], Awaitable[BusCore]]


@pytest.fixture(params=["memory", "nats"])
async def make_bus(request: pytest.FixtureRequest, bus_prefix: str) -> AsyncIterator[MakeBus]:
    async with trio.open_nursery() as nursery:
        if request.param == "memory":
            network = Network(prefix=bus_prefix)
            nursery.start_soon(network.run)

            async def make(name: str) -> BusCore:
                await trio.lowlevel.checkpoint()
                return network.bus(name)

        else:
            settings = config.Bus(url=request.getfixturevalue("nats_url"), prefix=bus_prefix)

            async def make(name: str) -> BusCore:
                bus = NatsBus(name, settings)
                await nursery.start(bus.run)
                return bus

        yield make
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    begin = time.monotonic()
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  from outside
            await trio.sleep(0.002)
    return time.monotonic() - begin


async def test_many_items_arrive_once_and_in_order_within_the_window(make_bus: MakeBus) -> None:
    edge, router = await make_bus("edge1"), await make_bus("router1")
    edge.resolver = lambda kind, partition: ("router1", 3)
    got: list[tuple[str, Kind, int, int, Item | Call]] = []
    router.receiver = lambda *args: got.append(args)
    for n in range(20_000):
        edge.post(Kind.ROUTER, n % 256, Acked("a@x/r", 1, n))
    edge.flush()
    assert edge.congested()
    await until(lambda: len(got) == 20_000)
    assert got == [("edge1", Kind.ROUTER, n % 256, 3, Acked("a@x/r", 1, n)) for n in range(20_000)]
    await until(lambda: not edge.congested())


async def test_stanzas_of_the_largest_size_pass(make_bus: MakeBus) -> None:
    edge, router = await make_bus("edge1"), await make_bus("router1")
    edge.resolver = lambda kind, partition: ("router1", 3)
    got: list[Item | Call] = []
    router.receiver = lambda s, k, p, e, item: got.append(item)
    stanza = Stanza(
        "message", "chat", "b@x", "a@x/r", "1", "", (), (("jabber:client", "body"),), b"x" * 262_144
    )
    items = [Route(Origin(b"s" * 16, n, "edge1"), stanza) for n in range(24)]
    for item in items:
        edge.post(Kind.ROUTER, 1, item)
    await until(lambda: len(got) == len(items))
    assert got == items


async def test_both_directions_and_to_oneself(make_bus: MakeBus) -> None:
    a, b = await make_bus("a1"), await make_bus("b1")
    counts = {"a1": 0, "b1": 0}

    def receiver(bus: BusCore, other: str) -> Callable[[str, Kind, int, int, Item | Call], None]:
        def receive(source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
            assert isinstance(item, Acked)
            counts[bus.incarnation] += 1
            if item.n:
                bus.post_to(other if item.n % 2 else bus.incarnation, item._replace(n=item.n - 1))

        return receive

    a.receiver, b.receiver = receiver(a, "b1"), receiver(b, "a1")
    a.post_to("b1", Acked("", 0, 400))
    await until(lambda: sum(counts.values()) == 401)
    assert min(counts.values()) > 100


async def test_calls_side_by_side_get_each_its_own_answer(make_bus: MakeBus) -> None:
    edge, worker = await make_bus("edge1"), await make_bus("account1")
    edge.resolver = lambda kind, partition: ("account1", 1)

    def receive(source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        assert isinstance(item, Call)
        if partition % 2:
            worker.reply(item, StanzaError("not-allowed", f"p{partition}"))
        else:
            worker.reply(item, Acked("", 0, partition))

    worker.receiver = receive
    answers: dict[int, object] = {}

    async def ask(partition: int) -> None:
        try:
            answers[partition] = await edge.call(Kind.ACCOUNT, partition, GetDomains())
        except StanzaError as exc:
            answers[partition] = exc.text

    async with trio.open_nursery() as nursery:
        for partition in range(100):
            nursery.start_soon(ask, partition)
    assert answers == {p: f"p{p}" if p % 2 else Acked("", 0, p) for p in range(100)}


async def test_call_to_the_own_process(make_bus: MakeBus) -> None:
    bus = await make_bus("a1")
    bus.resolver = lambda kind, partition: ("a1", 1)
    bus.receiver = lambda s, k, p, e, item: bus.reply(item, Done()) if isinstance(item, Call) else None
    assert await bus.call(Kind.ACCOUNT, 1, GetDomains()) == Done()


async def test_control_reaches_everyone_once(make_bus: MakeBus) -> None:
    heard: list[str] = []
    buses = [await make_bus(name) for name in ("a1", "b1", "c1")]
    for bus in buses:
        bus.on_control = lambda item, name=bus.incarnation: heard.append(name)  # type: ignore[misc]
    buses[0].announce(DomainsChanged())
    await until(lambda: len(heard) == 3)
    await trio.sleep(0.02)
    assert sorted(heard) == ["a1", "b1", "c1"]


async def test_item_refused_by_one_holder_reaches_the_next(make_bus: MakeBus) -> None:
    edge, first, second = [await make_bus(name) for name in ("edge1", "router1", "router2")]
    holder = ("router1", 1)
    edge.resolver = lambda kind, partition: holder
    got: list[int] = []
    first.receiver = lambda s, k, p, e, item: first.refuse(s, k, p, e, item)
    second.receiver = lambda s, k, p, e, item: got.append(item.n)  # type: ignore[union-attr]
    for n in range(10):
        edge.post(Kind.ROUTER, 1, Acked("", 0, n))
    await until(lambda: first.stats.refused > 0)
    holder = ("router2", 2)
    edge.holder_changed("router1", [(Kind.ROUTER, 1)])
    for n in range(10, 20):
        edge.post(Kind.ROUTER, 1, Acked("", 0, n))
    await until(lambda: len(got) == 20)
    assert got == list(range(20))
