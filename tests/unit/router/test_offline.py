"""Messages for nobody who is there, their way back, and what becomes of what a dead session did not get."""

from __future__ import annotations

from tests.unit.router.rig import DOMAIN, Rig, bodies, chat, condition, rig

from rookery.router.flushes import ASK_AGAIN, HOLD
from rookery.router.sessions import MAX_KEPT
from rookery.shared.bus.messages import Acked, Kind, SessionUp
from rookery.shared.config import Config
from rookery.shared.store.rows import unpack_stanza
from rookery.shared.xeps.offline_storage import Options
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = f"bob@{DOMAIN}"


async def stored(it: Rig, count: int, start: int = 0) -> None:
    """Store messages for bob, who is not there."""
    it.account("bob")
    alice = await it.bind("alice", f"sender{start}")
    for n in range(start, start + count):
        alice.route(chat(BOB, str(n)))
    await it.settle()
    it.store.commit()
    await it.settle()


async def test_acceptance_follows_the_commit() -> None:
    async with rig() as it:
        it.account("bob")
        alice = await it.online("alice")
        origin = alice.route(chat(BOB))
        await it.settle()
        assert not it.accepted(origin)
        alice.route(chat(BOB), origin.n)  # sent again while the commit is under way
        await it.settle()
        assert it.store.coming == 1
        it.store.commit()
        await it.settle()
        assert it.accepted(origin)
        (row,) = it.store.rows
        assert (row.owed, row.outgoing, row.peer, row.stamp) == (True, False, f"alice@{DOMAIN}", it.now)
        assert (row.stream, row.n) == (alice.stream, origin.n)
        assert bodies([unpack_stanza(row.stanza)]) == ["hi"]


async def test_a_message_that_cannot_be_stored_goes_back_to_its_sender() -> None:
    async with rig() as it:
        it.account("bob")
        alice = await it.online("alice")
        origins = [alice.route(chat(BOB, str(n))) for n in range(2)]
        await it.settle()
        (bad, bad_done), (good, good_done) = it.store.waiting
        it.store.waiting = []
        it.store.rows.append(good)
        bad_done(bad, None)  # type: ignore[arg-type]
        good_done(good, True)
        await it.settle()
        assert all(it.accepted(origin) for origin in origins)
        (back,) = alice.news()
        assert (condition(back), back.from_) == ("internal-server-error", BOB)


async def test_only_negative_resources_means_stored() -> None:
    async with rig() as it:
        alice, shy = await it.online("alice"), await it.online("bob", "shy", -1)
        alice.route(chat(BOB))
        alice.route(chat(shy.full, "direct"))
        await it.settle()
        assert it.store.coming == 1
        assert bodies(shy.news()) == ["direct"]


async def test_what_says_nothing_is_not_stored() -> None:
    async with rig() as it:
        it.account("bob")
        alice = await it.online("alice")
        typing = Element("http://jabber.org/protocol/chatstates", "composing")
        origin = alice.route(Stanza.build("message", typing, type="chat", to=BOB))
        await it.settle()
        assert it.accepted(origin)
        assert (it.store.waiting, alice.news()) == ([], [])


async def test_the_quota_goes_back_to_the_sender_and_keeps_what_is_there() -> None:
    async with rig(Config(offline_storage=Options(messages=3))) as it:
        it.account("bob")
        alice = await it.online("alice")
        for n in range(5):
            alice.route(chat(BOB, str(n)))
        await it.settle()
        assert [condition(one) for one in alice.news()] == ["service-unavailable"] * 2
        assert it.store.coming == 3
        assert it.router.core.count.refused == 2


async def test_a_store_that_is_full_says_try_later() -> None:
    async with rig() as it:
        it.account("bob")
        it.store.full = True
        alice = await it.online("alice")
        origin = alice.route(chat(BOB))
        await it.settle()
        assert [condition(one) for one in alice.news()] == ["resource-constraint"]
        assert it.accepted(origin)


async def test_initial_presence_fetches_all_in_order_and_only_writing_settles() -> None:
    async with rig() as it:
        await stored(it, 5)
        bob = await it.bind("bob")
        bob.presence(0)
        await it.settle()
        messages = [one for one in bob.news() if one.kind == "message"]
        assert bodies(messages) == ["0", "1", "2", "3", "4"]
        assert all(one.has("urn:xmpp:delay", "delay") for one in messages)
        assert it.store.settled == []
        bob.ack()
        await it.settle()
        assert len(it.store.settled) == 5
        assert it.store.debts() == []


