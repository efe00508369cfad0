"""Binding, its conflicts, changes of accounts, and a router that takes over from another."""

from __future__ import annotations

import pytest
import trio
from tests.unit.router.rig import DOMAIN, Client, bodies, chat, rig

from rookery.router.takeover.mirrors import LIMIT
from rookery.shared.bus.messages import Broadcast, Kind, MirrorRequest, SessionUp
from rookery.shared.config import Config, Limits, Router
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = f"bob@{DOMAIN}"


async def test_the_new_stream_takes_the_resource_and_the_old_one_ends() -> None:
    async with rig() as it:
        old = await it.online("bob")
        alice = await it.online("alice")
        it.seen(Kind.PRESENCE)
        new = await it.bind("bob", edge="edge2")
        assert new.full == old.full
        assert new.grant > old.grant
        assert [end.condition for end in old.ends] == ["conflict"]
        (broadcast,) = it.seen(Kind.PRESENCE, Broadcast)
        assert broadcast.stanza.type == "unavailable"
        old.unbind()  # the end of the old stream says nothing about the resource
        await it.settle()
        alice.route(chat(new.full))
        await it.settle()
        assert bodies(new.news()) == ["hi"]


async def test_refuse_and_generate() -> None:
    async with rig(Config(router=Router(resource_conflict="refuse"))) as it:
        await it.bind("bob")
        with pytest.raises(StanzaError, match="conflict"):
            await it.bind("bob")
    async with rig(Config(router=Router(resource_conflict="generate"))) as it:
        old, new = await it.bind("bob"), await it.bind("bob")
        assert old.full != new.full
        assert old.ends == []


async def test_the_server_makes_a_resource() -> None:
    async with rig() as it:
        one, two = await it.bind("bob", ""), await it.bind("bob", "")
        assert one.full != two.full
        assert one.full.startswith(f"{BOB}/")


async def test_the_limit_of_resources() -> None:
    async with rig(Config(limits=Limits(resources_per_account=2))) as it:
        await it.bind("bob", "1")
        await it.bind("bob", "2")
        with pytest.raises(StanzaError, match="resource-constraint"):
            await it.bind("bob", "3")


async def test_an_account_that_is_not_there_or_disabled_cannot_bind() -> None:
    async with rig() as it:
        it.account("bob")
        it.db.disabled.add(BOB)
        with pytest.raises(StanzaError, match="not-authorized"):
            await it.bind("bob")


@pytest.mark.parametrize(
    ("what", "condition"),
    [("removed", "not-authorized"), ("disabled", "not-authorized"), ("password", "reset")],
)
async def test_changes_that_end_sessions(what: str, condition: str) -> None:
    async with rig() as it:
        one, two = await it.online("bob", "1"), await it.online("bob", "2")
        await it.change("bob", what)
        assert [end.condition for end in (*one.ends, *two.ends)] == [condition] * 2
        assert it.router.core.count.sessions == 0


async def test_a_new_password_does_not_end_the_session_that_set_it() -> None:
    async with rig() as it:
        one, two = await it.online("bob", "1"), await it.online("bob", "2")
        await it.change("bob", "password", one.full)
        assert (one.ends, [end.condition for end in two.ends]) == ([], ["reset"])


async def test_an_account_that_vanished_from_the_table_ends_its_sessions() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        del it.db.ids[BOB]
        await it.change("bob", "blocklist")
        assert [end.condition for end in bob.ends] == ["not-authorized"]


# --- takeover ------------------------------------------------------------------------------------------------------------


async def test_a_new_holder_knows_the_sessions_and_goes_on_numbering() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob", priority=3, edge="edge2")
        low = await it.online("bob", "low", 1)
        bob.submit(Stanza.build("iq", Element("jabber:iq:roster", "query"), type="get", id="r"))
        first = alice.route(chat(BOB, "before"))
        await it.settle()
        bob.news(), low.news()
        it.seen(Kind.PRESENCE), it.seen(Kind.ROSTER)
        await it.start_router("router2")
        alice.route(chat(BOB, "before"), first.n)  # its acceptance may have been lost
        after = alice.route(chat(BOB, "after"))
        await it.settle()
        assert bodies(bob.news()) == ["after"]
        assert low.news() == []
        assert it.accepted(after)
        assert it.seen(Kind.PRESENCE, Broadcast) == it.seen(Kind.ROSTER, SessionUp) == []
        session = it.router.core.parts[it.edge().node.partition(BOB)].accounts[BOB].resources.by_resource["r"]
        assert (session.priority, session.marks) == (3, ("interested",))


async def test_new_grants_are_above_those_of_the_former_holder() -> None:
    async with rig() as it:
        old = await it.online("bob")
        await it.start_router("router2")
        new = await it.bind("bob")
        assert new.grant > old.grant
        assert [end.condition for end in old.ends] == ["conflict"]


