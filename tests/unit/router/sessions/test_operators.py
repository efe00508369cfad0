"""What operators see of sessions, and ending them."""

from __future__ import annotations

from typing import Any

from tests.unit.router.rig import DOMAIN, Rig, rig

from rookery.shared.bus.messages import Broadcast, Ended, EndSessions, Item, Kind, ListSessions, SessionList
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = f"bob@{DOMAIN}"


async def asked(it: Rig, request: Item, account: str = BOB) -> Item:
    node = it.edge("edge9").node
    answers: list[Any] = []

    async def call() -> None:
        answers.append(await node.bus.call(Kind.ROUTER, node.partition(account), request))

    it.nursery.start_soon(call)
    await it.settle()
    answer: Item
    (answer,) = answers
    return answer


async def test_sessions_of_an_account_with_what_they_said() -> None:
    async with rig() as it:
        one = await it.online("bob", "1")
        await it.bind("bob", "2")
        said = (Element("jabber:client", "show", {}, "dnd"), Element("jabber:client", "priority", {}, "7"))
        one.submit(Stanza.build("presence", *said))
        await it.settle()
        found = await asked(it, ListSessions(BOB, "", "", 10))
        assert isinstance(found, SessionList)
        assert [(row[0], row[2], row[3]) for row in found.rows] == [
            (f"{BOB}/1", 7, "dnd"),
            (f"{BOB}/2", 0, "unavailable"),
        ]
        assert found.total == 2


async def test_pages_are_in_order_and_nothing_is_missed() -> None:
    async with rig() as it:
        for resource in ("c", "a", "d", "b"):
            await it.online("bob", resource)
        seen: list[str] = []
        while True:
            found = await asked(it, ListSessions("", DOMAIN, seen[-1] if seen else "", 2))
            assert isinstance(found, SessionList)
            if not found.rows:
                break
            seen += [row[0] for row in found.rows]
            assert found.total == 4
        assert seen == [f"{BOB}/{resource}" for resource in "abcd"]


async def test_another_domain_has_none_and_counting_lists_none() -> None:
    async with rig() as it:
        await it.online("bob", "a")
        other = await asked(it, ListSessions("", "other.example", "", 10))
        assert other == SessionList((), 0)
        counted = await asked(it, ListSessions("", "", "", 0))
        assert counted == SessionList((), 1)


async def test_a_kick_ends_the_session_and_those_who_saw_it_hear_so() -> None:
    async with rig() as it:
        one, two = await it.online("bob", "1"), await it.online("bob", "2")
        it.seen(Kind.PRESENCE)
        assert await asked(it, EndSessions(BOB, "1", "policy-violation", "go away")) == Ended(1)
        await it.settle()
        assert [(end.condition, end.text) for end in one.ends] == [("policy-violation", "go away")]
        assert two.ends == []
        (broadcast,) = it.seen(Kind.PRESENCE, Broadcast)
        assert broadcast.stanza.type == "unavailable"
        assert await asked(it, EndSessions(BOB, "", "policy-violation", "")) == Ended(1)
        assert await asked(it, EndSessions(BOB, "", "policy-violation", "")) == Ended(0)


async def test_an_account_that_does_not_exist_has_no_session() -> None:
    async with rig() as it:
        nobody = f"nobody@{DOMAIN}"
        assert await asked(it, ListSessions(nobody, "", "", 10), nobody) == SessionList((), 0)
        assert await asked(it, EndSessions(nobody, "", "policy-violation", ""), nobody) == Ended(0)
