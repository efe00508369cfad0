"""What a router hands on is neither lost nor doubled nor out of order, whichever of the routers and workers dies meanwhile.

alice has a block list, so all that she sends goes through her own router. bob's partition is held by a router process of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.unit.router.rig import DOMAIN, Client, Rig, bodies, chat, condition, rig

from rookery.shared.bus.messages import Accepted, Gate, Gated, Handle, Item, Kind, Origin, Route, answering
from rookery.shared.cluster.fake import FakeNode
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
ROSTER_GET = Stanza.build("iq", Element(ns.ROSTER, "query"), type="get", id="r")
DISCO = Stanza.build(
    "iq", Element("http://jabber.org/protocol/disco#info", "query"), type="get", id="d", to=BOB
)


@asynccontextmanager
async def apart() -> AsyncIterator[tuple[Rig, Client, Client]]:
    """alice at `sender1`, bob at `next1`; commits wait until the test wants them."""
    async with rig() as it:
        it.account("alice", "bob")
        it.db.blocked[ALICE] = [f"mallory@{DOMAIN}"]
        await it.start_apart("sender1", ALICE, "router1", 2)
        await it.start_apart("next1", BOB, "router1", 2)
        alice, bob = await it.online("alice"), await it.online("bob")
        assert alice.own_first
        it.store.hold = True
        yield it, alice, bob


def say(alice: Client, *texts: str) -> list[Origin]:
    return [alice.submit(chat(BOB, text)) for text in texts]


def again(alice: Client, origins: list[Origin], *texts: str) -> None:
    """The edge sends again what nobody accepted, to the next holder of alice's partition."""
    for origin, text in zip(origins, texts, strict=True):
        alice.submit(chat(BOB, text), origin.n)


def accepted(it: Rig, origins: list[Origin]) -> list[bool]:
    return [it.accepted(origin) for origin in origins]


async def commit(it: Rig) -> None:
    it.store.hold = False
    await it.settle()


def got(bob: Client) -> list[str]:
    return bodies(one.stanza for one in bob.taken)


async def test_the_sender_is_told_once_the_next_router_has_committed() -> None:
    async with apart() as (it, alice, bob):
        origins = say(alice, "1", "2")
        await it.settle()
        assert got(bob) == ["1", "2"]
        assert accepted(it, origins) == [False, False]
        sender = it.apart["sender1"].service.core
        assert len(sender.custodian.kept) == 2
        await commit(it)
        assert accepted(it, origins) == [True, True]
        assert len(sender.custodian.kept) == 0
        it.edge().accepted.clear()
        again(alice, origins, "1", "2")
        await it.settle()
        assert accepted(it, origins) == [True, True], "the sender's own router knows what is done"
        assert got(bob) == ["1", "2"]


async def test_the_next_router_dies_before_it_has_what_was_handed_to_it() -> None:
    async with apart() as (it, alice, bob):
        it.cluster.nodes["next1"].bus.disconnect()
        origins = say(alice, "1", "2")
        await it.settle()
        it.cluster.lose("next1")
        origins += say(alice, "3")
        await it.settle()
        assert got(bob) == []
        await it.start_apart("next2", BOB, "next1", 3)
        origins += say(alice, "4")
        await commit(it)
        assert got(bob) == ["1", "2", "3", "4"]
        assert accepted(it, origins) == [True] * 4


async def test_the_next_router_dies_before_it_has_committed_what_it_delivered() -> None:
    async with apart() as (it, alice, bob):
        origins = say(alice, "1", "2")
        await it.settle()
        assert got(bob) == ["1", "2"]
        it.store.live.clear()  # dies with it
        it.cluster.lose("next1")
        origins += say(alice, "3")
        await it.settle()
        await it.start_apart("next2", BOB, "next1", 3)
        await commit(it)
        assert got(bob) == ["1", "2", "3"]
        assert accepted(it, origins) == [True] * 3
        assert len([row for row in it.store.rows if row.owner_id == it.db.ids[BOB]]) == 3


