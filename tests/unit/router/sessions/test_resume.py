"""Sessions without a socket and their resumption, through a whole router on the memory bus."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.router.delivery.test_interests import MOOD, heard, learned, notify
from tests.unit.router.rig import Client, Rig, bodies, chat, condition, rig
from trio.testing import wait_all_tasks_blocked

from rookery.router.accounts.session import MAX_KEPT
from rookery.shared.bus.messages import (
    Acked,
    Deliver,
    Enable,
    Enabled,
    End,
    Frontier,
    Item,
    Kind,
    Management,
    NotResumed,
    Resume,
    Resumed,
    Unbind,
)
from rookery.shared.config import Config, Limits
from rookery.shared.xeps.stream_management import Options
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

ALICE, BOB = "alice@example.org", "bob@example.org"
TOKEN = b"0123456789abcdef01234567"
SECONDS = 600


async def call(set_up: Rig, edge: str, bare: str, request: Item) -> Any:
    """Ask the router; what it delivers meanwhile stays in the edge's queue."""
    node = set_up.edge(edge).node
    outcome: list[Any] = []

    async def ask() -> None:
        try:
            outcome.append(await node.bus.call(Kind.ROUTER, node.partition(bare), request))
        except StanzaError as error:
            outcome.append(error)

    set_up.nursery.start_soon(ask)
    while not outcome:
        set_up.cluster.network.settle()
        await wait_all_tasks_blocked()
    return outcome[0]


async def enable(set_up: Rig, client: Client, token: bytes = TOKEN, seconds: int = 0) -> Enabled:
    base = client.taken[-1].n if client.taken else 0
    client.ack()
    request = Enable(client.full, client.grant, token, seconds, client.n, base)
    answer = await call(set_up, client.edge.node.incarnation, client.bare, request)
    await set_up.settle()
    assert isinstance(answer, Enabled)
    client.managed = (Management(token, answer.seconds, client.n, base, client.n),)
    return answer


async def managed(set_up: Rig, name: str, token: bytes = TOKEN, edge: str = "edge1") -> Client:
    client = await set_up.online(name, edge=edge)
    await enable(set_up, client, token)
    return client


async def resume(
    set_up: Rig, bare: str, h: int, token: bytes = TOKEN, edge: str = "edge2", sid: int = 900
) -> Client | NotResumed:
    answer = await call(set_up, edge, bare, Resume(bare, token, h, set_up.edge(edge).node.incarnation, sid))
    if isinstance(answer, NotResumed):
        return answer
    assert isinstance(answer, Resumed)
    client = Client(set_up.edge(edge), answer.full, answer.grant, sid, answer.stream)
    client.n = answer.management.frontier
    client.note = answer.note
    client.heard = answer.heard
    # as the edge's mirror: the next delivery is the one behind what the client has
    client.taken.append(Deliver(sid, answer.grant, answer.n, b"", 0, Stanza.build("iq")))
    client.news()
    set_up.edge(edge).clients[sid] = client
    await set_up.settle()
    return client


async def resumed(set_up: Rig, bare: str, h: int, **more: Any) -> Client:
    client = await resume(set_up, bare, h, **more)
    assert isinstance(client, Client)
    return client


async def sleep(set_up: Rig, client: Client) -> None:
    """Its socket is gone."""
    client.edge.post(client.full, Unbind(client.full, client.grant, "eof", True))
    await set_up.settle()


async def pass_time(set_up: Rig, seconds: float) -> None:
    set_up.now += seconds
    for _ in range(3):
        set_up.router.hibernation.tick()
        await set_up.settle()
        for bus in set_up.cluster.network.buses.values():
            bus.tick()
        await set_up.settle()


