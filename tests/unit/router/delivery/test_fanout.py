"""One stanza for many, through a whole router: to whom it goes, once, and in how few items it leaves."""

from __future__ import annotations

from typing import Any

from tests.unit.router.rig import DOMAIN, Client, Rig, bodies, chat, condition, rig
from tests.unit.router.sessions.test_resume import managed, pass_time, resumed, sleep
from tests.unit.router.test_unclear import both_die

from rookery.shared.bus.messages import NODE, DeliverMany, Fanout, Kind, Origin
from rookery.shared.cluster.fanout import fan_out
from rookery.shared.xmpp.stanza import Stanza

ROOM = f"room@{DOMAIN}"


def uid(n: int) -> Origin:
    return Origin(b"room", n, "roster")


def said(n: int, type: str = "groupchat") -> Stanza:
    return chat("", str(n), type).replace(from_=f"{ROOM}/nick")


async def spread(it: Rig, stanza: Stanza, to: list[str], origin: Origin) -> None:
    """As a room does; a worker of another kind stands for it."""
    node = it.workers[Kind.ROSTER]
    fan_out(node.bus, stanza, [(jid, node.partition(jid.partition("/")[0])) for jid in to], origin)
    await it.settle()


async def occupants(it: Rig, count: int, edges: int = 2) -> list[Client]:
    return [await it.online(f"u{n}", edge=f"edge{n % edges + 1}") for n in range(count)]


def spied(it: Rig) -> list[Any]:
    """What edges take from here on."""
    items: list[Any] = []
    for edge in it.edges.values():
        take = edge._take

        def spy(source: str, partition: int, item: Any, take: Any = take) -> None:
            items.append(item)
            take(source, partition, item)

        edge._take = spy  # type: ignore[method-assign]
    return items


async def test_full_addresses_get_it_once_under_their_own_names() -> None:
    async with rig() as it:
        clients = await occupants(it, 6)
        other = await it.online("u0", "other")
        for _ in range(2):
            for n in (1, 2):
                await spread(it, said(n), [client.full for client in clients], uid(n))
        for client in clients:
            news = client.news()
            assert bodies(news) == ["1", "2"]
            assert {one.to for one in news} == {client.full}
            assert [(d.origin_stream, d.origin_n) for d in client.taken[-2:]] == [(b"room", 1), (b"room", 2)]
        assert bodies(other.news()) == []


async def test_one_item_leaves_for_each_edge_whatever_the_partitions() -> None:
    async with rig() as it:
        clients = await occupants(it, 12, edges=3)
        assert len({it.edge().node.partition(client.bare) for client in clients}) > 3
        items = spied(it)
        await spread(it, said(1), [client.full for client in clients], uid(1))
        many = [item for item in items if isinstance(item, DeliverMany)]
        assert [len(item.targets) for item in many] == [4, 4, 4]
        assert {(item.origin_stream, item.origin_n) for item in many} == {(b"room", 1)}


async def test_a_headline_for_accounts_leaves_as_one_item_for_each_edge() -> None:
    """RFC 6121 section 8.5.2.1.1: each resource gets it whose priority is not negative; nothing is kept for who is not there."""
    async with rig() as it:
        clients = await occupants(it, 8)
        second = await it.online("u0", "second")
        negative = await it.online("u1", "negative", -1)
        it.account("away")
        items = spied(it)
        to = [*(client.bare for client in clients), f"away@{DOMAIN}", f"nobody@{DOMAIN}"]
        for _ in range(2):
            await spread(it, said(1, "headline"), to, uid(1))
        for client in (*clients, second):
            news = client.news()
            assert bodies(news) == ["1"]
            assert [one.to for one in news if one.kind == "message"] == [client.bare]
        assert bodies(negative.news()) == []
        assert sorted(len(item.targets) for item in items if isinstance(item, DeliverMany)) == [4, 5]


async def test_a_room_learns_by_an_error_that_an_occupant_is_gone() -> None:
    async with rig() as it:
        room = await it.online("room", "nick")  # stands for the room: errors come back to the sender
        bob = await it.online("bob")
        await spread(it, said(1), [bob.full, f"{bob.bare}/gone", f"nobody@{DOMAIN}/x"], uid(1))
        assert bodies(bob.news()) == ["1"]
        errors = room.news()
        assert sorted(one.from_ for one in errors) == [f"{bob.bare}/gone", f"nobody@{DOMAIN}/x"]
        assert {condition(one) for one in errors} == {"service-unavailable"}
        # Headlines and presence are for who is there.
        await spread(it, said(2, "headline"), [f"{bob.bare}/gone"], uid(2))
        presence = Stanza.build("presence", from_=f"{ROOM}/nick")
        await spread(it, presence, [f"{bob.bare}/gone", f"nobody@{DOMAIN}/x"], uid(3))
        assert room.news() == []


