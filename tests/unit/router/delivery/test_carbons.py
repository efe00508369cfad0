"""Copies of messages through a whole router (XEP-0280)."""

from __future__ import annotations

import pytest
from tests.unit.router.rig import DOMAIN, Client, Rig, bodies, chat, condition, rig

from rookery.router.accounts.answerable import MAX_ANSWERABLE, Answerable
from rookery.shared.bus.messages import Copy, Kind
from rookery.shared.store.ids import Seal
from rookery.shared.xeps.carbons import NS, unwrap
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = f"bob@{DOMAIN}"
ALICE = f"alice@{DOMAIN}"


async def switch(it: Rig, client: Client, name: str = "enable") -> Stanza:
    client.submit(Stanza.build("iq", Element(NS, name), type="set", id="c"))
    await it.settle()
    (answer,) = client.news()
    return answer


async def with_copies(it: Rig, name: str, resource: str, priority: int | None = None) -> Client:
    client = await it.online(name, resource, priority)
    assert (await switch(it, client)).type == "result"
    return client


def send(client: Client, stanza: Stanza) -> None:
    """As an edge does for a session whose messages its own router wants to see."""
    origin = client.route(stanza)
    client.edge.post(client.full, Copy(origin, client.full, client.grant, stanza.replace(from_=client.full)))


def copied(client: Client, name: str) -> list[str]:
    """What was wrapped in the copies that came, and nothing else came."""
    found = []
    for one in client.news():
        assert (one.from_, one.to) == (client.bare, client.full)
        copy = one.find(NS, name)
        assert copy is not None, one
        (forwarded,) = copy.elements("urn:xmpp:forward:0", "forwarded")
        (message,) = forwarded.elements("jabber:client", "message")
        found.append(message.find_text("jabber:client", "body") or "")
    return found


async def test_what_one_resource_gets_the_others_get_as_a_copy() -> None:
    async with rig() as it:
        alice, one = await it.online("alice"), await with_copies(it, "bob", "1", 5)
        two, deaf = await with_copies(it, "bob", "2", -1), await it.online("bob", "deaf", 0)
        for client in (one, two):
            client.news()
        alice.route(chat(one.full, "to full"))
        alice.route(chat(BOB, "to bare"))
        alice.route(chat(deaf.full, "to deaf"))
        await it.settle()
        assert copied(two, "received") == ["to full", "to bare", "to deaf"]
        first, second, third = one.news()
        assert bodies([first, second]) == ["to full", "to bare"]
        assert third.has(NS, "received")
        assert bodies(deaf.news()) == ["to deaf"]


async def test_what_no_resource_takes_is_stored_and_copied() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await with_copies(it, "bob", "1", -1)
        origin = alice.route(chat(BOB))
        await it.settle()
        assert copied(bob, "received") == ["hi"]
        assert not it.accepted(origin)
        it.store.commit()
        await it.settle()
        assert it.accepted(origin)


async def test_what_is_refused_is_not_copied() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await with_copies(it, "bob", "1")
        alice.route(chat(f"{BOB}/gone", type="normal"))
        await it.settle()
        assert [condition(one) for one in alice.news()] == ["service-unavailable"]
        assert bob.news() == []


async def test_what_a_client_sends_its_siblings_get_as_a_copy_and_it_does_not() -> None:
    async with rig() as it:
        await it.online("bob")
        one, two = await with_copies(it, "alice", "1"), await with_copies(it, "alice", "2")
        deaf = await it.online("alice", "deaf")
        for client in (one, two):
            client.news()
        send(one, chat(BOB, "a"))
        send(deaf, chat(BOB, "b"))
        await it.settle()
        assert copied(two, "sent") == ["a", "b"]
        assert copied(one, "sent") == ["b"]
        assert deaf.news() == []


async def test_a_message_to_oneself_reaches_every_resource_once() -> None:
    async with rig() as it:
        one, two = await with_copies(it, "alice", "1", 1), await with_copies(it, "alice", "2", 0)
        three = await with_copies(it, "alice", "3", 0)
        for client in (one, two):
            client.news()
        three.submit(chat(ALICE, "note"))
        await it.settle()
        assert bodies(one.news()) == ["note"]
        assert copied(two, "sent") == ["note"]
        assert three.news() == []


async def test_copies_are_on_until_they_are_switched_off() -> None:
    async with rig() as it:
        await it.online("bob")
        one, two = await it.online("alice", "1"), await it.online("alice", "2")
        one.news()
        for name in ("disable", "enable", "enable"):
            assert (await switch(it, two, name)).type == "result"
        send(one, chat(BOB, "a"))
        await it.settle()
        assert copied(two, "sent") == ["a"]
        assert (await switch(it, two, "disable")).type == "result"
        send(one, chat(BOB))
        await it.settle()
        assert two.news() == []


async def test_another_account_cannot_switch_them() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        alice.route(Stanza.build("iq", Element(NS, "enable"), type="set", id="c", to=BOB))
        await it.settle()
        # A subscriber gets past the gate, and no further.
        gates = it.seen(Kind.PRESENCE)
        assert gates[-1].stanza.id == "c"
        bob_gets = bob.news()
        assert bob_gets == []
        assert alice.news() == []


