"""Contacts at other servers are told by the capabilities in their presence (XEP-0163 section 4.3.2), and subscribers there each for themselves."""

from __future__ import annotations

from tests.contracts.nodes import ALICE, NS, SERVICE, Nodes, nodes, options
from tests.unit.router.delivery.test_interests import query

from rookery.shared.bus.messages import (
    Fanout,
    Kind,
    RosterChanged,
    Route,
    TheirAnswer,
    TheirPresence,
)
from rookery.shared.cluster.fake import FakeNode
from rookery.shared.db.api import Connection, Database
from rookery.shared.xeps.client_caps import THEIRS
from rookery.shared.xeps.entity_caps import verification_string
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.pubsub import elsewhere

ROMEO, JULIET = "romeo@other.net", "juliet@other.net"
ORCHARD, BALCONY = f"{ROMEO}/orchard", f"{JULIET}/balcony"
MOOD = "http://jabber.org/protocol/mood"
ITEM = "<item id='i'><mood xmlns='http://jabber.org/protocol/mood'><happy/></mood></item>"


def abroad(world: Nodes) -> FakeNode:
    """A process that takes what goes to other servers."""
    return world.cluster.node("s2s1", Kind.S2S)


async def befriend(database: Database, *contacts: str, sub_to: bool = True) -> None:
    async def work(conn: Connection) -> None:
        for contact in contacts:
            await conn.execute(
                "INSERT INTO roster_item (account_id, contact, sub_from, sub_to) "
                "SELECT id, $1, true, $2 FROM account WHERE localpart = 'alice'",
                contact,
                sub_to,
            )

    await database.run(0, work)


def went(node: FakeNode) -> list[tuple[str, Stanza]]:
    """What left: (address, stanza)."""
    found: list[tuple[str, Stanza]] = []
    for *_, item in node.received:
        if isinstance(item, Route):
            found.append((item.stanza.to, item.stanza))
        elif isinstance(item, Fanout):
            found.extend((to, item.stanza) for to in item.recipients)
    node.received.clear()
    return found


def told(node: FakeNode) -> list[tuple[str, str]]:
    return [(to, stanza.from_) for to, stanza in went(node) if stanza.kind == "message"]


async def appear(world: Nodes, full: str, *names: str, account: str = ALICE) -> None:
    ver = verification_string(query(*names))
    world.post(account, TheirPresence(account, full, "sha-1", ver, f"urn:client#{ver}"))
    await world.rest()


async def reply(world: Nodes, iq: Stanza, *names: str, wrong: bool = False) -> None:
    encoded = b"" if wrong else query(*names).encode()
    world.post(iq.from_, TheirAnswer(iq.from_, iq.to, iq.id, encoded))
    await world.rest()


async def test_a_contact_elsewhere_is_asked_once_for_its_hash_and_told(database: Database) -> None:
    async with nodes(database) as world:
        s2s = abroad(world)
        await befriend(database, ROMEO, JULIET)
        await world.publish(MOOD, ITEM)
        assert {(stanza.type, to) for to, stanza in went(s2s)} == {("probe", ROMEO), ("probe", JULIET)}
        # Who has the hash first is asked, as the account.
        await appear(world, ORCHARD, MOOD)
        await appear(world, BALCONY, MOOD)
        ((to, iq),) = went(s2s)
        assert (to, iq.from_, iq.type, iq.id.startswith(THEIRS)) == (ORCHARD, ALICE, "get", True)
        await reply(world, iq, MOOD)
        # The last item comes to both, as to anybody who becomes available.
        assert sorted(told(s2s)) == [(BALCONY, ALICE), (ORCHARD, ALICE)]
        await appear(world, ORCHARD, MOOD)
        assert told(s2s) == []
        await world.publish(MOOD, ITEM)
        assert sorted(told(s2s)) == [(BALCONY, ALICE), (ORCHARD, ALICE)]
        # Not what it does not want, nor who is gone, nor what is not for contacts.
        await world.publish("urn:other", ITEM)
        await world.publish(f"{MOOD}/private", ITEM, more=options(access_model="whitelist"))
        assert told(s2s) == []
        world.post(ALICE, TheirPresence(ALICE, BALCONY, "", "", ""))
        await world.publish(MOOD, ITEM)
        assert told(s2s) == [(ORCHARD, ALICE)]
        world.post(ALICE, RosterChanged(ALICE, ROMEO, "none"))
        await world.rest()
        await world.publish(MOOD, ITEM)
        assert told(s2s) == []
        assert world.service.elsewhere.count == 0


