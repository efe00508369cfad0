"""Nodes that other specifications keep at accounts: read markers (XEP-0490), microblogs (XEP-0472), cards (XEP-0292). They are nodes with options."""

from __future__ import annotations

from tests.contracts.nodes import ALICE, BOB, DESK, PHONE, nodes, options
from tests.contracts.test_pubsub_service import errors, item_ids

from rookery.shared.db.api import Database

MARKERS = "urn:xmpp:mds:displayed:0"
BLOG = "urn:xmpp:microblog:0"
CARD = "urn:xmpp:vcard4"


async def test_read_markers_are_the_accounts_own(database: Database) -> None:
    """XEP-0490 section 3: private, one item for each conversation, all of them stay, nobody gets the last one."""
    async with nodes(database) as world:
        wanted = options(
            access_model="whitelist", max_items="max", persist_items="true", send_last_published_item="never"
        )
        for peer in ("romeo@x.org", "juliet@x.org", "romeo@x.org"):
            marker = (
                f"<item id='{peer}'><displayed xmlns='{MARKERS}'>"
                f"<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='{peer}'/></displayed></item>"
            )
            assert (await world.publish(MARKERS, marker, more=wanted)).type == "result"
        told = world.told()
        assert {(one.notify, jid) for one in told for jid in one.recipients} == {(MARKERS, ALICE)}
        assert [one.origin.n for one in told] == [1, 2, 3]
        got = await world.ask(f"<items node='{MARKERS}'/>", type="get")
        assert sorted(item_ids(got)) == ["juliet@x.org", "romeo@x.org"]
        assert errors(await world.ask(f"<items node='{MARKERS}'/>", full=DESK, type="get")) == (
            "not-allowed closed-node"
        )


async def test_a_blog_is_open_and_keeps_its_entries(database: Database) -> None:
    """XEP-0472 section 3: entries in pages, the newest first, for whoever subscribes."""
    async with nodes(database) as world:
        wanted = options(access_model="open", max_items="max", notify_retract="true")
        for n in range(5):
            entry = f"<item id='e{n}'><entry xmlns='http://www.w3.org/2005/Atom'><title>{n}</title></entry></item>"
            assert (await world.publish(BLOG, entry, more=wanted)).type == "result"
        answer = await world.ask(f"<subscribe node='{BLOG}' jid='{BOB}'/>", full=DESK)
        assert answer.type == "result"
        world.told()
        retract = f"<retract node='{BLOG}'><item id='e1'/></retract>"
        assert (await world.ask(retract, full=PHONE)).type == "result"
        assert BOB in {jid for one in world.told() for jid in one.recipients}
        page = f"<items node='{BLOG}'/><set xmlns='http://jabber.org/protocol/rsm'><max>2</max></set>"
        assert item_ids(await world.ask(page, full=DESK, type="get")) == ["e4", "e3"]


async def test_a_card_of_the_new_form_is_a_node(database: Database) -> None:
    """XEP-0292 section 3: whoever may read the node reads the card; it is not that of XEP-0054."""
    async with nodes(database) as world:
        card = "<item id='current'><vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>A</text></fn></vcard></item>"
        await world.publish(CARD, card, more=options(access_model="open"))
        got = await world.ask(f"<items node='{CARD}'/>", full=DESK, type="get")
        assert item_ids(got) == ["current"]
        assert b"<fn><text>A</text></fn>" in got.inner