async def test_what_came_without_a_socket_is_delivered_under_the_next_numbers() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "one"))
        await set_up.settle()
        assert bodies(bob.news()) == ["one"]
        await sleep(set_up, bob)
        alice.route(chat(BOB, "two"))
        await set_up.settle()
        assert bob.news() == []
        again = await resumed(set_up, BOB, 0)
        assert bodies(again.news()) == ["one", "two"]
        assert [one.n for one in again.taken[1:]] == [bob.taken[-1].n, bob.taken[-1].n + 1]
        assert (again.stream, again.full) == (bob.stream, bob.full)
        assert again.grant > bob.grant
        alice.route(chat(BOB, "three"))
        await set_up.settle()
        assert bodies(again.news()) == ["three"]


async def test_what_the_client_has_is_not_delivered_again() -> None:
    async with rig() as set_up:
        await managed(set_up, "bob")
        alice = await set_up.online("alice")
        for body in ("one", "two", "three"):
            alice.route(chat(BOB, body))
        await set_up.settle()
        again = await resumed(set_up, BOB, 2)
        assert bodies(again.news()) == ["three"]


async def test_what_the_client_had_when_it_came_back_is_not_given_to_it_by_the_next_holder() -> None:
    """Its former edge does not know that it has it, and who sent it may not know that it was accepted."""
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        question = Stanza.build("iq", Element("urn:x", "q"), type="get", id="1", to=bob.full)
        said = alice.route(chat(BOB, "one"))
        asked = alice.route(question)
        unknown = alice.route(chat(BOB, "two"))
        await set_up.settle()
        again = await resumed(set_up, BOB, 2)
        assert bodies(again.news()) == ["two"]
        await set_up.start_router("router2")
        alice.route(chat(BOB, "one"), said.n)
        alice.route(question, asked.n)
        alice.route(chat(BOB, "two"), unknown.n)
        alice.route(chat(BOB, "three"))
        await set_up.settle()
        assert bodies(again.news()) == ["three"]


async def test_what_the_client_has_acknowledged_and_is_not_stored_is_known_when_edge_and_router_die() -> None:
    """First its edge, which remembered it; its sender was not told that it is accepted, and sends it again."""
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice", edge="edge3")
        set_up.store.hold = True
        said = [alice.route(chat(BOB, body)) for body in ("one", "two", "three")]
        await set_up.settle()
        bob.ack()
        await set_up.settle()
        set_up.cluster.lose("edge1")
        del set_up.edges["edge1"]
        await set_up.settle()
        again = await resumed(set_up, BOB, 3)
        set_up.store.live.clear()  # (nothing of it is ever committed)
        set_up.cluster.lose("router1")
        set_up.store.hold = False
        await set_up.start_router("router2")
        for body, sent in zip(("one", "two", "three"), said, strict=True):
            alice.route(chat(BOB, body), sent.n)
        alice.route(chat(BOB, "four"))
        await set_up.settle()
        assert bodies(again.news()) == ["four"]
        assert [row.owed for row in set_up.store.rows if row.owner_id == set_up.db.ids[BOB]] == [False] * 4


async def test_the_frontier_is_what_was_recorded() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        base = bob.n
        bob.edge.post(BOB, Frontier(bob.full, bob.grant, base + 7, (("q", "", 5),)))
        await set_up.settle()
        await sleep(set_up, bob)
        bob.edge.post(BOB, Frontier(bob.full, bob.grant, base + 9))  # accepted after the socket was gone
        await set_up.settle()
        answer = await call(set_up, "edge2", BOB, Resume(BOB, TOKEN, 0, "edge2", 901))
        assert answer.management.frontier - answer.management.base_in == 9
        # an edge that lost the session has nothing to say
        bob.edge.post(BOB, Frontier(bob.full, bob.grant, base + 50))
        set_up.cluster.network.settle()
        answer = await call(set_up, "edge2", BOB, Resume(BOB, TOKEN, 0, "edge2", 902))
        assert answer.management.frontier - answer.management.base_in == 9


async def test_the_old_edge_loses_an_open_stream() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        again = await resumed(set_up, BOB, 0)
        assert [end.condition for end in bob.ends] == ["conflict"]
        assert not again.ends
        bob.unbind()
        await set_up.settle()
        (await set_up.online("alice")).route(chat(BOB, "still there"))
        await set_up.settle()
        assert bodies(again.news()) == ["still there"]


