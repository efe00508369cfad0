"""The bus core over the in-process network."""

from __future__ import annotations

import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.memory import Network
from rookery.shared.bus.messages import Acked, AskProcess, DomainsChanged, Done, GetDomains, Kind, RoomTold
from rookery.shared.xmpp.stanza import Stanza


def test_items_arrive_in_order_and_know_their_sender() -> None:
    net = Network(clock=lambda: 0.0)
    edge, router = net.bus("edge1"), net.bus("router1")
    edge.resolver = lambda kind, partition: ("router1", 7)
    got: list[object] = []
    router.receiver = lambda *args: got.append(args)
    for n in range(3):
        edge.post(Kind.ROUTER, 5, Acked("a@x/r", 1, n))
    net.settle()
    assert got == [("edge1", Kind.ROUTER, 5, 7, Acked("a@x/r", 1, n)) for n in range(3)]
    assert net.carried == 1, "one turn is one batch"


async def test_call_is_answered() -> None:
    net = Network()
    edge, account = net.bus("edge1"), net.bus("account1")
    edge.resolver = lambda kind, partition: ("account1", 1)

    def receive(source: str, kind: Kind, partition: int, epoch: int, item: object) -> None:
        assert isinstance(item, Call)
        assert item.request == GetDomains()
        account.reply(item, Done())

    account.receiver = receive
    async with trio.open_nursery() as nursery:
        nursery.start_soon(net.run)
        assert await edge.call(Kind.ACCOUNT, 0, GetDomains()) == Done()
        nursery.cancel_scope.cancel()


async def test_a_process_asks_itself_and_another_one() -> None:
    """An answer with items in it is the same, packed or not; `to` asks a process that holds nothing."""
    net = Network()
    one, two = net.bus("a1"), net.bus("b1")
    answer = RoomTold(Stanza.build("iq", type="result", id="1"))
    for bus in (one, two):
        bus.receiver = lambda source, kind, partition, epoch, item, bus=bus: bus.reply(item, answer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(net.run)
        for name in ("a1", "b1"):
            found = await one.call(Kind.EDGE, 0, AskProcess("history"), to=name)
            assert (type(found), found) == (RoomTold, answer)
        nursery.cancel_scope.cancel()


def test_control_reaches_everyone() -> None:
    net = Network(clock=lambda: 0.0)
    heard: list[str] = []
    for name in ("a1", "b1", "c1"):
        net.bus(name).on_control = lambda item, name=name: heard.append(name)
    net.buses["a1"].announce(DomainsChanged())
    net.settle()
    assert sorted(heard) == ["a1", "b1", "c1"]
