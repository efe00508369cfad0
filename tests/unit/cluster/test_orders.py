"""What operators ask of one process."""

from __future__ import annotations

import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.memory import Network
from rookery.shared.bus.messages import (
    AskProcess,
    DrainProcess,
    GetDomains,
    Item,
    Kind,
    ProcessTold,
    SetLogLevel,
)
from rookery.shared.cluster.orders import Orders
from rookery.shared.xmpp.errors import StanzaError


def test_orders_reach_who_carries_them_out() -> None:
    orders = Orders()
    done: list[object] = []
    orders.drain, orders.log_level = done.append, done.append
    for item in (DrainProcess(200), DrainProcess(-1), SetLogLevel("debug")):
        orders.handlers[type(item)](item)
    assert done == [200, 0, "debug"]


async def test_questions() -> None:
    orders, net = Orders(), Network()
    orders.questions["twice"] = lambda detail: int(detail["n"]) * 2
    one, two = net.bus("a1"), net.bus("b1")

    def receive(source: str, kind: Kind, partition: int, epoch: int, item: Item | Call) -> None:
        assert isinstance(item, Call)
        orders.answer(two, item)

    two.receiver = receive
    found: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(net.run)
        for asked in (
            AskProcess("twice", '{"n": 21}'),
            AskProcess("twice", "{}"),
            AskProcess("twice", "[1]"),
            AskProcess("twice", "{"),
            AskProcess("what"),
            GetDomains(),
        ):
            try:
                found.append(await one.call(Kind.EDGE, 0, asked, to="b1"))
            except StanzaError as error:
                found.append(error.condition)
        nursery.cancel_scope.cancel()
    bad, none = "bad-request", "feature-not-implemented"
    assert found == [ProcessTold("42"), bad, bad, bad, none, none]