async def test_the_router_that_handed_it_on_dies_before_it_is_accepted() -> None:
    async with apart() as (it, alice, bob):
        origins = say(alice, "1", "2")
        await it.settle()
        it.cluster.lose("sender1")
        await it.start_apart("sender2", ALICE, "sender1", 3)
        again(alice, origins, "1", "2")
        origins += say(alice, "3")
        await it.settle()
        assert got(bob) == ["1", "2", "3"]
        assert accepted(it, origins) == [False] * 3
        # What is being committed was handed over by the dead one; its successor is told as well, and at once.
        await commit(it)
        assert accepted(it, origins) == [True] * 3


async def test_both_die() -> None:
    async with apart() as (it, alice, bob):
        origins = say(alice, "1", "2")
        await it.settle()
        it.cluster.nodes["next1"].bus.disconnect()
        origins += say(alice, "3")
        await it.settle()
        it.store.live.clear()
        it.cluster.lose("next1")
        it.cluster.lose("sender1")
        await it.start_apart("sender2", ALICE, "sender1", 3)
        again(alice, origins, "1", "2", "3")
        origins += say(alice, "4")
        await it.settle()
        await it.start_apart("next2", BOB, "next1", 3)
        await commit(it)
        assert got(bob) == ["1", "2", "3", "4"]
        assert accepted(it, origins) == [True] * 4


async def test_a_live_move_of_the_senders_partition_doubles_nothing() -> None:
    async with apart() as (it, alice, bob):
        origins = say(alice, "1", "2")
        await it.settle()
        former = it.apart["sender1"].service
        await it.start_apart("sender2", ALICE, "sender1", 3)
        former.drop(it.edge().node.partition(ALICE))
        again(alice, origins, "1", "2")
        origins += say(alice, "3")
        await commit(it)
        assert got(bob) == ["1", "2", "3"]
        assert accepted(it, origins) == [True] * 3


async def test_a_request_to_a_resource_is_asked_at_most_once() -> None:
    async with apart() as (it, alice, bob):
        it.cluster.nodes["next1"].bus.disconnect()
        request = alice.submit(ROSTER_GET.replace(to=bob.full))
        (message,) = say(alice, "1")
        await it.settle()
        it.cluster.lose("next1")
        await it.start_apart("next2", BOB, "next1", 3)
        await commit(it)
        assert [one.kind for one in bob.news()] == ["message"]
        assert accepted(it, [request, message]) == [True, True], "its fate is that nobody knows it"


def handles(node: FakeNode, *types: type) -> list[Handle | Gate]:
    found = [item for *_, item in node.received if isinstance(item, types or (Handle,))]
    node.received.clear()
    return [item for item in found if isinstance(item, Handle | Gate)]


def say_accepted(node: FakeNode, item: Handle | Gate) -> None:
    origin = item.origin
    node.bus.post_to(origin.custodian, Accepted([(origin.stream, origin.n)]))


@pytest.mark.parametrize("stanza", [ROSTER_GET, Stanza.build("presence", type="subscribe", to=BOB)])
async def test_a_worker_dies_with_what_it_was_asked(stanza: Stanza) -> None:
    async with rig() as it:
        alice = await it.online("alice")
        it.account("bob")
        it.workers[Kind.ROSTER].received.clear()
        origin = alice.submit(stanza)
        await it.settle()
        (first,) = handles(it.workers[Kind.ROSTER])
        assert first.origin == origin._replace(custodian="router1")
        alice.submit(stanza, origin.n)
        await it.settle()
        assert handles(it.workers[Kind.ROSTER]) == [], "it is asked once"
        it.cluster.lose("roster")
        successor = it.cluster.node("roster2", Kind.ROSTER)
        await it.settle()
        assert handles(successor) == [first]
        assert not it.accepted(origin)
        say_accepted(successor, first)
        await it.settle()
        assert it.accepted(origin)


