"""How many items a node has, and which of them are too old (XEP-0060 sections 7.1.3.6 and 12.6)."""

from __future__ import annotations

from tests.contracts.nodes import DESK, KEYS, NS, PHONE, SERVICE, Nodes, form, nodes
from tests.contracts.test_pubsub_service import errors, item_ids

from rookery.shared.bus.messages import ContactRemoved
from rookery.shared.db.api import Connection, Database
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account import store


async def make(world: Nodes, **fields: str) -> None:
    configure = f"<create node='n'/><configure>{form('node_config', **fields)}</configure>"
    assert (await world.ask(configure, SERVICE)).type == "result"


async def put(world: Nodes, id: str) -> Stanza:
    return await world.publish("n", f"<item id='{id}'><x xmlns='u'/></item>", SERVICE)


async def test_a_node_is_full_when_as_many_different_items_are_there(database: Database) -> None:
    async with nodes(database) as world:
        await make(world, max_items="2", publish_node_full="reject")
        for id in ("one", "one", "one", "two", "two"):
            assert (await put(world, id)).type == "result"
        assert errors(await put(world, "three")) == "conflict node-full"
        await world.ask("<retract node='n'><item id='one'/></retract>", SERVICE)
        assert (await put(world, "three")).type == "result"
        assert errors(await put(world, "four")) == "conflict node-full"


async def test_an_item_that_is_too_old_is_nowhere(database: Database) -> None:
    async def age(conn: Connection) -> None:
        await conn.execute("UPDATE pubsub_item SET published = published - interval '2 hours'")

    async with nodes(database) as world:
        await make(world, max_items="1", publish_node_full="reject", item_expire="3600")
        await put(world, "one")
        await database.run(0, age)
        world.service.keeping.forget_owner(SERVICE)
        assert item_ids(await world.ask("<items node='n'/>", SERVICE, DESK, "get")) == []
        assert (
            item_ids(await world.ask("<items node='n'><item id='one'/></items>", SERVICE, DESK, "get")) == []
        )
        page = await world.ask(
            "<items node='n'/><set xmlns='http://jabber.org/protocol/rsm'><max>5</max></set>",
            SERVICE,
            DESK,
            "get",
        )
        assert b"<count>0</count>" in page.inner
        gone = await world.ask("<retract node='n'><item id='one'/></retract>", SERVICE, PHONE)
        assert errors(gone) == "item-not-found"
        world.told()
        bare = DESK.partition("/")[0]
        await world.ask(f"<subscribe node='n' jid='{bare}'/>", SERVICE, DESK)
        assert world.told() == []
        assert (await put(world, "two")).type == "result"
        assert item_ids(await world.ask("<items node='n'/>", SERVICE, DESK, "get")) == ["two"]


async def test_who_subscribes_once_more_gets_the_last_item_once_more(database: Database) -> None:
    """Section 6.1.7. Its number is a new one, and committed: routers give each number once to a recipient, and the next holder goes on behind it."""
    bare = DESK.partition("/")[0]
    async with nodes(database) as world:
        await make(world)
        await put(world, "one")
        seen = [one.origin.n for one in world.told()]
        for _ in range(2):
            await world.ask(f"<subscribe node='n' jid='{bare}'/>", SERVICE, DESK)
            (told,) = world.told()
            assert b"<item id='one'" in told.stanza.inner
            assert told.origin.n > max(seen, default=0)
            seen.append(told.origin.n)
            world.service.keeping.forget_owner(SERVICE)
        await put(world, "two")
        assert world.told()[0].origin.n > max(seen)


async def test_who_has_the_name_of_a_removed_account_next_inherits_nothing(database: Database) -> None:
    bare = DESK.partition("/")[0]

    async def removed(conn: Connection) -> None:
        await store.delete_account(conn, "bob", "one.org")
        await store.create_account(conn, "bob", "one.org", KEYS)

    async with nodes(database) as world:
        await make(world, access_model="whitelist")
        rows = f"<affiliations node='n'><affiliation jid='{bare}' affiliation='owner'/></affiliations>"
        await world.ask(rows, SERVICE, ns=f"{NS}#owner")
        await world.ask(f"<subscribe node='n' jid='{bare}'/>", SERVICE, DESK)
        await database.run(0, removed)
        world.post(SERVICE, ContactRemoved(SERVICE, bare))
        await world.rest()
        assert errors(await world.ask("<purge node='n'/>", SERVICE, DESK, ns=f"{NS}#owner")) == "forbidden"
        await put(world, "one")
        assert world.told() == []
