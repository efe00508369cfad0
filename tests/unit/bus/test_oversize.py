"""Items that are longer than a message of the transport: answers become errors, so that whoever asked hears of it."""

from __future__ import annotations

import pytest
import trio
from tests.unit.bus.test_core import World

from rookery.shared.bus.api import Call
from rookery.shared.bus.core import BusCore
from rookery.shared.bus.messages import Acked, Deliver, Item, Kind, Origin, Route
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


@pytest.fixture
def world() -> World:
    return World()


def test_an_answer_that_no_message_carries_becomes_an_error(world: World) -> None:
    """So whoever asked hears of it, on the way that the answer would have gone."""
    got: list[Item | Call] = []
    world.net.buses["router1"].receiver = lambda source, kind, partition, epoch, item: got.append(item)
    world.holder = ("router1", 1)
    long = Element("urn:example", "x", None, "x" * 1_100_000)
    origin = Origin(b"s" * 16, 7, "edge1")
    for type_ in ("result", "set"):
        answer = Stanza.build("iq", long, type=type_, to="a@x/r", from_="b@x", id="q")
        world.edge.post(Kind.ROUTER, 5, Route(origin, answer))
        world.edge.post_to("router1", Deliver(1, 2, 3, b"s", 4, answer))
    world.net.settle()
    assert [type(item) for item in got] == [Route, Deliver]
    for item in got:
        assert isinstance(item, (Route, Deliver))
        assert (item.stanza.type, item.stanza.to, item.stanza.from_, item.stanza.id) == (
            "error",
            "a@x/r",
            "b@x",
            "q",
        )
        assert b"<policy-violation " in item.stanza.inner
    assert world.edge.stats.unsendable == 2


async def test_a_call_whose_answer_no_message_carries_fails(world: World) -> None:
    router: BusCore = world.net.buses["router1"]
    router.receiver = lambda source, kind, partition, epoch, item: router.reply(
        item,
        Acked("x" * 1_100_000, 1, 1),  # type: ignore[arg-type]
    )
    world.holder = ("router1", 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(settling, world)
        with pytest.raises(StanzaError, match="resource-constraint"):
            await world.edge.call(Kind.ROUTER, 5, Acked("a@x/r", 1, 1))
        nursery.cancel_scope.cancel()


async def settling(world: World) -> None:
    while True:
        world.net.settle()
        await trio.sleep(0.01)