async def test_the_last_of_two_resumptions_wins() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        await sleep(set_up, bob)
        first = await resumed(set_up, BOB, 0, sid=901)
        second = await resumed(set_up, BOB, 0, edge="edge3", sid=902)
        assert [end.condition for end in first.ends] == ["conflict"]
        assert not second.ends
        assert second.grant > first.grant


@pytest.mark.parametrize("token", [b"", TOKEN[:-1], TOKEN + b"x", b"x" * 24])
async def test_an_unknown_token_resumes_nothing(token: bytes) -> None:
    async with rig() as set_up:
        await managed(set_up, "bob")
        assert await resume(set_up, BOB, 0, token=token) == NotResumed()


async def test_anothers_token_resumes_nothing_and_says_nothing() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        await set_up.online("alice")
        assert await resume(set_up, ALICE, 0) == NotResumed()
        bob.edge.post(BOB, Frontier(bob.full, bob.grant, 5))
        bob.unbind()
        await set_up.settle()
        assert await resume(set_up, ALICE, 0) == NotResumed()
        # its owner learns what was handled of an ended stream
        assert await resume(set_up, BOB, 0) == NotResumed(5 - 1)


async def test_a_client_that_counts_too_high_is_told() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        (await set_up.online("alice")).route(chat(BOB))
        await set_up.settle()
        await sleep(set_up, bob)
        assert await resume(set_up, BOB, 2) == NotResumed(sent=1)
        assert isinstance(await resume(set_up, BOB, 1), Client)


async def test_the_client_may_ask_for_less_time_and_not_for_more() -> None:
    async with rig() as set_up:
        bob = await set_up.online("bob")
        assert (await enable(set_up, bob, seconds=60)).seconds == 60
        carol = await set_up.online("carol")
        assert (await enable(set_up, carol, seconds=10_000)).seconds == SECONDS


async def test_after_its_time_everything_has_one_fate_with_the_original_stamp() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "unacknowledged"))
        await set_up.settle()
        sent_at = set_up.now
        await sleep(set_up, bob)
        alice.route(Stanza.build("iq", Element("urn:x", "q"), type="get", id="q1", to=bob.full))
        await set_up.settle()
        set_up.store.commit()
        await set_up.settle()
        await pass_time(set_up, SECONDS - 1)
        other = await set_up.online("bob", "other", priority=-1)
        other.presence(1)
        await set_up.settle()
        other.news()
        alice.news()
        await pass_time(set_up, 2)
        set_up.store.commit()
        await set_up.settle()
        assert await resume(set_up, BOB, 0) == NotResumed(0)
        got = [one for one in other.news() if one.kind == "message"]
        assert bodies(got) == ["unacknowledged"]
        delay = got[0].find("urn:xmpp:delay", "delay")
        assert delay is not None
        stamp = delay.get("stamp")
        assert stamp is not None
        assert sent_at == set_up.now - SECONDS - 1
        assert stamp.startswith("2027-01-15T08:00:00")
        errors = [one for one in alice.news() if one.kind == "iq"]
        assert [(one.id, condition(one)) for one in errors] == [("q1", "service-unavailable")]


async def test_a_sleeping_session_has_a_row_until_it_goes_on() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        assert not set_up.db.sessions
        await sleep(set_up, bob)
        await pass_time(set_up, 1)
        assert list(set_up.db.sessions) == [(bob.full, bob.grant)]
        before = set_up.db.sessions[bob.full, bob.grant]["state"]
        (await set_up.online("alice")).route(chat(BOB, "more"))
        await set_up.settle()
        await pass_time(set_up, 1)
        assert set_up.db.sessions[bob.full, bob.grant]["state"] != before
        await resumed(set_up, BOB, 0)
        await pass_time(set_up, 1)
        assert not set_up.db.sessions


async def test_the_database_may_be_away() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        set_up.db.up = False
        await sleep(set_up, bob)
        await pass_time(set_up, 1)
        again = await resumed(set_up, BOB, 0)
        assert again.full == bob.full