async def test_the_edge_is_not_waited_for_when_it_dies_or_is_silent(autojump_clock: object) -> None:
    async with rig() as it:
        bob, carol = await it.online("bob", edge="edge2"), await it.online("carol")
        it.edge("edge2").answers_mirrors = False
        it.nursery.start_soon(it.start_router, "router2")
        with trio.fail_after(LIMIT + 2):
            while it.router.core.node.incarnation != "router2":
                await it.settle()
                await trio.sleep(0.1)
        assert it.router.core.count.sessions == 1
        origin = bob.presence(1)
        await it.settle()
        assert [end.condition for end in bob.ends] == ["reset"]
        assert it.accepted(origin)
        assert carol.ends == []


async def test_a_stored_message_on_its_way_is_settled_by_the_next_holder() -> None:
    async with rig() as it:
        it.account("bob")
        alice = await it.online("alice")
        alice.route(chat(BOB))
        await it.settle()
        it.store.commit()
        bob = await it.bind("bob")
        bob.presence(0)
        await it.settle()
        assert bodies(bob.news()) == ["hi"]
        await it.start_router("router2")
        await it.settle()
        assert bodies(bob.news()) == []  # it has it already
        bob.ack()
        await it.settle()
        assert it.store.debts() == []


async def test_a_stored_message_that_was_written_is_not_given_again_by_the_next_holder() -> None:
    async with rig() as it:
        it.account("bob")
        alice = await it.online("alice")
        alice.route(chat(BOB))
        await it.settle()
        it.store.commit()
        await it.settle()
        bob = await it.online("bob")
        bob.acked = bob.taken[-1].n  # written, but the router died before it heard so
        assert len(it.store.debts()) == 1
        await it.start_router("router2")
        await it.settle()
        assert it.store.debts() == []
        assert bodies(bob.news()) == []


async def test_a_session_that_dies_after_the_takeover_loses_nothing_that_its_edge_still_had() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        origin = alice.route(chat(BOB))
        await it.settle()
        await it.start_router("router2")
        bob.unbind()
        await it.settle()
        it.store.commit()
        (row,) = it.store.debts()
        assert (row.stream, row.n) == (alice.stream, origin.n)


async def test_an_edge_that_was_given_up_and_is_back_ends_the_streams_that_have_no_session() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        router = it.cluster.nodes["router1"]
        for lost in router.on_lost:
            lost("edge1")
        await it.settle()
        new = await it.online("alice")
        for found in router.on_found:
            found("edge1", frozenset({Kind.EDGE}))
        await it.settle()
        assert [end.condition for end in bob.ends] == ["reset"]
        assert new.ends == []


async def test_an_edge_that_answers_too_late_ends_the_streams_that_have_no_session(
    autojump_clock: object,
) -> None:
    async with rig() as it:
        bob = await it.online("bob")
        it.edge().answers_mirrors = False
        await it.start_router("router2")
        await trio.sleep(LIMIT + 0.1)
        await it.settle()
        edge = it.edge()
        edge.answers_mirrors = True
        number = edge.node.partition(BOB)
        edge._take("router2", number, MirrorRequest(number, 2, "router2"))
        await it.settle()
        assert [end.condition for end in bob.ends] == ["reset"]


async def test_the_end_of_a_stream_is_confirmed_by_whoever_holds_its_partition_then() -> None:
    async with rig() as it:
        bob, gone = await it.online("bob"), await it.online("alice")
        bob.unbind()
        await it.settle()
        assert (bob.stream, 0) in it.edge().accepted
        it.seen(Kind.PRESENCE)
        await it.start_router("router2")  # the former router died before it heard of alice's end
        gone.unbind()
        await it.settle()
        assert (gone.stream, 0) in it.edge().accepted
        (broadcast,) = [one for one in it.seen(Kind.PRESENCE, Broadcast) if one.full == gone.full]
        assert broadcast.stanza.type == "unavailable"


async def test_of_two_streams_with_one_resource_the_new_holder_ends_the_older() -> None:
    async with rig() as it:
        old = await it.online("bob")
        new = await it.bind("bob", edge="edge2")
        old.ends.clear()  # as if the former router had died before it was heard
        await it.start_router("router2")
        assert [end.condition for end in old.ends] == ["conflict"]
        assert new.ends == []


async def test_a_released_partition_serves_no_more() -> None:
    async with rig() as it:
        await it.online("bob")
        partition = it.edge().node.partition(BOB)
        await it.router.release(partition)
        assert partition not in it.router.core.parts
        assert it.router.core.count.sessions == 0
        it.router.drop(partition)


async def test_a_client_of_the_archive_is_bound_behind_what_is_being_committed() -> None:
    """XEP-0386 section 4: what other sessions were given before is in the archive whose ends the client is told."""
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        it.store.hold = True
        alice.route(chat(BOB, "before"))
        await it.settle()
        assert bodies(bob.news()) == ["before"]
        bound: list[Client] = []

        async def bind() -> None:
            bound.append(await it.bind("bob", "phone", marks=("archive",)))

        it.nursery.start_soon(bind)
        for _ in range(20):
            await it.settle()
        assert bound == []
        it.store.hold = False
        with trio.fail_after(10):
            while not bound:
                await it.settle()
        assert not bound[0].owed