async def test_what_both_sides_have_under_way_in_one_process_ends_with_the_last() -> None:
    """alice's roster worker has committed and hands the subscription on; bob's has it now. One router serves both."""
    async with rig() as it:
        alice = await it.online("alice")
        it.account("bob")
        roster = it.workers[Kind.ROSTER]
        roster.received.clear()
        origin = alice.submit(Stanza.build("presence", type="subscribe", to=BOB))
        await it.settle()
        (outbound,) = handles(roster)
        partition = roster.partition(BOB)
        route: Item = Route(outbound.origin._replace(custodian="roster"), outbound.stanza)
        roster.bus.post(Kind.ROUTER, partition, route)
        await it.settle()
        (inbound,) = handles(roster)
        assert isinstance(inbound, Handle)
        assert (inbound.outbound, inbound.origin) == (False, origin._replace(custodian="router1"))
        assert not it.accepted(origin)
        say_accepted(roster, inbound)
        await it.settle()
        assert it.accepted(origin)
        assert len(it.router.core.custodian.kept) == 0
        told = [list(item.uids) for *_, item in roster.received if isinstance(item, Accepted)]
        assert told == [[(origin.stream, origin.n)]], "alice's worker kept it until then"


async def test_a_gated_request_is_kept_until_it_is_answered() -> None:
    async with rig() as it:
        alice, _ = await it.online("alice"), await it.online("bob")
        gate_keeper = it.workers[Kind.PRESENCE]
        gate_keeper.received.clear()
        origin = alice.route(DISCO)
        await it.settle()
        (gate,) = handles(gate_keeper, Gate)
        it.cluster.lose("presence")
        successor = it.cluster.node("presence2", Kind.PRESENCE)
        await it.settle()
        assert handles(successor, Gate) == [gate]
        for _ in range(2):
            successor.bus.post(Kind.ROUTER, successor.partition(BOB), Gated(gate.origin, BOB, gate.stanza))
            await it.settle()
        assert [one.type for one in alice.news()] == ["result"]
        assert it.accepted(origin)
        assert len(it.router.core.custodian.kept) == 0


async def test_what_is_too_much_to_keep_goes_back_to_whom_it_came_from() -> None:
    async with apart() as (it, alice, bob):
        kept = it.apart["sender1"].service.core.custodian.kept
        kept.max_items = 2
        origins = say(alice, "1", "2", "3")
        await it.settle()
        assert got(bob) == ["1", "2"]
        (refused,) = alice.news()
        assert condition(refused) == "resource-constraint"
        assert accepted(it, origins) == [False, False, True]
        again(alice, origins[:1], "1")
        await it.settle()
        assert alice.news() == [], "what is kept already is not refused"
        await commit(it)
        origins += say(alice, "4")
        await it.settle()
        assert got(bob) == ["1", "2", "4"]
        assert accepted(it, origins) == [True] * 4


async def test_a_block_list_that_comes_later_does_not_concern_what_was_handed_on_before() -> None:
    async with apart() as (it, alice, bob):
        (origin,) = say(alice, "1")
        await it.settle()
        it.db.blocked[ALICE] = [BOB]
        await it.change("alice", "blocklist")
        again(alice, [origin], "1")
        await it.settle()
        assert alice.news() == []
        await commit(it)
        assert (got(bob), it.accepted(origin)) == (["1"], True)


@pytest.mark.parametrize("given", [answering(Origin(b"asker", 1, "")), Origin(b"bobs", 5, "edge1")])
async def test_an_iq_that_has_arrived_is_not_given_again_after_a_takeover(given: Origin) -> None:
    """The bus of a worker repeats what a dead router had not acknowledged; a client that resumes its stream sends again, too."""
    async with rig() as it:
        alice = await it.online("alice")
        worker = it.workers[Kind.ROSTER]
        stanza = Stanza.build("iq", type="result", id="q", from_=BOB, to=alice.full)

        async def give() -> list[str]:
            worker.bus.post(Kind.ROUTER, worker.partition(ALICE), Route(given, stanza))
            await it.settle()
            return [one.type for one in alice.news()]

        assert await give() == ["result"]
        alice.ack()
        await it.settle()
        await it.start_router("router2")
        assert await give() == []
