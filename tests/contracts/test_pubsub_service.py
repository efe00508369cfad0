"""Nodes end to end on Postgres: published, told, fetched, and the same when a request is repeated (XEP-0060, XEP-0163)."""

from __future__ import annotations

from typing import Any

from tests.contracts.nodes import ALICE, BOB, DESK, EVE, NS, PHONE, SERVICE, form, nodes, options

from rookery.shared.bus.messages import Interest, RosterChanged
from rookery.shared.config import Config as Settings
from rookery.shared.db.api import Connection, Database
from rookery.shared.xeps.pubsub import Options
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.pubsub.config import Config

LIST = "<item id='current'><list xmlns='urn:x'><device id='1'/></list></item>"
OWNER = NS + "#owner"


def errors(answer: Stanza) -> str:
    """The condition and the application's condition of an error."""
    assert answer.type == "error", answer
    (error,) = answer.elements()
    return " ".join(child.name for child in error.elements() if child.name != "text")


def item_ids(answer: Stanza) -> list[str]:
    assert answer.type == "result", answer
    pubsub = answer.find(NS, "pubsub")
    assert pubsub is not None
    items = pubsub.find(NS, "items")
    assert items is not None
    return [item.get("id") or "" for item in items.elements(NS, "item")]


async def test_a_device_list_is_published_told_and_fetched(database: Database) -> None:
    async with nodes(database) as world:
        answer = await world.publish("urn:d", LIST, more=options(access_model="open"))
        assert (
            answer.inner
            == f"<pubsub xmlns='{NS}'><publish node='urn:d'><item id='current'/></publish></pubsub>".encode()
        )
        told = world.told()
        assert {(one.notify, jid) for one in told for jid in one.recipients} == {
            ("urn:d", ALICE),
            ("urn:d", BOB),
        }
        assert told[0].origin.n == 1
        for who in (PHONE, DESK, f"{EVE}/x"):
            got = await world.ask("<items node='urn:d'/>", full=who, type="get")
            assert item_ids(got) == ["current"]
        await world.publish("urn:d", LIST)
        assert {one.origin.n for one in world.told()} == {2}


async def test_a_session_gets_the_last_items_of_whom_it_sees_and_its_own(database: Database) -> None:
    async with nodes(database) as world:
        await world.publish("urn:d", LIST)
        await world.publish("urn:m", LIST, to=BOB, full=DESK)
        await world.publish("urn:secret", LIST, more=options(access_model="whitelist"))
        await world.publish("urn:friends", LIST, more=options(access_model="roster"))
        names = ("urn:d", "urn:friends", "urn:m", "urn:secret")
        for full, expected in ((DESK, [(ALICE, 1), (BOB, 1)]), (PHONE, [(ALICE, 1)] * 3), (f"{EVE}/x", [])):
            bare = full.partition("/")[0]
            world.post(bare, Interest(bare, full, b"stream", names))
            await world.rest()
            found = [(stanza.from_, n) for one in world.last() for _, n, stanza in one.items]
            assert found == expected, full


async def test_a_contact_that_is_cancelled_and_approved_again_is_told_again(database: Database) -> None:
    """XEP-0163 section 4.3.2. Routers give a session each number of a node once: what is told once more has a new one, committed."""
    async with nodes(database) as world:
        await world.publish("urn:d", LIST)
        world.told()

        async def change(subscription: str) -> list[tuple[tuple[str, ...], int]]:
            world.post(ALICE, RosterChanged(ALICE, BOB, subscription))
            await world.rest()
            return [(tuple(one.recipients), one.origin.n) for one in world.told()]

        assert await change("from") == [((BOB,), 1)]
        assert await change("none") == []
        assert await change("both") == [((BOB,), 2)]
        # The next publication comes behind it, also for the next holder of the partition.
        world.service.keeping.forget_owner(ALICE)
        await world.publish("urn:d", LIST)
        assert {one.origin.n for one in world.told()} == {3}
        # Nothing new for one that was there all the time.
        assert await change("from") == [((BOB,), 3)]


