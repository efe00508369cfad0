"""Messages whose router died together with the edge of their session: they are owed again, and nobody is told twice within a session."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from tests.unit.router.rig import Client, Rig, bodies, chat, rig
from tests.unit.router.sessions.test_resume import enable, managed, pass_time, resume, resumed, sleep

from rookery.router.absences import GRACE
from rookery.router.unclear import AGAIN_SECONDS, LOOK_SECONDS, LOST_SECONDS
from rookery.shared.bus.messages import NotResumed

BOB = "bob@example.org"


async def both_die(set_up: Rig, rows: dict[Any, Any] | None = None) -> None:
    """Of the router and the edge of his session, nothing is left but what was committed, and `rows` of sessions."""
    set_up.store.commit()
    await set_up.settle()
    for edge in set_up.edges.values():
        for sid in [sid for sid, client in edge.clients.items() if client.bare == BOB]:
            del edge.clients[sid]
    set_up.cluster.lose("router1")
    await pass_time(set_up, 5)
    set_up.db.sessions.update(rows or {})
    await set_up.start_router("router2")


async def anew(set_up: Rig) -> list[str]:
    """What he is given in a new session."""
    bob = await set_up.bind("bob", "anew")
    bob.presence(1)
    await set_up.settle()
    return bodies(bob.news())


async def test_what_a_lost_session_was_given_comes_in_the_next_one_before_what_is_newer() -> None:
    async with rig() as set_up:
        await managed(set_up, "bob")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "one"))
        alice.route(chat(BOB, "two"))
        await set_up.settle()
        await both_die(set_up)
        alice.route(chat(BOB, "three"))
        await set_up.settle()
        set_up.store.commit()
        assert await anew(set_up) == ["one", "two", "three"]


async def test_a_session_that_its_edge_brings_back_to_the_next_holder_gets_what_is_new_alone() -> None:
    """Its edge was silent when its router died, and is heard again when the one after it is dead, too: it goes on there."""
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice", edge="edge2")
        alice.route(chat(BOB, "one"))
        await set_up.settle()
        assert bodies(bob.news()) == ["one"]
        await both_die(set_up)
        alice.route(chat(BOB, "two"))
        await set_up.settle()
        set_up.store.commit()
        await set_up.settle()
        assert [row.owed for row in set_up.store.rows] == [False, True]
        bob.edge.clients[bob.sid] = bob
        set_up.cluster.lose("router2")
        await set_up.start_router("router3")
        await pass_time(set_up, 1)
        alice.route(chat(BOB, "three"))
        await set_up.settle()
        assert bodies(bob.news()) == ["two", "three"]


@pytest.mark.parametrize(("early", "loads"), [(False, 1), (True, 2)])
async def test_who_binds_is_read_once_more_only_when_it_was_read_before(early: bool, loads: int) -> None:
    async with rig() as set_up:
        await managed(set_up, "bob")
        alice = await set_up.online("alice", edge="edge2")
        await both_die(set_up)
        before = set_up.db.loads
        if early:
            alice.route(chat(BOB, "one"))
            await set_up.settle()
        await set_up.bind("bob", "anew")
        assert set_up.db.loads - before == loads


@pytest.mark.parametrize("sweeps", [False, True])
async def test_who_does_not_come_back_soon_is_owed_it_nevertheless(sweeps: bool) -> None:
    """When something comes for him later, or the cache looks at what it may forget."""
    async with rig() as set_up:
        await managed(set_up, "bob")
        alice = await set_up.online("alice", edge="edge2")
        alice.route(chat(BOB, "one"))
        await set_up.settle()
        await both_die(set_up)
        alice.route(chat(BOB, "two"))
        await set_up.settle()
        set_up.store.commit()
        await set_up.settle()
        owed = set_up.db.ids[BOB]
        assert len(set_up.store.owed(owed)) == 1
        part = set_up.router.core.parts[set_up.router.core.node.partition(BOB)]
        set_up.router.accounts.sweep(part)
        await set_up.settle()
        assert len(set_up.store.owed(owed)) == 1
        assert BOB in part.accounts
        set_up.now = part.since + GRACE
        if sweeps:
            set_up.router.accounts.sweep(part)
        else:
            alice.route(chat(BOB, "three"))
        await set_up.settle()
        set_up.store.commit()
        await set_up.settle()
        set_up.now = part.since + LOOK_SECONDS
        assert await anew(set_up) == ["one", "two", *(() if sweeps else ("three",))]


async def test_what_was_there_before_he_was_last_seen_does_not_come_again() -> None:
    async with rig() as set_up:
        await managed(set_up, "bob")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "one"))
        await set_up.settle()
        set_up.db.seen[BOB] = set_up.now
        await both_die(set_up)
        assert await anew(set_up) == []


async def test_what_is_older_does_not_come_again() -> None:
    async with rig() as set_up:
        await managed(set_up, "bob")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "one"))
        await set_up.settle()
        await pass_time(set_up, LOST_SECONDS)
        await both_die(set_up)
        assert await anew(set_up) == []


async def test_long_after_a_takeover_nothing_is_in_doubt() -> None:
    async with rig() as set_up:
        await managed(set_up, "bob")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "one"))
        await set_up.settle()
        await both_die(set_up)
        await pass_time(set_up, LOOK_SECONDS)
        assert await anew(set_up) == []


async def test_a_session_whose_edge_lives_lacks_nothing() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "one"))
        await set_up.settle()
        assert bodies(bob.news()) == ["one"]
        set_up.store.commit()
        set_up.cluster.lose("router1")
        await pass_time(set_up, 5)
        await set_up.start_router("router2")
        alice.route(chat(BOB, "two"))
        await set_up.settle()
        assert bodies(bob.news()) == ["two"]
        assert not set_up.store.owed(set_up.db.ids[BOB])


async def slept_and_went_on(set_up: Rig, seen: bool = False) -> Client:
    """His session slept when "one" came, and its row is there still when both die that have brought him "two"."""
    bob = await managed(set_up, "bob")
    alice = await set_up.online("alice")
    await sleep(set_up, bob)
    alice.route(chat(BOB, "one"))
    await pass_time(set_up, 1)
    row = dict(set_up.db.sessions)
    again = await resumed(set_up, BOB, 0)
    await pass_time(set_up, 1)
    alice.route(chat(BOB, "two"))
    await set_up.settle()
    assert bodies(again.news()) == ["one", "two"]
    if seen:
        set_up.db.seen[BOB] = set_up.now  # (so nothing is owed)
    await both_die(set_up, row)
    return alice


async def test_a_client_that_has_no_more_than_the_copy_gets_the_rest_once_and_in_order() -> None:
    async with rig() as set_up:
        alice = await slept_and_went_on(set_up)
        alice.route(chat(BOB, "three"))
        await set_up.settle()
        set_up.store.commit()
        again = await resumed(set_up, BOB, 0)
        await set_up.settle()
        assert bodies(again.news()) == ["one", "two", "three"]


async def test_a_client_that_has_more_than_the_copy_gets_it_again_in_a_new_session() -> None:
    async with rig() as set_up:
        alice = await slept_and_went_on(set_up)
        assert await resume(set_up, BOB, 2) == NotResumed()
        alice.route(chat(BOB, "three"))
        await set_up.settle()
        set_up.store.commit()
        await set_up.settle()
        assert await anew(set_up) == ["two", "three"]


async def test_of_two_copies_the_newer_one_says_what_lacks() -> None:
    async with rig() as set_up:
        older = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        await sleep(set_up, older)
        await pass_time(set_up, 1)
        newer = await set_up.bind("bob", "newer")
        newer.presence(5)
        await enable(set_up, newer, b"another token of the client")
        alice.route(chat(BOB, "one"))
        await set_up.settle()
        assert bodies(newer.news()) == ["one"]
        newer.ack()
        await set_up.settle()
        await pass_time(set_up, 1)
        await sleep(set_up, newer)
        await pass_time(set_up, 1)
        await both_die(set_up)
        again = await resumed(set_up, BOB, 1, token=b"another token of the client")
        await set_up.settle()
        assert bodies(again.news()) == []


async def test_what_a_copy_lacks_and_its_sender_sends_again_comes_once() -> None:
    async with rig() as set_up:
        alice = await slept_and_went_on(set_up)
        n = alice.route(chat(BOB, "three")).n
        alice.route(chat(BOB, "two"), n - 1)
        await set_up.settle()
        set_up.store.commit()
        again = await resumed(set_up, BOB, 0)
        await set_up.settle()
        assert bodies(again.news()) == ["one", "two", "three"]


async def acknowledged_and_slept(set_up: Rig) -> tuple[Client, int]:
    """His client has "one", his session slept, and both die that knew its uid."""
    bob = await managed(set_up, "bob")
    alice = await set_up.online("alice")
    n = alice.route(chat(BOB, "one")).n
    await set_up.settle()
    assert bodies(bob.news()) == ["one"]
    bob.ack()
    await set_up.settle()
    await sleep(set_up, bob)
    await pass_time(set_up, 1)
    await both_die(set_up)
    return alice, n


async def test_what_a_client_has_acknowledged_and_its_sender_sends_again_is_accepted_and_does_not_come() -> (
    None
):
    async with rig() as set_up:
        alice, n = await acknowledged_and_slept(set_up)
        alice.route(chat(BOB, "one"), n)
        alice.route(chat(BOB, "two"), n + 1)
        await set_up.settle()
        set_up.store.commit()
        await set_up.settle()
        assert alice.edge.accepted[-2:] == [(alice.stream, n), (alice.stream, n + 1)]
        again = await resumed(set_up, BOB, 1)
        alice.route(chat(BOB, "three"), n + 2)
        alice.route(chat(BOB, "one"), n)
        await set_up.settle()
        assert bodies(again.news()) == ["two", "three"]


async def test_messages_are_looked_up_for_a_while_and_their_order_is_kept() -> None:
    async with rig() as set_up:
        alice, n = await acknowledged_and_slept(set_up)
        again = await resumed(set_up, BOB, 1)
        loads = set_up.db.loads
        set_up.db.up = False
        alice.route(chat(BOB, "two"), n + 1)
        await set_up.settle()
        alice.route(chat(BOB, "one"), n)
        alice.route(chat(BOB, "three"), n + 2)
        await set_up.settle()
        assert bodies(again.news()) == []
        set_up.db.up = True
        await trio.sleep(0.6)  # (the pause between two attempts, at most 0.5)
        await set_up.settle()
        assert bodies(again.news()) == ["two", "three"]
        assert set_up.db.loads > loads
        await pass_time(set_up, AGAIN_SECONDS)
        loads = set_up.db.loads
        alice.route(chat(BOB, "four"), n + 3)
        await set_up.settle()
        assert (bodies(again.news()), set_up.db.loads) == (["four"], loads)


async def test_what_the_copy_lacks_and_nobody_owes_is_delivered_when_it_comes_again() -> None:
    async with rig() as set_up:
        alice = await slept_and_went_on(set_up, seen=True)
        n = alice.route(chat(BOB, "three")).n
        alice.route(chat(BOB, "two"), n - 1)
        await set_up.settle()
        set_up.store.commit()
        again = await resumed(set_up, BOB, 0)
        await set_up.settle()
        assert sorted(bodies(again.news())) == ["one", "three", "two"]


async def test_what_was_stored_twice_is_owed_when_its_second_session_dies() -> None:
    """The first delivery was lost with the router that had stored it; the second one has an id that stands nowhere."""
    async with rig() as set_up:
        bob, alice = await set_up.online("bob"), await set_up.online("alice")
        n = alice.route(chat(BOB, "one")).n
        await set_up.settle()
        set_up.store.commit()
        bob.taken.pop()
        bob.news()
        set_up.cluster.lose("router1")
        await pass_time(set_up, 5)
        await set_up.start_router("router2")
        alice.route(chat(BOB, "one"), n)
        await set_up.settle()
        assert len(bob.taken) == 2
        bob.unbind()
        await set_up.settle()
        set_up.store.commit()
        await set_up.settle()
        assert await anew(set_up) == ["one"]


async def test_what_an_earlier_holder_than_that_of_the_copy_stored_is_delivered_when_it_comes_again() -> None:
    """It may have been lost on its way to the session, of which the copy was made afterwards."""
    async with rig() as set_up:
        alice, n = await acknowledged_and_slept(set_up)
        set_up.store.rows = [row._replace(id=row.id + (1 << 40)) for row in set_up.store.rows]
        alice.route(chat(BOB, "one"), n)
        await set_up.settle()
        set_up.store.commit()
        again = await resumed(set_up, BOB, 1)
        await set_up.settle()
        assert bodies(again.news()) == ["one"]


@pytest.mark.parametrize("stored", [True, False])
async def test_what_a_session_acknowledged_under_a_former_holder_comes_again_only_if_it_is_not_stored(
    stored: bool,
) -> None:
    """Its sender, whose own router was away, sends it again long after; the session's edge remembers the uid alone."""
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice", edge="edge2")
        sent = alice.route(chat(BOB, "one"))
        await set_up.settle()
        assert bodies(bob.news()) == ["one"]
        bob.ack()
        set_up.store.commit()
        await set_up.settle()
        if not stored:
            set_up.store.rows.clear()
        bob.edge.given.append((bob.edge.node.partition(BOB), sent.stream, sent.n))
        await set_up.start_router("router2")
        set_up.edge("edge2").accepted.clear()
        alice.route(chat(BOB, "one"), sent.n)
        alice.route(chat(BOB, "two"))
        await set_up.settle()
        set_up.store.commit()
        await set_up.settle()
        assert bodies(bob.news()) == (["two"] if stored else ["one", "two"])
        assert (sent.stream, sent.n) in set_up.edge("edge2").accepted
        set_up.now += AGAIN_SECONDS
        alice.route(chat(BOB, "three"))
        await set_up.settle()
        assert set_up.router.core.parts[bob.edge.node.partition(BOB)].given == set()
