"""Inactive clients through a whole router (XEP-0352)."""

from __future__ import annotations

from tests.unit.router.rig import DOMAIN, Client, Rig, bodies, chat, rig

from rookery.shared.bus.messages import NOBODY, Broadcast, ClientState, Fanout, Kind, Route
from rookery.shared.config import Config
from rookery.shared.xeps.client_state import Options
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = f"bob@{DOMAIN}"
CARBONS = "urn:xmpp:carbons:2"
COMPOSING = Element("http://jabber.org/protocol/chatstates", "composing")


async def say(it: Rig, client: Client, active: bool) -> None:
    client.edge.post(client.full, ClientState(client.full, client.grant, active))
    await it.settle()


async def presence(it: Rig, sender: str, type: str = "") -> None:
    """What a contact's presence worker sends."""
    node = it.workers[Kind.PRESENCE]
    stanza = Stanza.build("presence", type=type, from_=f"{sender}@{DOMAIN}/r")
    node.bus.post(Kind.ROUTER, node.partition(BOB), Fanout(stanza, (BOB,)))
    await it.settle()


def senders(client: Client) -> list[tuple[str, str]]:
    return [(one.from_.partition("@")[0], one.type) for one in client.news() if one.kind == "presence"]


async def test_presence_waits_by_sender_until_the_client_is_active() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        await say(it, bob, False)
        for sender, type in (("a", ""), ("b", ""), ("a", "unavailable")):
            await presence(it, sender, type)
        assert bob.news() == []
        await say(it, bob, True)
        assert senders(bob) == [("b", ""), ("a", "unavailable")]
        await presence(it, "c")
        assert senders(bob) == [("c", "")]


async def test_what_matters_brings_along_what_waits_and_comes_last() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        await say(it, bob, False)
        await presence(it, "a")
        alice.route(Stanza.build("message", COMPOSING, type="chat", to=BOB))
        await it.settle()
        assert bob.news() == []
        origin = alice.route(chat(BOB))
        await it.settle()
        news = bob.news()
        assert [one.kind for one in news] == ["presence", "message", "message"]
        assert bodies(news) == ["hi"]
        assert it.accepted(origin)
        await presence(it, "b")
        assert bob.news() == []  # still inactive


async def test_a_chat_state_is_accepted_though_it_waits() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        await say(it, bob, False)
        origin = alice.route(Stanza.build("message", COMPOSING, type="chat", to=BOB))
        await it.settle()
        assert it.accepted(origin)


async def test_too_much_is_given_at_once() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        await say(it, bob, False)
        for number in range(Options().postponed_stanzas):
            await presence(it, f"u{number}")
        assert len(bob.news()) == Options().postponed_stanzas
        await presence(it, "one-more")
        assert bob.news() == []


async def test_a_copy_of_a_chat_state_waits() -> None:
    async with rig() as it:
        alice, one, two = (
            await it.online("alice"),
            await it.online("bob", "1", 1),
            await it.online("bob", "2"),
        )
        two.submit(Stanza.build("iq", Element(CARBONS, "enable"), type="set", id="c"))
        await it.settle()
        two.news()
        await say(it, two, False)
        alice.route(Stanza.build("message", COMPOSING, type="chat", to=one.full))
        await it.settle()
        assert two.news() == []
        alice.route(chat(one.full))
        await it.settle()
        assert [copy.has(CARBONS, "received") for copy in two.news()] == [True, True]


async def test_a_new_router_asks_how_the_contacts_are_and_who_had_gone_is_told() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        await say(it, bob, False)
        await presence(it, "a", "unavailable")
        await presence(it, "b")
        it.router.client_states.tick()
        await it.settle()
        it.seen(Kind.PRESENCE)
        await it.start_router("router2")
        (asked,) = it.seen(Kind.PRESENCE, Broadcast)
        assert (asked.account, asked.full, asked.initial, asked.quiet) == (BOB, bob.full, True, True)
        assert bob.news() == []
        # The answer of "a", who has come back, replaces what was known of it.
        back = Stanza.build("presence", from_=f"a@{DOMAIN}/r", to=bob.full)
        bob.edge.post(BOB, Route(NOBODY, back))
        await it.settle()
        await say(it, bob, True)
        assert senders(bob) == [("a", "")]


async def test_a_new_router_that_finds_nothing_held_back_asks_nobody() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        await say(it, bob, False)
        it.seen(Kind.PRESENCE)
        await it.start_router("router2")
        assert it.seen(Kind.PRESENCE, Broadcast) == []
        await presence(it, "a")
        assert bob.news() == []


async def test_an_old_binding_says_nothing() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        bob.edge.post(bob.full, ClientState(bob.full, bob.grant - 1, False))
        bob.edge.post(f"nobody@{DOMAIN}/r", ClientState(f"nobody@{DOMAIN}/r", 1, False))
        await presence(it, "a")
        assert senders(bob) == [("a", "")]


async def test_the_operator_says_how_much_may_wait() -> None:
    async with rig(Config(client_state=Options(postponed_stanzas=3))) as it:
        bob = await it.online("bob")
        await say(it, bob, False)
        await presence(it, "a")
        await presence(it, "b")
        assert bob.news() == []
        await presence(it, "c")
        assert senders(bob) == [("a", ""), ("b", ""), ("c", "")]
