"""What clients miss that are away (XEP-0357): which messages are worth it, and who is told."""

from __future__ import annotations

import pytest
from tests.unit.router.rig import DOMAIN, Client, Rig, chat, rig

from rookery.shared.bus.messages import Kind, Missed, NoLongerAway
from rookery.shared.config import Config
from rookery.shared.federation_settings import S2s
from rookery.shared.xeps import push
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = f"bob@{DOMAIN}"
OMEMO = Element("eu.siacs.conversations.axolotl", "encrypted")
STATE = Element("http://jabber.org/protocol/chatstates", "composing")


def plain(to: str = BOB, *children: Element, type: str = "chat") -> Stanza:
    return Stanza.build("message", *children, to=to, type=type, id="1")


async def missed(it: Rig, alice: Client, stanza: Stanza) -> list[Missed]:
    alice.route(stanza)
    await it.settle()
    return it.seen(Kind.PUBSUB, Missed)


def enabled(it: Rig, *resources: str) -> None:
    it.account("bob")
    it.db.pushes[BOB] = list(resources)


@pytest.mark.parametrize(
    ("stanza", "counts"),
    [
        (chat(BOB), True),
        (chat(BOB, type="normal"), True),
        (chat(f"{BOB}/gone"), True),
        (plain(BOB, OMEMO), True),
        (plain(BOB, Element("urn:xmpp:jingle-message:0", "propose", {"id": "c"})), True),
        (plain(BOB, STATE), False),
        (chat(BOB, type="headline"), False),
        (chat(BOB, type="groupchat"), False),
    ],
)
async def test_what_is_worth_a_notification(stanza: Stanza, counts: bool) -> None:
    async with rig() as it:
        enabled(it, "phone")
        alice = await it.online("alice")
        assert [one.resources for one in await missed(it, alice, stanza)] == [("phone",)] * counts


async def test_who_is_there_is_not_away() -> None:
    async with rig() as it:
        enabled(it, "phone", "tablet")
        alice = await it.online("alice")
        await it.online("bob", "phone")
        assert NoLongerAway(BOB, "phone") in it.seen(Kind.PUBSUB, NoLongerAway)
        (item,) = await missed(it, alice, chat(BOB))
        assert item.resources == ("tablet",)
        # Nothing of a desktop that never asked.
        await it.online("bob", "desk")
        assert it.seen(Kind.PUBSUB, NoLongerAway) == []


@pytest.mark.parametrize("told", [False, True])
async def test_what_an_app_server_is_told(told: bool) -> None:
    config = Config(push=push.Options(sender=told, body=told), s2s=S2s(enabled="off"))
    async with rig(config) as it:
        enabled(it, "phone")
        alice = await it.online("alice")
        (item,) = await missed(it, alice, chat(BOB, "secret"))
        assert (item.sender, item.body) == ((alice.full, "secret") if told else ("", "New message"))
        (item,) = await missed(it, alice, plain(BOB, OMEMO, Element("jabber:client", "body", None, "sorry")))
        assert item.body in ("New message", "sorry")
        (item,) = await missed(it, alice, plain(BOB, Element("urn:xmpp:jingle-message:0", "propose")))
        assert (item.urgent, item.body) == (True, "New message")


async def test_an_account_without_such_clients_tells_nothing() -> None:
    async with rig() as it:
        it.account("bob")
        alice = await it.online("alice")
        assert await missed(it, alice, chat(BOB)) == []


async def test_a_blocked_sender_wakes_nobody() -> None:
    async with rig() as it:
        enabled(it, "phone")
        it.db.blocked[BOB] = [f"alice@{DOMAIN}"]
        alice = await it.online("alice")
        assert await missed(it, alice, chat(BOB)) == []
