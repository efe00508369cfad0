"""Stanzas to several addresses (XEP-0033) through a whole router: each gets it once, acceptance waits for all, nobody when one may not."""

from __future__ import annotations

from tests.unit.router.rig import DOMAIN, Client, bodies, chat, condition, rig

from rookery.shared.bus.messages import Origin, Route
from rookery.shared.xeps.multicast import NS
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


def to_many(*to: str, body: str = "hi") -> Stanza:
    addresses = [Element(NS, "address", {"type": "to", "jid": jid}) for jid in to]
    return chat(DOMAIN, body, id="m1").with_child(Element(NS, "addresses", None, *addresses))


def errors(client: Client) -> list[str]:
    return [condition(one) for one in client.news() if one.type == "error"]


async def test_everybody_gets_it_and_then_it_is_accepted() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        it.account("carol")
        origin = alice.submit(to_many(bob.full, f"carol@{DOMAIN}"))
        await it.settle()
        assert bodies(bob.news()) == ["hi"]
        assert not it.accepted(origin), "Carol's copy is not committed"
        it.store.commit()
        await it.settle()
        assert it.accepted(origin)
        assert [row.owner_id for row in it.store.owed(it.db.ids[f"carol@{DOMAIN}"])]


async def test_what_is_sent_again_counts_once() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        it.account("carol")
        stanza = to_many(bob.full, f"carol@{DOMAIN}")
        origin = alice.submit(stanza)
        await it.settle()
        alice.submit(stanza, origin.n)
        await it.settle()
        # A router that takes over is sent it by the edge.
        await it.start_router("router2")
        alice.submit(stanza, origin.n)
        await it.settle()
        it.store.commit()
        await it.settle()
        assert bodies(bob.news()) == ["hi"]
        assert it.accepted(origin)
        assert len(it.store.owed(it.db.ids[f"carol@{DOMAIN}"])) == 1


async def test_nobody_gets_what_not_all_may_have() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        for other, expected in (
            ("x@elsewhere.example", "remote-server-not-found"),
            (DOMAIN, "forbidden"),
            ("@", "jid-malformed"),
        ):
            origin = alice.submit(to_many(bob.full, other))
            await it.settle()
            assert errors(alice) == [expected]
            assert it.accepted(origin)
        many = [f"u{n}@{DOMAIN}" for n in range(51)]
        alice.submit(to_many(*many))
        await it.settle()
        assert errors(alice) == ["not-acceptable"]
        assert bob.news() == []


async def test_other_servers_may_not_use_it() -> None:
    """Section 3: it would make this server send what others write."""
    async with rig() as it:
        bob = await it.online("bob")
        stanza = to_many(bob.full).replace(from_=f"bob@{DOMAIN}/x")
        it.edge().post(DOMAIN, Route(Origin(b"s" * 16, 1, "edge1"), stanza))
        await it.settle()
        assert [condition(one) for one in bob.news() if one.type == "error"] in ([], ["forbidden"])
        assert bodies(bob.news()) == []


async def test_directed_presence_ends_for_all() -> None:
    """Section 6."""
    async with rig() as it:
        alice, bob, carol = await it.online("alice"), await it.online("bob"), await it.online("carol")
        addresses = [Element(NS, "address", {"type": "to", "jid": one.full}) for one in (bob, carol)]
        alice.submit(Stanza.build("presence", Element(NS, "addresses", None, *addresses), to=DOMAIN))
        await it.settle()
        assert [(one.news()[-1].from_, one.taken[-1].stanza.type) for one in (bob, carol)] == [
            (alice.full, "")
        ] * 2
        alice.presence(type="unavailable")
        await it.settle()
        assert [one.news()[-1].type for one in (bob, carol)] == ["unavailable"] * 2