async def test_a_new_holder_reads_the_rows() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "one"))
        await set_up.settle()
        bob.edge.post(BOB, Frontier(bob.full, bob.grant, bob.n + 3))
        await sleep(set_up, bob)
        del bob.edge.clients[bob.sid]
        await pass_time(set_up, 1)
        # what comes after the row was written is owed in the store as well
        alice.route(chat(BOB, "two"))
        await set_up.settle()
        set_up.store.commit()
        await set_up.settle()
        set_up.cluster.lose("router1")
        await set_up.start_router("router2")
        await set_up.settle()
        again = await resumed(set_up, BOB, 0)
        assert bodies(again.news()) == ["one", "two"]
        assert again.n == bob.n + 3
        await pass_time(set_up, 1)
        assert not set_up.db.sessions


async def test_a_row_that_was_left_behind_does_not_wake_what_went_on() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        await sleep(set_up, bob)
        await pass_time(set_up, 1)
        stale = dict(set_up.db.sessions)
        del bob.edge.clients[bob.sid]
        again = await resumed(set_up, BOB, 0)
        set_up.db.sessions.update(stale)
        set_up.cluster.lose("router1")
        await set_up.start_router("router2")
        await set_up.settle()
        (await set_up.online("alice")).route(chat(BOB, "one"))
        await set_up.settle()
        assert bodies(again.news()) == ["one"]
        await pass_time(set_up, 1)
        assert not set_up.db.sessions


async def test_what_an_edge_was_not_sent_by_a_router_that_died_comes_from_the_row() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        await sleep(set_up, bob)
        for text in ("one", "two", "three"):
            alice.route(chat(BOB, text))
        await set_up.settle()
        await pass_time(set_up, 1)
        row = dict(set_up.db.sessions)
        assert row
        again = await resumed(set_up, BOB, 0)
        assert bodies(again.news()) == ["one", "two", "three"]
        # The router died when it had said that the stream is resumed, and one of the three.
        del again.taken[-2:]
        again._seen -= 2
        set_up.db.sessions.update(row)
        set_up.cluster.lose("router1")
        await set_up.start_router("router2")
        await set_up.settle()
        assert bodies(again.news()) == ["two", "three"]
        alice.route(chat(BOB, "four"))
        await set_up.settle()
        assert bodies(again.news()) == ["four"]
        await pass_time(set_up, 1)
        assert not set_up.db.sessions


async def test_a_client_that_has_more_than_the_copy_of_its_session_begins_anew() -> None:
    """Its router and its edge died before the row was deleted, or written again: other stanzas would have the numbers that it counts."""
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "one"))
        await sleep(set_up, bob)
        await pass_time(set_up, 1)
        outdated = dict(set_up.db.sessions)
        again = await resumed(set_up, BOB, 0)
        alice.route(chat(BOB, "two"))
        await set_up.settle()
        assert bodies(again.news()) == ["one", "two"]
        await pass_time(set_up, 1)
        set_up.db.sessions.update(outdated)
        for client in list(again.edge.clients):
            del again.edge.clients[client]
        del bob.edge.clients[bob.sid]
        set_up.cluster.lose("router1")
        await set_up.start_router("router2")
        alice.route(chat(BOB, "three"))
        await set_up.settle()
        # Under the router that died "two" had the number that "three" has now.
        assert await resume(set_up, BOB, 2) == NotResumed()
        set_up.store.commit()
        await set_up.settle()
        bob = await set_up.bind("bob", "anew")
        bob.presence(1)
        await set_up.settle()
        assert bodies(bob.news()) == ["three"]


async def test_a_client_may_resume_the_copy_of_its_session() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "one"))
        await sleep(set_up, bob)
        await pass_time(set_up, 1)
        del bob.edge.clients[bob.sid]
        set_up.cluster.lose("router1")
        await set_up.start_router("router2")
        alice.route(chat(BOB, "two"))
        await set_up.settle()
        again = await resumed(set_up, BOB, 1)
        assert bodies(again.news()) == ["two"]
        alice.route(chat(BOB, "three"))
        await set_up.settle()
        await sleep(set_up, again)
        assert bodies((await resumed(set_up, BOB, 3)).news()) == []


