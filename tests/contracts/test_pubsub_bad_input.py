"""Nodes and requests that are made to hurt: large, deep, endless, or from services that answer one another."""

from __future__ import annotations

import pytest
from tests.contracts.nodes import ALICE, DESK, NS, PHONE, SERVICE, Nodes, form, nodes, options
from tests.contracts.test_pubsub_service import OWNER, errors, item_ids

from rookery.shared.bus.messages import Route
from rookery.shared.db.api import Connection, Database
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza

ITEM = "<item id='1'><x xmlns='urn:x'/></item>"
NAME = "n" * 4096


async def test_sizes_and_numbers(database: Database) -> None:
    async with nodes(database) as world:
        await world.publish("urn:d", ITEM)
        large = f"<item><x xmlns='urn:x'>{'a' * 900_000}</x></item>"
        cases = [
            ("set", f"<publish node='urn:d'>{large}</publish>", "not-acceptable payload-too-big"),
            ("set", f"<publish node='{NAME}'>{ITEM}</publish>", "not-acceptable"),
            ("set", f"<create node='{NAME}'/>", "not-acceptable"),
            ("get", f"<items node='{NAME}'/>", "item-not-found"),
            ("set", f"<subscribe node='{NAME}' jid='{ALICE}'/>", "item-not-found"),
            (
                "set",
                f"<publish node='urn:d'><item id='{NAME}'><x xmlns='u'/></item></publish>",
                "not-acceptable",
            ),
            ("get", "<items node='urn:d' max_items='-1'/>", "bad-request"),
            ("get", "<items node='urn:d' max_items='1e9'/>", "bad-request"),
            ("get", f"<items node='urn:d' max_items='{'9' * 400}'/>", "bad-request"),
            (
                "get",
                "<items node='urn:d'>" + "<item id='x'/>" * 2000 + "</items>",
                "policy-violation",
            ),
            ("set", "<retract node='urn:d'>" + "<item id='x'/>" * 2000 + "</retract>", None),
            ("set", f"<retract node='urn:d'><item id='{NAME}'/></retract>", "item-not-found"),
            ("set", f"<publish node='urn:d'>{'<item/>' * 2000}</publish>", "bad-request"),
            ("set", f"<subscribe node='urn:d' jid='{NAME}@one.org'/>", None),
            ("set", f"<unsubscribe node='urn:d' jid='{ALICE}' subid='{NAME}'/>", None),
            ("get", f"<options node='urn:d' jid='{ALICE}' subid='{NAME}'/>", None),
        ]
        for type, inner, expected in cases:
            answer = await world.ask(inner, type=type)
            assert answer.type == "error", inner[:60]
            assert expected is None or errors(answer) == expected, inner[:60]
        # 100 000 items asked for are as many as a page has.
        answer = await world.ask("<items node='urn:d' max_items='100000'/>", type="get")
        assert item_ids(answer) == ["1"]
        assert item_ids(await world.ask("<items node='urn:d'/>", type="get")) == ["1"]


FORMS = [
    (form("node_config", max_items="99999999999999999999"), "not-acceptable"),
    (form("node_config", max_items="-5"), "not-acceptable"),
    (form("node_config", access_model="everybody"), "not-acceptable"),
    (form("node_config", deliver_payloads="perhaps"), "not-acceptable"),
    (form("publish-options", access_model="open"), "bad-request"),
    ("<x xmlns='jabber:x:data' type='form'/>", "bad-request"),
    ("<x xmlns='jabber:x:data' type='submit'/>", None),
    ("<x xmlns='jabber:x:data'><field/></x>", "bad-request"),
    (form("node_config", title="t" * 100_000), "not-acceptable"),
    (form("node_config", roster_groups_allowed="g" * 100_000), "not-acceptable"),
    (form("node_config", contact="not a jid @ @"), "not-acceptable"),
    (
        form("node_config", title="a").replace(
            "</x>", "<field var='pubsub#title'><value>b</value><value>c</value></field></x>"
        ),
        None,
    ),
    ("<y xmlns='urn:y'/>", None),
]


@pytest.mark.parametrize("where", ["configure", "create"])
async def test_forms(database: Database, where: str) -> None:
    """A node keeps working whatever is sent in place of a form, and what is refused has changed nothing."""
    async with nodes(database) as world:
        await world.publish("urn:d", ITEM)
        for at, (x, expected) in enumerate(FORMS):
            if where == "configure":
                answer = await world.ask(f"<configure node='urn:d'>{x}</configure>", ns=OWNER)
            else:
                answer = await world.ask(f"<create node='urn:{at}'/><configure>{x}</configure>")
            if expected is not None:
                assert answer.type == "error", x[:80]
                assert errors(answer).split()[0] in (expected, "not-acceptable", "bad-request"), x[:80]
        if where == "configure":
            assert item_ids(await world.ask("<items node='urn:d'/>", type="get")) == ["1"]