async def test_negative_or_directed_presence_fetches_nothing() -> None:
    async with rig() as it:
        await stored(it, 1)
        bob = await it.bind("bob")
        bob.presence(-1)
        bob.presence(to=f"alice@{DOMAIN}")
        await it.settle()
        assert bodies(bob.news()) == []
        bob.presence(3)
        await it.settle()
        assert bodies(bob.news()) == ["0"]


async def test_only_one_resource_gets_them() -> None:
    async with rig() as it:
        await stored(it, 3)
        one, two = await it.bind("bob", "one"), await it.bind("bob", "two")
        one.presence(0)
        two.presence(5)
        await it.settle()
        assert (bodies(one.news()), bodies(two.news())) == (["0", "1", "2"], [])


async def test_nothing_owed_asks_nobody() -> None:
    async with rig() as it:
        await it.online("bob")
        assert it.seen(Kind.OFFLINE, SessionUp) == []


async def test_live_messages_wait_behind_and_are_accepted_when_delivered() -> None:
    async with rig() as it:
        await stored(it, 3)
        it.offline_answers = False
        alice, bob = await it.online("alice"), await it.bind("bob")
        bob.presence(0)
        await it.settle()
        origin = alice.route(chat(BOB, "live"))
        await it.settle()
        assert bodies(bob.news()) == []
        assert not it.accepted(origin)
        it.store.commit()
        await it.settle()
        assert it.accepted(origin)
        assert [row.owed for row in it.store.archive(it.db.ids[BOB])] == [True] * 4
        it.offline_answers = True
        await it.settle()
        await it.settle()
        assert bodies(bob.news()) == ["0", "1", "2", "live"]
        assert it.accepted(origin)
        assert it.store.coming == 0


async def test_a_message_being_committed_is_read_by_the_flush() -> None:
    async with rig() as it:
        await stored(it, 1)
        alice = await it.online("alice")
        alice.route(chat(BOB, "late"))
        await it.settle()
        bob = await it.bind("bob")
        bob.presence(0)
        alice.route(chat(BOB, "live"))
        await it.settle()
        assert bodies(bob.news()) == []
        it.store.commit()
        await it.settle()
        assert bodies(bob.news()) == ["0", "late", "live"]


async def test_a_silent_offline_worker_does_not_stop_live_messages_for_ever() -> None:
    async with rig() as it:
        await stored(it, 1)
        it.offline_answers = False
        alice, bob = await it.online("alice"), await it.bind("bob")
        bob.presence(0)
        await it.settle()
        alice.route(chat(BOB, "live"))
        await it.settle()
        it.seen(Kind.OFFLINE)
        it.now += ASK_AGAIN + 0.1
        it.router.flushes.tick()
        await it.settle()
        assert len(it.seen(Kind.OFFLINE, SessionUp)) == 1
        it.now += HOLD
        it.router.flushes.tick()
        await it.settle()
        assert bodies(bob.news()) == ["live"]
        alice.route(chat(BOB, "more"))
        await it.settle()
        assert bodies(bob.news()) == ["more"]
        it.offline_answers = True
        it.now += HOLD
        it.router.flushes.tick()
        await it.settle()
        assert bodies(bob.news()) == ["0"]


async def test_a_page_that_comes_twice_is_given_once() -> None:
    async with rig() as it:
        await stored(it, 2)
        it.offline_answers = False
        bob = await it.bind("bob")
        bob.presence(0)
        await it.settle()
        it.now += ASK_AGAIN + 0.1
        it.router.flushes.tick()
        it.offline_answers = True
        await it.settle()
        await it.settle()
        assert bodies(bob.news()) == ["0", "1"]


async def test_what_a_dying_session_did_not_get_is_owed_to_the_next() -> None:
    async with rig() as it:
        await stored(it, 4)
        bob = await it.bind("bob")
        bob.presence(0)
        await it.settle()
        assert bodies(bob.news()) == ["0", "1", "2", "3"]
        bob.edge.post(bob.full, Acked(bob.full, bob.grant, 2))
        await it.settle()
        got = len(it.store.settled)
        bob.unbind()
        await it.settle()
        again = await it.bind("bob", "other")
        again.presence(0)
        await it.settle()
        assert bodies(again.news()) == ["0", "1", "2", "3"][got:]


