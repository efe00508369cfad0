"""A resource whose edge and router died at once does not stay available."""

from __future__ import annotations

from tests.unit.router.rig import rig

from rookery.router.absences import GRACE
from rookery.shared.bus.messages import Broadcast, Kind, LastSeen, StillThere

ALICE, BOB = "alice@example.org", "bob@example.org"


async def test_only_those_that_are_gone_are_told_so() -> None:
    async with rig() as it:
        stays = await it.online("bob", "stays", edge="edge2")
        await it.online("bob", "dies")
        await it.online("alice")
        unavailable_yet = await it.bind("bob", "bound", edge="edge2")
        # The edge and the router die together: the next router hears of no session of that edge.
        it.edge().clients.clear()
        router = await it.start_router("router2")
        stays.news()
        for kind in (Kind.PRESENCE, Kind.ACCOUNT):
            it.workers[kind].received.clear()
        worker = it.workers[Kind.PRESENCE]
        for bare, resources in ((BOB, ("stays", "dies", "bound")), (ALICE, ("r",))):
            item = StillThere([f"{bare}/{one}" for one in resources])
            worker.bus.post(Kind.ROUTER, worker.partition(bare), item)
        await it.settle()
        assert [one.full for one in it.seen(Kind.PRESENCE, Broadcast)] == [unavailable_yet.full]
        assert it.seen(Kind.ACCOUNT, LastSeen) == [], "an edge that is silent may come back with them"
        stays.news()
        it.now += GRACE
        router.core.absences.tick()
        await it.settle()
        told = [(one.full, one.stanza.type, one.initial) for one in it.seen(Kind.PRESENCE, Broadcast)]
        assert told == [
            (f"{BOB}/dies", "unavailable", False),
            (f"{ALICE}/r", "unavailable", False),
        ]
        # Bob's other resource hears of it, as of any end.
        assert [(one.from_, one.type) for one in stays.news()] == [
            (f"{BOB}/dies", "unavailable"),
        ]
        assert [one.account for one in it.seen(Kind.ACCOUNT, LastSeen)] == [ALICE]