async def test_copies_survive_the_router() -> None:
    async with rig() as it:
        alice, one, two = (
            await it.online("alice"),
            await it.online("bob", "1", 1),
            await with_copies(it, "bob", "2"),
        )
        one.news()
        await it.start_router("router2")
        alice.route(chat(BOB))
        await it.settle()
        assert bodies(one.news()) == ["hi"]
        assert copied(two, "received") == ["hi"]


async def test_a_copy_that_was_not_read_goes_with_its_session() -> None:
    async with rig() as it:
        alice, one, two = (
            await it.online("alice"),
            await it.online("bob", "1", 1),
            await with_copies(it, "bob", "2"),
        )
        one.news()
        alice.route(chat(BOB))
        await it.settle()
        assert bodies(one.news()) == ["hi"]
        one.ack()
        two.unbind()
        await it.settle()
        assert [stanza for stanza in one.news() if stanza.kind == "message"] == []
        assert alice.news() == []
        assert it.store.waiting == []


async def test_an_error_is_copied_when_what_it_answers_was() -> None:
    async with rig() as it:
        one, two = await with_copies(it, "alice", "1"), await with_copies(it, "alice", "2")
        one.news()
        send(one, chat(f"nobody@{DOMAIN}", id="m1"))
        send(one, chat(f"nobody@{DOMAIN}", id="m2", type="groupchat"))
        await it.settle()
        assert [condition(stanza) for stanza in one.news()] == ["service-unavailable"] * 2
        first, second = two.news()
        assert first.has(NS, "sent")
        assert second.has(NS, "received")
        assert second.type == "error"


async def test_a_session_that_does_not_read_is_passed_by() -> None:
    async with rig() as it:
        alice, one = await it.online("alice"), await it.online("bob", "1", 1)
        two = await with_copies(it, "bob", "2")
        one.news()
        it.router.core.parts[it.edge().node.partition(BOB)].accounts[BOB].resources.by_resource[
            "2"
        ].stalled = True
        alice.route(chat(BOB))
        await it.settle()
        assert bodies(one.news()) == ["hi"]
        assert two.news() == []


def test_what_errors_may_answer_is_bounded() -> None:
    known = Answerable()
    known.add("a@x", "")
    assert not known.has("a@x", "")
    for number in range(MAX_ANSWERABLE + 1):
        known.add("a@x", str(number))
    assert not known.has("a@x", "0")
    assert known.has("a@x", "1")
    known.add("a@x", "1")
    known.add("a@x", "new")
    assert known.has("a@x", "1")
    assert not known.has("b@x", "1")


@pytest.mark.parametrize("acked", [False, True])
async def test_a_new_holder_archives_what_it_is_sent_again_and_makes_no_second_copy(acked: bool) -> None:
    async with rig() as it:
        await it.online("bob")
        alice, two = await it.online("alice", "1"), await with_copies(it, "alice", "2")
        it.store.hold = True
        origin = alice.route(chat(BOB))
        alice.copy(origin, chat(BOB))
        await it.settle()
        last = two.taken[-1]
        assert copied(two, "sent") == ["hi"]
        if acked:
            two.ack()
            await it.settle()
            it.edge().late.append((last.origin_stream, last.origin_n, last.stanza))
        it.store.live.clear()  # the router is killed before its commit
        it.store.hold = False
        await it.start_router("router2")
        alice.route(chat(BOB), origin.n)
        alice.copy(origin, chat(BOB))
        other = alice.route(chat(BOB, "other"))
        alice.copy(other, chat(BOB, "other"))
        await it.settle()
        assert copied(two, "sent") == ["other"]
        assert it.copied(origin)
        rows = [row for row in it.store.archive(it.db.ids[ALICE]) if row.outgoing]
        assert [(row.stream, row.n) for row in rows] == [(alice.stream, origin.n), (alice.stream, other.n)]
        told = shown(last.stanza)
        assert Seal(b"secret").open(rows[0].owner_id, told) == rows[0].id, "the id that was told stays"
        assert Seal(b"secret").open(rows[1].owner_id, shown(two.taken[-1].stanza)) == rows[1].id


def shown(copy: Stanza) -> str:
    """The archive id in the message that a copy wraps."""
    message = unwrap(copy)
    assert message is not None
    ids = [
        one.get("id") for one in message.elements() if (one.ns, one.name) == ("urn:xmpp:sid:0", "stanza-id")
    ]
    assert len(ids) == 1
    return ids[0] or ""


async def test_an_id_that_a_client_made_up_is_neither_copied_nor_archived_nor_sent_on() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        alice, two = await it.online("alice", "1"), await with_copies(it, "alice", "2")
        forged = Element("urn:xmpp:sid:0", "stanza-id", {"by": "Alice@EXAMPLE.org", "id": "forged"})
        message = chat(BOB).with_child(forged)
        alice.copy(alice.route(message), message)
        await it.settle()
        assert shown(two.taken[-1].stanza) != "forged"
        assert "forged" not in str(bob.news())
        rows = [row for row in it.store.archive(it.db.ids[ALICE]) if row.outgoing]
        assert len(rows) == 1
        assert b"forged" not in rows[0].stanza