async def test_sessions_of_a_dead_edge_sleep() -> None:
    async with rig() as set_up:
        set_up.edge("edge2")
        bob = await managed(set_up, "bob", edge="edge2")
        alice = await set_up.online("alice")
        alice.route(chat(BOB, "one"))
        await set_up.settle()
        set_up.cluster.lose("edge2")
        del set_up.edges["edge2"]
        alice.route(chat(BOB, "two"))
        await set_up.settle()
        again = await resumed(set_up, BOB, 0, edge="edge3")
        assert bodies(again.news()) == ["one", "two"]
        assert again.full == bob.full


async def test_a_sleeping_session_gives_way_when_there_are_too_many() -> None:
    async with rig(Config(limits=Limits(resources_per_account=2))) as set_up:
        first = await set_up.online("bob", "one")
        await enable(set_up, first, b"1" * 24)
        second = await set_up.online("bob", "two")
        await enable(set_up, second, b"2" * 24)
        await sleep(set_up, first)
        await pass_time(set_up, 1)
        await sleep(set_up, second)
        await set_up.bind("bob", "three")
        assert isinstance(await resume(set_up, BOB, 0, token=b"1" * 24), NotResumed)
        assert isinstance(await resume(set_up, BOB, 0, token=b"2" * 24), Client)


async def test_what_the_former_edge_had_on_the_way_still_counts_once() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        again = await resumed(set_up, BOB, 0)
        late = bob.submit(chat(ALICE, "late"), 77)  # under the former grant
        await set_up.settle()
        again.submit(chat(ALICE, "late"), 77)  # and sent again by the client
        await set_up.settle()
        set_up.store.commit()
        await set_up.settle()
        assert bodies(alice.news()) == ["late"]
        assert set_up.accepted(late)
        assert not again.ends


async def test_open_requests_go_on_until_they_are_answered() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        requests = (("q1", alice.full, 111), ("q2", "", 222), ("q3", alice.full, 333))
        bob.edge.post(BOB, Frontier(bob.full, bob.grant, bob.n, requests))
        await set_up.settle()
        alice.route(Stanza.build("iq", type="result", id="q1", to=bob.full))
        await set_up.settle()
        bob.edge.post(BOB, Acked(bob.full, bob.grant, bob.taken[-1].n))
        await set_up.settle()
        answer = await call(set_up, "edge2", BOB, Resume(BOB, TOKEN, 1, "edge2", 901))
        assert [tuple(one) for one in answer.management.requests] == [requests[1], requests[2]]


async def test_a_request_whose_answer_is_delivered_again_is_not_open() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        requests = (("q1", alice.full, 111), ("q2", "", 222))
        bob.edge.post(BOB, Frontier(bob.full, bob.grant, bob.n, requests))
        await sleep(set_up, bob)
        alice.route(Stanza.build("iq", type="error", id="q1", to=bob.full))
        await set_up.settle()
        answer = await call(set_up, "edge2", BOB, Resume(BOB, TOKEN, 0, "edge2", 901))
        assert [tuple(one) for one in answer.management.requests] == [requests[1]]


async def test_whoever_resumes_is_told_which_requests_were_answered_though_they_may_be_sent_again() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        for id in ("q1", "q2"):
            alice.route(Stanza.build("iq", type="result", id=id, to=bob.full))
        bob.route(
            Stanza.build("iq", Element("urn:xmpp:ping", "ping"), type="get", id="own", to="bob@example.org")
        )
        await set_up.settle()
        # The client has the answers; what it has sent before them is not handled yet.
        bob.edge.post(BOB, Acked(bob.full, bob.grant, bob.taken[-1].n))
        bob.edge.post(BOB, Frontier(bob.full, bob.grant, 0, (), 3))
        await set_up.settle()
        answer = await call(set_up, "edge2", BOB, Resume(BOB, TOKEN, 0, "edge2", 901))
        assert {tuple(one) for one in answer.management.answered} >= {("q1", alice.full), ("q2", alice.full)}
        again = await resumed(set_up, BOB, 0, edge="edge3")
        again.edge.post(BOB, Frontier(again.full, again.grant, 3, (), 3))
        await set_up.settle()
        answer = await call(set_up, "edge2", BOB, Resume(BOB, TOKEN, 0, "edge2", 902))
        assert tuple(answer.management.answered) == ()