async def test_errors_by_name(database: Database) -> None:
    """XEP-0060, the error cases of sections 5 to 8."""
    async with nodes(database) as world:
        await world.publish("urn:d", LIST)
        await world.publish("urn:white", LIST, more=options(access_model="whitelist"))
        await world.publish("urn:group", LIST, more=options(access_model="roster"))
        eve = f"{EVE}/x"
        big = f"<item><x xmlns='urn:x'>{'a' * 300_000}</x></item>"
        cases = [
            ("get", "<items node='urn:none'/>", PHONE, "item-not-found"),
            ("get", "<items/>", PHONE, "bad-request nodeid-required"),
            ("get", "<items node='urn:d'/>", eve, "not-authorized presence-subscription-required"),
            ("get", "<items node='urn:white'/>", DESK, "not-allowed closed-node"),
            ("get", "<items node='urn:group'/>", DESK, "not-authorized not-in-roster-group"),
            ("set", "<publish><item/></publish>", PHONE, "bad-request nodeid-required"),
            ("set", f"<publish node='urn:d'>{LIST}</publish>", DESK, "forbidden"),
            ("set", f"<publish node='urn:new'>{LIST}</publish>", DESK, "item-not-found"),
            ("set", "<publish node='urn:d'><item id='1'/></publish>", PHONE, "bad-request payload-required"),
            (
                "set",
                "<publish node='urn:d'><item><a xmlns='u'/><b xmlns='u'/></item></publish>",
                PHONE,
                "bad-request invalid-payload",
            ),
            ("set", f"<publish node='urn:d'>{big}</publish>", PHONE, "not-acceptable payload-too-big"),
            ("set", f"<publish node='{'n' * 4096}'>{LIST}</publish>", PHONE, "not-acceptable"),
            ("set", "<retract node='urn:d'><item id='none'/></retract>", PHONE, "item-not-found"),
            ("set", "<retract node='urn:d'/>", PHONE, "bad-request item-required"),
            ("set", "<retract node='urn:d'><item id='current'/></retract>", DESK, "forbidden"),
            ("set", "<create node='urn:d'/>", PHONE, "conflict"),
            ("set", "<create node='urn:e'/>", DESK, "forbidden"),
            ("set", f"<subscribe node='urn:d' jid='{EVE}'/>", DESK, "bad-request invalid-jid"),
            ("set", f"<unsubscribe node='urn:d' jid='{BOB}'/>", DESK, "unexpected-request not-subscribed"),
            ("set", f"<unsubscribe node='urn:d' jid='{BOB}'/>", PHONE, "forbidden"),
            ("set", f"<subscribe node='urn:white' jid='{BOB}'/>", DESK, "not-allowed closed-node"),
        ]
        for type, inner, full, expected in cases:
            assert errors(await world.ask(inner, full=full, type=type)) == expected, inner[:80]
        world.told()
        owners = [
            ("<configure node='urn:d'/>", DESK, "get", "forbidden"),
            ("<configure/>", PHONE, "get", "bad-request nodeid-required"),
            ("<delete node='urn:d'/>", DESK, "set", "forbidden"),
            ("<purge node='urn:none'/>", PHONE, "set", "item-not-found"),
            (
                f"<affiliations node='urn:d'><affiliation jid='{ALICE}' affiliation='none'/></affiliations>",
                PHONE,
                "set",
                "not-acceptable",
            ),
        ]
        for inner, full, type, expected in owners:
            assert errors(await world.ask(inner, full=full, type=type, ns=OWNER)) == expected, inner
        assert world.told() == []


async def test_publish_options_are_preconditions(database: Database) -> None:
    """Section 7.1.5."""
    async with nodes(database) as world:
        good = options(access_model="whitelist", max_items="max", persist_items="true")
        assert (await world.publish("urn:xmpp:bookmarks:1", LIST, more=good)).type == "result"
        assert (await world.publish("urn:xmpp:bookmarks:1", LIST, more=good)).type == "result"
        for wanted in ({"access_model": "open"}, {"max_items": "1"}, {"unknown": "1"}):
            answer = await world.publish("urn:xmpp:bookmarks:1", LIST, more=options(**wanted))
            assert errors(answer) == "conflict precondition-not-met"


async def test_only_so_many_items_stay_and_pages_are_newest_first(database: Database) -> None:
    """Sections 6.5 and 7.1.2."""
    async with nodes(database) as world:
        for n in range(6):
            more = options(max_items="4") if n == 0 else ""
            await world.publish("urn:n", f"<item id='i{n}'><x xmlns='u'/></item>", more=more)
        await world.publish("urn:n", "<item id='i3'><y xmlns='u'/></item>")

        async def some(attrs: str = "", rsm: str = "") -> list[str]:
            set_ = f"<set xmlns='http://jabber.org/protocol/rsm'>{rsm}</set>" if rsm else ""
            return item_ids(await world.ask(f"<items node='urn:n' {attrs}/>{set_}", type="get"))

        assert await some() == ["i3", "i5", "i4", "i2"]
        assert await some("max_items='1'") == ["i3"]
        assert await some(rsm="<max>2</max>") == ["i3", "i5"]
        assert await some(rsm="<max>2</max><after>i5</after>") == ["i4", "i2"]
        assert await some(rsm="<max>1</max><before/>") == ["i2"]
        assert await some(rsm="<max>2</max><before>i4</before>") == ["i3", "i5"]
        await world.ask("<retract node='urn:n'><item id='i3'/></retract>")
        assert await some("max_items='1'") == ["i5"]
        await world.ask("<purge node='urn:n'/>", ns=OWNER)
        assert await some() == []
        assert [one.stanza.inner.count(b"<purge") for one in world.told()][-1:] == [1]