async def test_another_resource_that_is_there_takes_over_the_flush() -> None:
    async with rig() as it:
        await stored(it, 4)
        one, two = await it.bind("bob", "one"), await it.bind("bob", "two")
        one.presence(5)
        two.presence(1)
        await it.settle()
        assert bodies(one.news()) == ["0", "1", "2", "3"]
        two.news()
        one.unbind()
        await it.settle()
        assert bodies(two.news()) == ["0", "1", "2", "3"]
        two.ack()
        await it.settle()
        assert it.store.debts() == []


# --- sessions that die with messages on their way ----------------------------------------------------------------------------


async def test_an_unwritten_chat_goes_to_another_resource_with_a_stamp() -> None:
    async with rig() as it:
        alice, high, low = (
            await it.online("alice"),
            await it.online("bob", "high", 5),
            await it.online("bob", "low", 1),
        )
        alice.route(chat(BOB))
        await it.settle()
        high.unbind()
        await it.settle()
        (got,) = [one for one in low.news() if one.kind == "message"]
        assert bodies([got]) == ["hi"]
        assert got.has("urn:xmpp:delay", "delay")


async def test_an_unwritten_chat_to_nobody_else_is_stored_under_its_uid() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        origin = alice.route(chat(bob.full))
        await it.settle()
        it.now += 60
        bob.unbind()
        await it.settle()
        it.store.commit()
        (row,) = it.store.debts()
        assert (row.stream, row.n, row.stamp) == (alice.stream, origin.n, it.now - 60)
        assert alice.news() == []


async def test_written_messages_are_not_sent_again() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        alice.route(chat(BOB))
        await it.settle()
        bob.ack()
        bob.unbind()
        await it.settle()
        assert it.store.coming == 0


async def test_of_several_that_got_it_one_is_enough() -> None:
    async with rig() as it:
        alice, one, two = await it.online("alice"), await it.online("bob", "1"), await it.online("bob", "2")
        alice.route(chat(BOB))
        await it.settle()
        one.unbind()
        await it.settle()
        assert it.store.coming == 0
        two.unbind()
        await it.settle()
        assert it.store.coming == 1


async def test_a_groupchat_message_to_a_dead_occupant_goes_back() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        alice.route(chat(bob.full, type="groupchat"))
        await it.settle()
        bob.unbind()
        await it.settle()
        assert [condition(one) for one in alice.news()] == ["service-unavailable"]


async def test_a_killed_edge_loses_nothing() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob", edge="edge2")
        for n in range(3):
            alice.route(chat(BOB, str(n)))
        await it.settle()
        it.edges.pop("edge2")
        it.cluster.lose("edge2")
        await it.settle()
        assert it.store.coming == 3
        it.store.commit()
        again = await it.bind("bob", "r")
        again.presence(0)
        await it.settle()
        assert bodies(again.news()) == ["0", "1", "2"]
        assert bob.full == again.full


async def test_a_backlog_behind_a_flush_outlives_its_session() -> None:
    async with rig() as it:
        await stored(it, 1)
        it.offline_answers = False
        alice, bob = await it.online("alice"), await it.bind("bob")
        bob.presence(0)
        await it.settle()
        origin = alice.route(chat(BOB, "live"))
        await it.settle()
        bob.unbind()
        await it.settle()
        it.store.commit()
        await it.settle()
        assert it.accepted(origin)
        assert [bodies([unpack_stanza(row.stanza)])[0] for row in it.store.rows] == ["0", "live"]


async def test_a_client_without_presence_that_is_slow_gets_all_from_memory() -> None:
    """Nothing that is stored would be given to it before it is available."""
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.bind("bob")
        await it.settle()
        for n in range(MAX_KEPT + 5):
            alice.route(chat(bob.full, str(n)))
        await it.settle()
        it.store.commit()
        await it.settle()
        assert bodies(bob.news()) == [str(n) for n in range(MAX_KEPT + 5)]