async def test_whom_an_account_blocks_is_not_heard() -> None:
    async with rig() as it:
        room, bob = await it.online("room", "nick"), await it.online("bob")
        it.db.blocked[bob.bare] = [ROOM]
        await it.change("bob", "blocklist")
        await spread(it, said(1), [bob.full], uid(1))
        assert bodies(bob.news()) == []
        assert [condition(one) for one in room.news()] == ["service-unavailable"]


async def test_a_message_for_accounts_is_stored_for_those_who_are_away_and_given_to_the_rest() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        it.account("away")
        stanza = said(1, "normal")
        for _ in range(2):
            await spread(it, stanza, [bob.bare, f"away@{DOMAIN}"], uid(1))
        it.store.commit()
        await it.settle()
        assert bodies(bob.news()) == ["1"]
        (row,) = it.store.owed(it.db.ids[f"away@{DOMAIN}"])
        assert (row.stream, row.n) == (b"room", 1)


async def test_an_account_that_is_loading_gets_it_afterwards_and_once() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        it.db.up = False
        await it.change("bob", "blocklist")
        for _ in range(2):
            await spread(it, said(1), [bob.full], uid(1))
        assert bodies(bob.news()) == []
        it.db.up = True
        while not bob.taken or bodies([bob.taken[-1].stanza]) != ["1"]:
            await it.settle()
        assert bodies(bob.news()) == ["1"]


async def test_after_a_takeover_only_those_get_it_again_whose_router_had_not_given_it() -> None:
    async with rig() as it:
        had, missed = await it.online("u1"), await it.online("u2", edge="edge2")
        await spread(it, said(1), [had.full], uid(1))
        assert bodies(had.news()) == ["1"]
        it.cluster.lose("router1")
        await it.start_router("router2")
        await spread(it, said(1), [had.full, missed.full], uid(1))
        await spread(it, said(2), [had.full, missed.full], uid(2))
        assert bodies(had.news()) == ["2"]
        assert bodies(missed.news()) == ["1", "2"]


async def test_what_a_client_acknowledged_lately_is_known_after_a_takeover() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        await spread(it, said(1), [bob.full], uid(1))
        it.edge().late.append((b"room", 1, bob.taken[-1].stanza))
        bob.ack()
        await it.settle()
        it.cluster.lose("router1")
        await it.start_router("router2")
        await spread(it, said(1), [bob.full], uid(1))
        assert bodies(bob.news()) == ["1"]


async def test_a_lost_link_brings_it_again_under_the_same_uid() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        await spread(it, said(1), [bob.full], uid(1))
        last = bob.taken.pop()
        for callback in it.router.core.node.on_reset:
            callback("edge1")
        await it.settle()
        assert bob.taken[-1] == last


async def test_a_sender_of_the_former_version_is_understood() -> None:
    async with rig() as it:
        clients = await occupants(it, 4)
        node = it.workers[Kind.PRESENCE]
        presence = Stanza.build("presence", from_=f"alice@{DOMAIN}/r")
        item = Fanout(presence, [client.bare for client in clients])
        node.bus.post(Kind.ROUTER, node.partition(clients[0].bare), item)
        await it.settle()
        for client in clients:
            assert [one.to for one in client.news()] == [client.bare]


async def test_what_a_session_was_told_of_a_node_it_knows_wherever_it_goes() -> None:
    """XEP-0060: its router and its edge die after it slept and was resumed; nobody else knows what came for its address."""
    async with rig() as it:
        bob = await managed(it, "bob")
        news = said(1).replace(type="headline")
        node = Origin(NODE + b"1", 5, "")
        await spread(it, news, [bob.bare], node)
        assert bodies(bob.news()) == ["1"]
        bob.ack()
        await sleep(it, bob)
        await pass_time(it, 1)
        await both_die(it)
        await spread(it, news, [bob.bare], node)
        again = await resumed(it, bob.bare, 1)
        await spread(it, news, [bob.full], node)
        await spread(it, said(2).replace(type="headline"), [bob.bare], node._replace(n=6))
        assert bodies(again.news()) == ["2"]


async def test_a_node_is_heard_once_while_stored_messages_come() -> None:
    """A headline is kept nowhere: behind stored messages it could be lost, or come once more."""
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        bob.unbind()
        await it.settle()
        alice.route(chat(bob.bare, "stored"))
        await it.settle()
        it.store.commit()
        await it.settle()
        it.offline_answers = False
        bob = await it.online("bob")
        news = said(1).replace(type="headline")
        for to in (bob.bare, bob.full, bob.bare):
            await spread(it, news, [to], Origin(NODE + b"1", 5, ""))
        assert bodies(bob.news()) == ["1"]
        it.offline_answers = True
        await pass_time(it, 4)
        it.router.flushes.tick()
        await it.settle()
        assert bodies(bob.news()) == ["stored"]