async def test_binding_the_resource_of_a_sleeping_session_ends_it() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        (await set_up.online("alice")).route(chat(BOB, "for whoever comes"))
        await set_up.settle()
        await sleep(set_up, bob)
        again = await set_up.bind("bob")
        set_up.store.commit()
        again.presence()
        await set_up.settle()
        assert again.full == bob.full
        assert bodies(again.news()) == ["for whoever comes"]
        assert isinstance(await resume(set_up, BOB, 0), NotResumed)
        assert [end.condition for end in bob.ends] == ["reset"]
        assert isinstance(bob.ends[0], End)


async def test_an_attempt_whose_answer_was_lost_leaves_nothing_behind() -> None:
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        other = TOKEN[::-1]
        bob.presence()
        await set_up.settle()
        base = bob.taken[-1].n
        again = await enable(set_up, bob, other)
        assert again.seconds == SECONDS
        assert isinstance(await resume(set_up, BOB, 0, token=TOKEN), NotResumed)
        client = await resumed(set_up, BOB, 0, token=other)
        assert client.taken[0].n == base, "its counting began there"


async def test_only_a_bound_stream_can_be_enabled() -> None:
    async with rig() as set_up:
        bob = await set_up.online("bob")
        answer = await call(set_up, "edge1", BOB, Enable(bob.full, bob.grant + 1, TOKEN, 0, 0, 0))
        assert isinstance(answer, StanzaError)
        assert answer.condition == "item-not-found"


async def test_the_operator_says_how_long_sessions_may_sleep() -> None:
    async with rig(Config(stream_management=Options(resume_seconds=30))) as it:
        client = await it.online("alice")
        assert (await enable(it, client)).seconds == 30
        assert (await enable(it, client, seconds=20)).seconds == 20
        assert (await enable(it, client, seconds=40)).seconds == 30


async def test_what_does_not_fit_its_queue_comes_from_the_store_after_it_all_of_it_in_order() -> None:
    """A client that has acknowledged next to nothing and resumes gets the queue again, then, as it acknowledges, the rest."""
    async with rig() as set_up:
        bob = await managed(set_up, "bob")
        alice = await set_up.online("alice")
        for n in range(MAX_KEPT + 500):
            alice.route(chat(BOB, str(n)))
        await set_up.settle()
        first = bodies(bob.news())
        assert first == [str(n) for n in range(len(first))]
        await sleep(set_up, bob)
        set_up.store.commit()
        await set_up.settle()
        again = await resumed(set_up, BOB, 7)
        got = bodies(again.news())
        for _ in range(20):
            again.ack()
            set_up.store.commit()
            await set_up.settle()
            got += bodies(again.news())
        assert got == [str(n) for n in range(7, MAX_KEPT + 500)]


@pytest.mark.parametrize("again", [False, True])
async def test_a_successor_knows_what_a_session_was_told_before_it_moved(again: bool) -> None:
    """What its client has acknowledged is no longer at the edge where it goes on, or at none."""
    async with rig() as set_up:
        bob = await learned(set_up, MOOD)
        await enable(set_up, bob)
        await notify(set_up, 1, bob.bare)
        assert heard(bob) == ["1"]
        bob.ack()
        await sleep(set_up, bob)
        await pass_time(set_up, 1)
        del bob.edge.clients[bob.sid]
        if again:
            bob = await resumed(set_up, bob.bare, 1)
        set_up.cluster.lose("router1")
        await set_up.start_router("router2")
        await set_up.settle()
        if not again:
            bob = await resumed(set_up, bob.bare, 1)
        for n in (1, 2):
            await notify(set_up, n, bob.bare)
        assert heard(bob) == ["2"]