async def test_a_request_that_comes_again_to_the_next_holder_is_done_once(database: Database) -> None:
    async with nodes(database) as world:
        origin = world.origin()
        inner = f"<pubsub xmlns='{NS}'><publish node='urn:d'><item><x xmlns='u'/></item></publish></pubsub>"
        first = await world.iq("set", inner, origin=origin)
        told = [(one.origin.n, one.stanza.inner) for one in world.told()]
        service = world.service
        partition = world.worker.partition(ALICE)
        service.once = type(service.once)()
        service.forget(partition)
        await service.acquire(partition, 2)
        await world.rest()
        assert [(one.origin.n, one.stanza.inner) for one in world.told()] == told
        again = await world.iq("set", inner, origin=origin)
        assert again.inner == first.inner
        assert world.told() == []


async def test_a_subscription_waits_for_approval(database: Database) -> None:
    """Sections 6.1.4 and 8.6, at a service."""
    async with nodes(database) as world:
        config = f"<configure>{form('node_config', access_model='authorize')}</configure>"
        await world.ask(f"<create node='n'/>{config}", SERVICE)
        answer = await world.ask(f"<subscribe node='n' jid='{BOB}'/>", SERVICE, DESK)
        assert b"subscription='pending'" in answer.inner
        (asked,) = world.told()
        assert (list(asked.recipients), asked.stanza.type) == ([ALICE], "")
        refused = await world.ask("<items node='n'/>", SERVICE, DESK, type="get")
        assert errors(refused) == "not-authorized not-subscribed"
        await world.publish("n", LIST, SERVICE)
        assert world.told() == []
        state = f"<subscription jid='{BOB}' subscription='subscribed'/>"
        await world.ask(f"<subscriptions node='n'>{state}</subscriptions>", SERVICE, ns=OWNER)
        assert [list(one.recipients) for one in world.told()] == [[BOB]]
        await world.publish("n", LIST, SERVICE)
        assert [list(one.recipients) for one in world.told()] == [[BOB]]
        assert item_ids(await world.ask("<items node='n'/>", SERVICE, DESK, type="get")) == ["current"]


async def test_an_account_that_is_removed_leaves_no_nodes(database: Database) -> None:
    async with nodes(database) as world:
        await world.publish("urn:d", LIST)
        await database.run(0, lambda conn: conn.execute("DELETE FROM account WHERE localpart = 'alice'"))
        left = await database.run(0, lambda conn: conn.fetchval("SELECT count(*) FROM pubsub_item"))
        assert left == 0
        assert errors(await world.publish("urn:d", LIST)) == "item-not-found"


async def test_a_login_costs_one_statement_whatever_the_contacts(database: Database) -> None:
    """100 contacts with 5 nodes each."""
    names = [f"urn:n{k}" for k in range(5)]
    async with nodes(database) as world:

        async def fill(conn: Connection) -> None:
            await conn.execute(
                "INSERT INTO account (localpart, domain) SELECT 'c' || i, 'one.org' FROM generate_series(1, 100) i"
            )
            await conn.execute(
                "INSERT INTO roster_item (account_id, contact, sub_from) SELECT id, $1, true FROM account "
                "WHERE localpart LIKE 'c%'",
                ALICE,
            )
            await conn.execute(
                "INSERT INTO pubsub_node (owner, name, account_id, creator, config) "
                "SELECT localpart || '@one.org', n, id, '', $2 FROM account, unnest($1::text[]) n WHERE localpart LIKE 'c%'",
                names,
                Config(True).pack(),
            )
            await conn.execute(
                "INSERT INTO pubsub_item (node_id, id, n, publisher, payload) "
                "SELECT id, 'i', 1, owner, '<x xmlns=''u''/>'::bytea FROM pubsub_node"
            )

        await database.run(0, fill)
        work = world.service.database
        runs = []

        async def counted(partition: int, unit: Any, deadline: int = 0) -> Any:
            runs.append(unit)
            return await work(partition, unit, deadline)

        world.service.database = counted  # type: ignore[method-assign]
        world.post(ALICE, Interest(ALICE, PHONE, b"stream", names))
        await world.rest()
        assert sum(len(one.items) for one in world.last()) == 500
        assert len(runs) == 1
        # Accounts that nobody asks for keep nothing in memory, whatever they have: rows are read for a login, and forgotten.
        keeping = world.service.keeping
        assert (len(keeping.nodes), len(keeping.audiences._known), len(keeping.notices.recent)) == (0, 0, 0)
        assert not world.service.lanes.any()


async def test_what_accounts_that_publish_keep_in_memory_is_bounded_by_the_cache(database: Database) -> None:
    """Whatever the number of accounts: nodes give way by what they weigh, told notices go once they have arrived."""
    config = Settings(pubsub=Options(cache_bytes=20_000))
    async with nodes(database, config) as world:
        sizes = []
        for name in range(40):
            assert (await world.publish(f"urn:n{name}", LIST)).type == "result"
            sizes.append(world.service.keeping.nodes.weight)
        assert max(sizes) <= 20_000 < 40 * min(sizes)