async def test_a_stranger_is_neither_asked_nor_told(database: Database) -> None:
    """A hash that is not that of the answer is believed of nobody; who is no contact costs nothing that stays."""
    async with nodes(database) as world:
        s2s = abroad(world)
        await world.publish(MOOD, ITEM)
        await appear(world, ORCHARD, MOOD)
        assert (went(s2s), world.service.elsewhere.count) == ([], 0)
        await befriend(database, JULIET)
        world.service.keeping.audiences.forget(ALICE)
        await appear(world, BALCONY, MOOD)
        ((_, iq),) = went(s2s)
        await reply(world, iq, "urn:lie")
        await appear(world, f"{JULIET}/tomb", MOOD)
        ((to, iq),) = went(s2s)
        assert to == f"{JULIET}/tomb"
        # Another address does not answer for it.
        world.post(ALICE, TheirAnswer(ALICE, ORCHARD, iq.id, query(MOOD).encode()))
        await reply(world, iq, wrong=True)
        assert (went(s2s), world.service.elsewhere.count) == ([], 0)


async def test_clients_elsewhere_have_bounds(database: Database) -> None:
    async with nodes(database) as world:
        s2s = abroad(world)
        await befriend(database, ROMEO)
        await appear(world, ORCHARD, MOOD)
        ((_, iq),) = went(s2s)
        await reply(world, iq, MOOD)
        for number in range(elsewhere.MAX_OF_ONE + 10):
            world.post(
                ALICE,
                TheirPresence(ALICE, f"{ROMEO}/{number}", "sha-1", verification_string(query(MOOD)), "n"),
            )
        await world.rest()
        assert world.service.elsewhere.count == elsewhere.MAX_OF_ONE
        world.service.elsewhere.forget(world.worker.partition(ALICE))
        assert world.service.elsewhere.count == 0


async def test_a_new_contact_elsewhere_is_asked_for_its_presence(database: Database) -> None:
    """What it said before it was let in was not looked at. Only where it lets itself be seen, and for an account that has nodes."""
    async with nodes(database) as world:
        s2s = abroad(world)
        for subscription, expected in (("both", []), ("from", []), ("both", [(ROMEO, "probe")])):
            if subscription == "from":
                await world.publish(MOOD, ITEM)
            world.post(ALICE, RosterChanged(ALICE, ROMEO, subscription))
            await world.rest()
            assert [(to, one.type) for to, one in went(s2s)] == expected


async def test_subscribers_of_one_server_are_each_told(database: Database) -> None:
    """A number counts once for whoever takes it, so what goes to other servers has one for each recipient."""
    async with nodes(database) as world:
        s2s = abroad(world)
        assert (await world.ask("<create node='n'/>", SERVICE)).type == "result"
        rows = "".join(f"<subscription jid='{jid}' subscription='subscribed'/>" for jid in (ROMEO, JULIET))
        lists = f"<subscriptions node='n'>{rows}</subscriptions>"
        assert (await world.ask(lists, SERVICE, ns=f"{NS}#owner")).type == "result"
        went(s2s)
        await world.publish("n", ITEM, SERVICE)
        fanouts = [item for *_, item in s2s.received if isinstance(item, Fanout)]
        assert [sorted(one.recipients) for one in fanouts] == [[JULIET, ROMEO]]
