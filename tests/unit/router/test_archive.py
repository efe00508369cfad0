"""What is stored of live messages, when it is accepted, and what becomes of what nobody acknowledged."""

from __future__ import annotations

import pytest
from tests.unit.router.rig import DOMAIN, Client, Rig, bodies, chat, condition, rig

from rookery.shared.bus.messages import Submit, ToSession
from rookery.shared.config import Config
from rookery.shared.store.ids import Seal
from rookery.shared.store.rows import unpack_stanza
from rookery.shared.xeps.archive_preferences import Default, Options
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
CAROL = f"carol@{DOMAIN}"
HINTS = "urn:xmpp:hints"


def hinted(to: str, hint: str) -> Stanza:
    return chat(to).with_child(Element(HINTS, hint))


async def pair(it: Rig) -> tuple[Client, Client]:
    return await it.online("alice"), await it.online("bob")


async def test_delivery_does_not_wait_for_the_commit_and_acceptance_does() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        it.store.hold = True
        origin = alice.route(chat(BOB))
        await it.settle()
        (got,) = bob.news()
        assert not it.accepted(origin)
        alice.route(chat(BOB), origin.n)  # sent again meanwhile
        await it.settle()
        assert bob.news() == []
        it.store.commit()
        await it.settle()
        assert it.accepted(origin)
        (row,) = it.store.archive(it.db.ids[BOB])
        assert (row.owed, row.outgoing, row.peer, row.stamp) == (False, False, ALICE, it.now)
        assert (row.stream, row.n) == (origin.stream, origin.n)
        given = got.find("urn:xmpp:sid:0", "stanza-id")
        assert given is not None
        assert given.get("by") == BOB
        assert Seal(b"secret").open(row.account_id, given.get("id") or "") == row.id
        assert not unpack_stanza(row.stanza).has("urn:xmpp:sid:0")


async def test_ids_grow_in_the_order_of_delivery() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        for n in range(5):
            alice.route(chat((BOB, bob.full)[n % 2], str(n)))
        await it.settle()
        rows = it.store.archive(it.db.ids[BOB])
        assert [bodies([unpack_stanza(row.stanza)])[0] for row in sorted(rows)] == list("01234")


async def test_both_legs_are_answered_after_their_commits() -> None:
    async with rig() as it:
        alice, _ = await pair(it)
        assert alice.copies
        it.store.hold = True
        origin = alice.route(chat(BOB))
        alice.copy(origin, chat(BOB))
        await it.settle()
        assert (it.accepted(origin), it.copied(origin)) == (False, False)
        alice.copy(origin, chat(BOB))
        await it.settle()
        assert len(it.store.live) == 2, "a repetition is not stored again"
        it.store.commit()
        await it.settle()
        assert (it.accepted(origin), it.copied(origin)) == (True, True)
        (row,) = it.store.archive(it.db.ids[ALICE])
        assert (row.outgoing, row.owed, row.peer) == (True, False, BOB)
        assert unpack_stanza(row.stanza).from_ == alice.full


async def test_what_goes_through_the_own_router_has_both_legs_too() -> None:
    async with rig() as it:
        it.db.blocked[ALICE] = [f"mallory@{DOMAIN}"]
        alice, bob = await pair(it)
        assert alice.own_first
        origin = alice.submit(chat(BOB))
        refused = alice.submit(chat(f"mallory@{DOMAIN}"))
        await it.settle()
        assert bodies(bob.news()) == ["hi"]
        assert it.accepted(origin)
        assert it.copied(origin)
        assert it.accepted(refused)
        assert it.copied(refused)
        assert [row.peer for row in it.store.archive(it.db.ids[ALICE])] == [BOB]
        await it.settle()
        it.edge().copied.clear()
        alice.edge.post(
            alice.full, Submit(origin, alice.full, alice.grant, chat(BOB).replace(from_=alice.full))
        )
        await it.settle()
        assert it.copied(origin), "what was lost is said again"
        assert bob.news() == []


async def test_what_nobody_acknowledged_is_owed_not_stored_again() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        alice.route(chat(BOB, "1")), alice.route(chat(bob.full, "2"))
        await it.settle()
        rows = it.store.archive(it.db.ids[BOB])
        bob.unbind()
        await it.settle()
        assert it.store.waiting == []
        it.store.commit()
        await it.settle()
        assert [row.id for row in it.store.debts()] == [row.id for row in rows]
        again = await it.bind("bob", "other")
        again.presence(0)
        await it.settle()
        assert bodies(again.news()) == ["1", "2"]
        again.ack()
        await it.settle()
        assert it.store.debts() == []
        assert len(it.store.archive(it.db.ids[BOB])) == 2, "an archived row stays"