LISTS = [
    (
        "affiliations",
        "".join(f"<affiliation jid='u{n}@one.org' affiliation='member'/>" for n in range(12_000)),
    ),
    ("affiliations", f"<affiliation jid='{NAME}@one.org' affiliation='member'/>"),
    ("affiliations", "<affiliation jid='@@' affiliation='member'/>"),
    ("affiliations", "<affiliation jid='bob@one.org' affiliation='emperor'/>"),
    ("affiliations", "<affiliation affiliation='member'/>"),
    ("subscriptions", "<subscription jid='@@' subscription='subscribed'/>"),
    ("subscriptions", "<subscription jid='bob@one.org' subscription='perhaps'/>"),
]


async def test_lists_of_an_owner(database: Database) -> None:
    """What is no list is refused as a whole, and nobody is in it then."""
    async with nodes(database) as world:
        await world.publish("urn:d", ITEM)
        for name, inner in LISTS:
            answer = await world.ask(f"<{name} node='urn:d'>{inner}</{name}>", ns=OWNER)
            assert answer.type == "error", inner[:80]
        for name in ("affiliations", "subscriptions"):
            answer = await world.ask(f"<{name} node='urn:d'/>", ns=OWNER, type="get")
            assert b"u1@one.org" not in answer.inner
            assert b"bob@" not in answer.inner


async def test_services_that_notify_one_another_do_not_answer(database: Database) -> None:
    """A notification, an error or an approval that a service did not ask for ends there."""
    async with nodes(database) as world:
        await world.publish("feed", ITEM, to=SERVICE, full=PHONE, more=options(access_model="open"))
        world.told()
        event = f"<event xmlns='{NS}#event'><items node='feed'>{ITEM}</items></event>"
        error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        for type, inner in (
            ("", event),
            ("headline", event),
            ("error", event + error),
            ("", "<body>hi</body>"),
        ):
            await message(world, "pubsub.two.org", type, inner)
            assert replies(world) == [], (type, inner)
            assert world.told() == []
        # A service does not subscribe by another's word.
        other = f"<subscribe node='feed' jid='{SERVICE}'/>"
        assert errors(await world.ask(other, to=SERVICE, full=DESK)) == "bad-request invalid-jid"
        # One that subscribes to itself is told of the last item and of the next one, and tells nobody.
        inner = f"<pubsub xmlns='{NS}'>{other}</pubsub>"
        asked = Stanza.build(
            "iq", parse_element(inner.encode()), type="set", to=SERVICE, from_=SERVICE, id="s"
        )
        world.post(SERVICE, Route(world.origin(), asked))
        await world.rest()
        await world.publish("feed", ITEM, to=SERVICE, full=PHONE)
        node = world.service.keeping.nodes.get(SERVICE, "feed")
        assert node is not None
        assert (len(node.of(SERVICE)), node.n) == (1, 3)


async def message(world: Nodes, from_: str, type: str, inner: str) -> None:
    children = list(parse_element(f"<m xmlns='jabber:client'>{inner}</m>".encode()).elements())
    stanza = Stanza.build("message", *children, type=type, from_=from_, to=SERVICE, id="m")
    world.post(SERVICE, Route(world.origin(), stanza))
    await world.rest()


def replies(world: Nodes) -> list[Stanza]:
    found = [one[4].stanza for one in world.router.received if isinstance(one[4], Route)]
    world.router.received = [one for one in world.router.received if not isinstance(one[4], Route)]
    return found


async def test_many_items_go_out_in_pages(database: Database) -> None:
    """A node with 100 000 items, more than a service keeps now, answers a page, not all; the next publication leaves as many as it keeps."""
    async with nodes(database) as world:
        await world.publish("urn:d", ITEM, more=options(max_items="max"))

        async def fill(conn: Connection) -> None:
            await conn.execute(
                "INSERT INTO pubsub_item (node_id, id, n, publisher, payload) "
                "SELECT id, 'i' || k, 10 + k, 'x', '<x xmlns=''urn:x''/>' FROM pubsub_node, generate_series(1, 100000) k WHERE name = 'urn:d'"
            )

        await database.run(0, fill)
        answer = await world.ask("<items node='urn:d' max_items='100000'/>", type="get", full=DESK)
        assert answer.type == "result"
        assert 0 < len(item_ids(answer)) <= 1000
        assert len(answer.inner) < 400_000
        world.service.keeping.forget_owner(ALICE)  # what was written behind its back
        assert (await world.publish("urn:d", ITEM)).type == "result"
        left = await database.run(0, lambda conn: conn.fetchval("SELECT count(*) FROM pubsub_item"))
        assert left == 10_000