async def test_a_client_that_does_not_read_is_passed_by_until_it_does() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        bob.ack()
        for n in range(MAX_KEPT + 5):
            alice.route(chat(BOB, str(n)))
        await it.settle()
        assert len(bob.news()) == MAX_KEPT
        assert it.store.coming == 5
        alice.route(Stanza.build("iq", Element("urn:xmpp:ping", "ping"), type="get", to=bob.full, id="q"))
        await it.settle()
        assert [condition(one) for one in alice.news()] == ["resource-constraint"]
        it.store.commit()
        bob.ack()
        await it.settle()
        assert bodies(bob.news()) == [str(n) for n in range(MAX_KEPT, MAX_KEPT + 5)]
        alice.route(chat(BOB, "live"))
        await it.settle()
        assert bodies(bob.news()) == ["live"]


async def test_a_lost_link_is_repeated_without_holes_or_doubles() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob", edge="edge2")
        bob.ack()
        await it.settle()
        router = it.router.core.node.incarnation
        it.cluster.network.fault = lambda source, subject, payload: (
            None if source == router and subject.endswith("edge2") else (1,)
        )
        alice.route(chat(BOB, "lost"))
        await it.settle()
        it.cluster.network.fault = None
        for callback in it.router.core.node.on_reset:  # type: ignore[attr-defined]
            callback("edge2")
        alice.route(chat(BOB, "next"))
        it.cluster.network.tick()
        await it.settle()
        assert bodies(bob.news()) == ["lost", "next"]


async def test_a_resource_that_turns_negative_gets_no_more_and_another_does() -> None:
    async with rig() as it:
        await stored(it, 4)
        it.offline_answers = False
        alice, one, two = await it.online("alice"), await it.bind("bob", "one"), await it.bind("bob", "two")
        one.presence(5)
        await it.settle()
        alice.route(chat(BOB, "live"))
        two.presence(1)
        await it.settle()
        one.presence(-1)
        await it.settle()
        assert bodies(two.news()) == []
        it.offline_answers = True
        await it.settle()
        assert bodies(one.news()) == []
        assert bodies(two.news()) == ["0", "1", "2", "3", "live"]


async def test_of_equal_resources_the_one_that_reads_gets_it() -> None:
    async with rig() as it:
        alice, slow, quick = (
            await it.online("alice"),
            await it.online("bob", "slow"),
            await it.online("bob", "quick"),
        )
        slow.ack()
        for n in range(MAX_KEPT):
            alice.route(chat(slow.full, str(n)))
        await it.settle()
        quick.news()
        origin = alice.route(chat(BOB, "both"))
        await it.settle()
        assert bodies(quick.news()) == ["both"]
        assert it.store.coming == 0
        assert it.accepted(origin)
        quick.unbind()
        await it.settle()
        assert it.store.coming == 1


async def test_when_no_resource_reads_it_is_stored_once_and_comes_when_one_does() -> None:
    async with rig() as it:
        alice, one, two = (
            await it.online("alice"),
            await it.online("bob", "one"),
            await it.online("bob", "two"),
        )
        one.ack(), two.ack()
        for n in range(MAX_KEPT):
            alice.route(chat(BOB, str(n)))
        await it.settle()
        alice.route(chat(BOB, "last"))
        await it.settle()
        assert it.store.coming == 1
        it.store.commit()
        await it.settle()
        one.news(), two.news()
        one.ack()
        await it.settle()
        assert bodies(one.news()) == ["last"]
        two.ack()
        await it.settle()
        assert bodies(two.news()) == []
        one.ack()
        await it.settle()
        assert it.store.debts() == []


async def test_a_backlog_that_is_too_long_goes_through_the_store_in_order() -> None:
    async with rig(Config(offline_storage=Options(messages=2000))) as it:
        await stored(it, 1)
        it.offline_answers = False
        alice, bob = await it.online("alice"), await it.bind("bob")
        bob.presence(0)
        await it.settle()
        for n in range(MAX_KEPT + 3):
            alice.route(chat(BOB, f"live {n}"))
        await it.settle()
        assert len(it.store.owing) == 3
        it.offline_answers = True
        seen: list[str] = []
        for _ in range(6):
            it.store.commit()
            await it.settle()
            seen += bodies(bob.news())
            bob.ack()
        assert seen == ["0", *(f"live {n}" for n in range(MAX_KEPT + 3))]