async def test_another_resource_gets_it_under_the_same_id() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        alice.route(chat(bob.full))
        await it.settle()
        (first,) = bob.news()
        two = await it.online("bob", "two", -1)
        two.presence(1)
        await it.settle()
        two.news()
        bob.unbind()
        await it.settle()
        (second,) = [one for one in two.news() if one.kind == "message"]
        assert second.find("urn:xmpp:sid:0", "stanza-id") == first.find("urn:xmpp:sid:0", "stanza-id")
        assert second.has("urn:xmpp:delay", "delay")
        assert len(it.store.rows) == 1
        two.ack()
        two.unbind()
        await it.settle()
        assert it.store.coming == 0


async def test_what_must_not_be_archived_has_a_row_until_it_is_acknowledged() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        origin = alice.route(hinted(BOB, "no-permanent-store"))
        await it.settle()
        (got,) = bob.news()
        assert not got.has("urn:xmpp:sid:0")
        assert not it.accepted(origin)
        it.store.commit()
        await it.settle()
        assert it.accepted(origin)
        assert bob.news() == []
        assert [(row.owed, row.archived) for row in it.store.rows] == [(True, False)]
        bob.ack()
        await it.settle()
        assert it.store.rows == []


async def test_what_must_not_be_stored_is_accepted_at_once() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        it.store.hold = True
        origin = alice.route(hinted(BOB, "no-store"))
        alice.copy(origin, hinted(BOB, "no-store"))
        await it.settle()
        assert bodies(bob.news()) == ["hi"]
        assert it.accepted(origin)
        assert it.copied(origin)
        assert it.store.live == []


async def test_preferences_decide_for_each_side() -> None:
    async with rig() as it:
        it.db.archiving[BOB] = ("roster", [], [], [ALICE])
        it.db.archiving[ALICE] = ("never", [], [], [])
        alice, bob = await pair(it)
        carol = await it.online("carol")
        assert not alice.copies
        assert bob.copies
        for one in (alice, carol):
            one.copy(one.route(chat(BOB, one.full)), chat(BOB))
        await it.settle()
        assert [row.peer for row in it.store.archive(it.db.ids[BOB])] == [ALICE]
        assert it.store.archive(it.db.ids[ALICE]) == []
        it.db.archiving[BOB] = ("roster", [], [], [])
        await it.change("bob", "roster")
        it.db.archiving[ALICE] = ("always", [], [], [])
        await it.change("alice", "roster")
        assert not alice.copies, "only who archives by the roster is read again"
        await it.change("alice", "archive")
        assert alice.copies
        alice.route(chat(BOB))
        await it.settle()
        assert len(it.store.archive(it.db.ids[BOB])) == 1


async def test_a_relaxed_domain_accepts_on_receipt_and_archives_nothing_unasked() -> None:
    async with rig() as it:
        it.db.policy = '{"durability": "relaxed"}'
        await it.start_router("router2")
        it.db.archiving[BOB] = ("always", [], [], [])
        it.account("dora")
        alice, bob = await pair(it)
        it.store.hold = True
        assert not alice.copies
        live, waiting = alice.route(chat(BOB)), alice.route(chat(f"dora@{DOMAIN}"))
        await it.settle()
        assert bodies(bob.news()) == ["hi"]
        assert it.accepted(live)
        assert it.accepted(waiting)
        it.store.commit()
        await it.settle()
        bob_id, dora_id = it.db.ids[BOB], it.db.ids[f"dora@{DOMAIN}"]
        rows = {row.account_id: (row.archived, row.owed) for row in it.store.rows}
        assert rows == {bob_id: (True, False), dora_id: (False, True)}


async def test_while_nothing_can_be_stored_messages_go_back_undelivered() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        it.store.full = True
        origin = alice.route(chat(BOB))
        await it.settle()
        assert bob.news() == []
        assert [condition(one) for one in alice.news()] == ["resource-constraint"]
        assert it.accepted(origin)


