"""A stanza that another server of this kind sends again counts once: on another stream, and with another process at either end."""

from __future__ import annotations

import trio.testing

from rookery.shared.bus.messages import Accepted
from rookery.shared.db.api import Database
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.streams.numbers import Number

from .federation import BOB, HERE, World, chat, federation


class Stream:
    """One that stanzas come from."""

    remotes = ("there.example",)

    def __init__(self) -> None:
        self.told = 0

    def hold(self) -> None:
        raise AssertionError("there is room")

    def release(self) -> None:
        raise AssertionError("it was not held")

    def handled(self, n: int) -> None:
        self.told = n


def uids(world: World) -> list[tuple[bytes, int]]:
    return [(route.origin.stream, route.origin.n) for route in world.routed()]


async def test_the_next_holder_tells_the_same_number(database: Database) -> None:
    async with federation(database) as world:
        world.acknowledges = False
        for n in range(3):
            world.send(chat(f"n{n}"))
        await world.until(lambda: len(world.links) == 1 and len(world.links[0].sent) == 3)
        numbers = world.links[0].numbers
        assert len(set(numbers)) == 3
        assert all(numbers)
        await world.die()
        await world.start()
        await world.until(lambda: world.links and len(world.links[0].sent) == 3)
        assert world.links[0].numbers == numbers


async def test_one_number_is_one_uid_on_all_streams(database: Database) -> None:
    async with federation(database) as world:
        incoming = world.worker.incoming
        streams = [Stream(), Stream()]
        first, second = (incoming.open(stream) for stream in streams)
        message = chat("x", to=f"alice@{HERE}", from_=f"{BOB}/home")
        first.take(message, Number("theirs", 7))
        first.closed()
        second.take(message, Number("theirs", 7))
        second.take(message, Number("theirs", 8))
        second.take(message)
        await world.until(lambda: len(world.routed()) == 3)
        seven, eight, none = uids(world)
        # The first is under way: it is not sent twice. All that have a number share a stream, and none with those that have no number.
        assert (seven[1], eight[1]) == (7, 8)
        assert seven[0] == eight[0] != none[0]
        # Who hears of it is the stream that lives.
        for uid in (seven, eight, none):
            world.router.bus.post_to(world.node.incarnation, Accepted((uid,)))
        await world.until(lambda: streams[1].told == 3)
        assert streams[0].told == 0
        # After that it comes again, and is what it was.
        second.take(message, Number("theirs", 7))
        await world.until(lambda: len(world.routed()) == 4)
        assert uids(world)[-1] == seven


async def test_a_refused_stanza_with_a_number_is_handled(database: Database) -> None:
    async with federation(database) as world:
        stream = Stream()
        inlet = world.worker.incoming.open(stream)
        wrong = Stanza.build("iq", type="get", to=f"alice@{HERE}", from_=BOB, id="no-payload")
        inlet.take(wrong, Number("theirs", 1))
        await trio.testing.wait_all_tasks_blocked()
        assert stream.told == 1
