"""Nodes of accounts between a whole cluster and a real Prosody: contacts are told by their capabilities, both ways (XEP-0163 section 4.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from xml.etree.ElementTree import Element

import pytest
import trio
from tests.cluster.federated import CLIENT
from tests.cluster.test_federation_prosody import (  # noqa: F401  with the same servers beside each other
    World,
    _name,
    bare,
    heard,
    presence,
    running,
    world,
)
from tests.stories.client import Client
from tests.unit.router.delivery.test_interests import caps, query

from rookery.shared.xeps.entity_caps import verification_string

MOOD = "http://jabber.org/protocol/mood"
EVENT = "{http://jabber.org/protocol/pubsub#event}"
INFO = "{http://jabber.org/protocol/disco#info}query"
VER = verification_string(query(MOOD))
AVAILABLE = f"<presence>{caps(VER).xml('jabber:client')}</presence>"


async def told(client: Client, seconds: float = 20.0) -> list[tuple[str, str]]:
    """(sender, id of the item) of the next notification but of its own nodes; on the way the client says what it can do."""
    with trio.fail_after(seconds):
        while True:
            stanza = await client.receive(seconds)
            if stanza.tag == f"{CLIENT}iq" and stanza.get("type") == "get" and stanza.find(INFO) is not None:
                await _answer(client, stanza)
            elif stanza.tag == f"{CLIENT}message" and stanza.find(f"{EVENT}event") is not None:
                sender = (stanza.get("from") or "").partition("/")[0]
                if sender not in ("", bare(client)):
                    return [(sender, item.get("id") or "") for item in stanza.iter(f"{EVENT}item")]


async def quiet(client: Client, seconds: float = 2.0) -> None:
    """Nothing more is told."""
    with trio.move_on_after(seconds):
        raise AssertionError(await told(client, 60))


async def _answer(client: Client, asked: Element) -> None:
    found = query(MOOD).xml("jabber:client")
    to = f" to='{asked.get('from')}'" if asked.get("from") else ""
    await client.send(f"<iq type='result' id='{asked.get('id')}'{to}>{found}</iq>")


async def publish(client: Client, id: str, node: str = MOOD) -> None:
    answer = await client.request(
        "<iq type='set' id='put'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
        f"<publish node='{node}'><item id='{id}'><mood xmlns='{MOOD}'><happy/></mood></item></publish></pubsub></iq>"
    )
    assert answer.get("type") == "result"


@asynccontextmanager
async def befriended(both: World, name: str) -> AsyncIterator[tuple[Client, Client]]:
    """A user of each, who see one another; neither says what its client can do."""
    alice, bob = await both.ours(name), await both.other(name)
    for client in (alice, bob):
        await client.request("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        await client.send("<presence/>")
        await heard(client, 1, "presence")
    for asks, says in ((alice, bob), (bob, alice)):
        await asks.send(f"<presence to='{bare(says)}' type='subscribe'/>")
        await presence(says, ("subscribe", bare(asks)))
        await says.send(f"<presence to='{bare(asks)}' type='subscribed'/>")
        await presence(asks, ("subscribed", bare(says)), (None, says.jid))
    try:
        yield alice, bob
    finally:
        for client in (alice, bob):
            await client.drop()


async def test_contacts_of_both_servers_are_told_by_their_capabilities(
    world: World,  # noqa: F811
    request: pytest.FixtureRequest,
) -> None:
    name = _name(request.node.name)
    async with befriended(world, name) as (alice, bob):
        for publisher, contact in ((alice, bob), (bob, alice)):
            # Nothing to a client that wants nothing; the last item as soon as it does, then each publication once.
            await publish(publisher, "one")
            await quiet(contact)
            await contact.send(AVAILABLE)
            assert await told(contact) == [(bare(publisher), "one")]
            await publish(publisher, "two")
            assert await told(contact) == [(bare(publisher), "two")]
            await publish(publisher, "other", "urn:x:other")
            await quiet(contact)
            await contact.send("<presence type='unavailable'/>")
            await presence(publisher, ("unavailable", contact.jid))
            await publish(publisher, "three")
            await quiet(contact)
            await contact.send("<presence/>")


async def test_a_contact_who_is_away_gets_the_last_item_when_it_comes(
    world: World,  # noqa: F811
    request: pytest.FixtureRequest,
) -> None:
    """The publisher may be away then (section 4.3.2)."""
    name = _name(request.node.name)
    async with befriended(world, name) as (alice, bob):
        await bob.send("<presence type='unavailable'/>")
        await presence(alice, ("unavailable", bob.jid))
        await publish(alice, "one")
        await publish(alice, "two")
        await alice.send("<presence type='unavailable'/>")
        await bob.send(AVAILABLE)
        assert await told(bob) == [(bare(alice), "two")]
        await quiet(bob)