async def test_an_answer_of_many_stanzas_comes_in_order_and_to_nobody_else() -> None:
    async with rig() as it:
        bob, two = await it.online("bob"), await it.online("bob", "two")
        bob.news()
        answer = Stanza.build("iq", type="result", id="q", to=bob.full)
        results = [
            Stanza("message", "", bob.full, BOB, str(n), "", (), (("urn:xmpp:mam:2", "result"),), b"<x/>")
            for n in range(3)
        ]
        for grant in (0, bob.grant, bob.grant - 1):
            bob.edge.post(BOB, ToSession(bob.full, grant, (*results, answer)))
        await it.settle()
        assert [one.id for one in bob.news()] == ["0", "1", "2", "q"] * 2
        bob.unbind()
        await it.settle()
        assert [one for one in two.news() if one.kind == "message"] == []
        assert it.store.coming == 0


async def test_a_new_holder_stores_what_the_former_delivered_and_did_not_commit() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        it.store.hold = True
        origin = alice.route(chat(BOB, "1"))
        other = alice.route(hinted(BOB, "no-permanent-store"))
        await it.settle()
        got = bob.news()[0].find("urn:xmpp:sid:0", "stanza-id")
        assert got is not None
        it.store.live.clear(), it.store.waiting.clear()  # the router is killed before its commit
        it.store.hold = False
        await it.start_router("router2")
        (archived,) = it.store.archive(it.db.ids[BOB])
        assert Seal(b"secret").open(archived.account_id, got.get("id") or "") == archived.id
        assert not unpack_stanza(archived.stanza).has("urn:xmpp:sid:0")
        assert [row.archived for row in it.store.debts()] == [False]
        alice.route(chat(BOB, "1"), origin.n), alice.route(hinted(BOB, "no-permanent-store"), other.n)
        await it.settle()
        assert it.accepted(origin)
        assert it.accepted(other)
        assert bob.news() == []
        alice.route(chat(BOB, "2"))
        await it.settle()
        assert min(row.id for row in it.store.archive(it.db.ids[BOB])) == archived.id
        bob.ack()
        await it.settle()
        assert it.store.debts() == []


async def test_after_a_takeover_what_nobody_acknowledged_is_owed_once() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        one, two = await it.online("bob", "1"), await it.online("bob", "2")
        alice.route(chat(BOB))
        await it.settle()
        await it.start_router("router2")
        one.unbind()
        await it.settle()
        assert it.store.coming == 0, "the other may still get it"
        two.unbind()
        await it.settle()
        it.store.commit()
        assert len(it.store.debts()) == len(it.store.rows) == 1


async def test_a_domain_that_becomes_relaxed_is_so_at_once() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        assert alice.copies
        it.db.policy = '{"durability": "relaxed"}'
        it.router.domains.changed()
        await it.settle()
        assert not alice.copies
        alice.route(chat(BOB))
        await it.settle()
        assert bodies(bob.news()) == ["hi"]
        assert it.store.rows == []


async def test_what_a_client_acknowledged_before_the_commit_is_stored_and_not_given_again() -> None:
    async with rig() as it:
        alice, bob = await pair(it)
        it.store.hold = True
        origin = alice.route(chat(BOB))
        await it.settle()
        (got,) = bob.news()
        bob.ack()
        await it.settle()
        it.edge().late.append((origin.stream, origin.n, got))
        it.store.live.clear()  # the router is killed before its commit
        it.store.hold = False
        await it.start_router("router2")
        alice.route(chat(BOB), origin.n)
        await it.settle()
        assert it.accepted(origin)
        assert bob.news() == []
        (row,) = it.store.archive(it.db.ids[BOB])
        assert (row.stream, row.n, row.owed) == (origin.stream, origin.n, False)
        bob.unbind()
        await it.settle()
        assert it.store.coming == 0


@pytest.mark.parametrize(
    ("default", "archived"), [("never", []), ("always", [ALICE, CAROL]), ("roster", [ALICE])]
)
async def test_the_operator_says_what_is_archived_of_accounts_that_chose_nothing(
    default: Default, archived: list[str]
) -> None:
    async with rig(Config(archive_preferences=Options(default=default))) as it:
        it.db.archiving[BOB] = (None, None, None, [ALICE] if default == "roster" else None)
        alice, bob = await pair(it)
        carol = await it.online("carol")
        assert bob.copies == (default != "never")
        for one in (alice, carol):
            one.route(chat(BOB, one.full))
        await it.settle()
        assert [row.peer for row in it.store.archive(it.db.ids[BOB])] == archived
        it.db.archiving[BOB] = ("always", [], [], None)
        await it.change("bob", "archive")
        alice.route(chat(BOB, "chosen"))
        await it.settle()
        assert len(it.store.archive(it.db.ids[BOB])) == len(archived) + 1
