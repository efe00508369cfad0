"""Rules on messages (XEP-0079) through a whole router: told, dropped, expired in the store, and nothing for who has none."""

from __future__ import annotations

from typing import Literal

import pytest
from tests.unit.router.rig import DOMAIN, Client, Rig, bodies, chat, rig

from rookery.shared.config import Config
from rookery.shared.federation_settings import S2s
from rookery.shared.xeps.advanced_messages import NS, Options
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = f"bob@{DOMAIN}"


def config(tells: Literal["local"]) -> Config:
    return Config(advanced_messages=Options(tells_presence=tells), s2s=S2s(enabled="off"))


def ruled(to: str, condition: str, action: str, value: str) -> Stanza:
    rule = Element(NS, "rule", {"condition": condition, "action": action, "value": value})
    return chat(to, id="m1").with_child(Element(NS, "amp", None, rule))


def statuses(client: Client) -> list[str | None]:
    return [amp.get("status") for one in client.news() if (amp := one.find(NS, "amp")) is not None]


async def sent(it: Rig, alice: Client, stanza: Stanza) -> list[str | None]:
    origin = alice.route(stanza)
    await it.settle()
    it.store.commit()
    await it.settle()
    assert it.accepted(origin)
    return statuses(alice)


async def test_where_a_message_goes_is_told_where_the_setting_allows_it() -> None:
    async with rig(config("local")) as it:
        alice = await it.online("alice")
        it.account("bob")
        assert await sent(it, alice, ruled(BOB, "deliver", "notify", "stored")) == ["notify"]
        assert len(it.store.owed(it.db.ids[BOB])) == 1
        bob = await it.online("bob", "home")
        await it.settle()
        bob.news()
        assert await sent(it, alice, ruled(BOB, "deliver", "alert", "direct")) == ["alert"]
        assert bob.news() == []
        assert await sent(it, alice, ruled(f"{BOB}/home", "match-resource", "error", "other")) == []
        assert bodies(bob.news()) == ["hi"]
        assert await sent(it, alice, ruled(f"{BOB}/gone", "match-resource", "error", "other")) == ["error"]
        assert bob.news() == []


@pytest.mark.parametrize("online", [True, False])
async def test_by_default_nobody_learns_who_is_online(online: bool) -> None:
    async with rig() as it:
        alice = await it.online("alice")
        it.account("bob")
        bob = await it.online("bob") if online else None
        assert await sent(it, alice, ruled(BOB, "deliver", "notify", "direct")) == ["error"]
        assert bob is None or bob.news() == []
        assert it.store.rows == []
        # One's own resources are no secret.
        other = await it.online("alice", "other")
        assert await sent(it, alice, ruled(other.full, "deliver", "notify", "direct")) == ["notify"]


async def test_what_was_stored_too_long_is_dropped_and_settled() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        it.account("bob")
        assert await sent(it, alice, ruled(BOB, "expire-at", "error", "2027-01-15T08:01:00Z")) == []
        alice.route(chat(BOB, "after"))
        await it.settle()
        it.store.commit()
        await it.settle()
        it.now += 120
        bob = await it.bind("bob")
        bob.presence()
        await it.settle()
        assert bodies(bob.news()) == ["after"]
        assert statuses(alice) == ["error"]
        bob.ack()
        await it.settle()
        assert it.store.owed(it.db.ids[BOB]) == []
