"""Bookmarks and avatars as old and new clients keep them, on Postgres (XEP-0402, XEP-0398)."""

from __future__ import annotations

import base64
import hashlib

from tests.contracts.nodes import ALICE, BOB, DESK, PHONE, SERVICE, Nodes, form, nodes, options

from rookery.shared.bus.messages import AccountChanged, Interest
from rookery.shared.db.api import Database
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account import userdata

BOOKMARKS = "urn:xmpp:bookmarks:1"
PRIVATE = "jabber:iq:private"
PICTURE = b"\x89PNG\r\n\x1a\n picture"
HASH = hashlib.sha1(PICTURE, usedforsecurity=False).hexdigest()
BASE64 = base64.b64encode(PICTURE).decode()


def room(jid: str, name: str = "R", more: str = "") -> str:
    return f"<conference xmlns='storage:bookmarks' jid='{jid}' name='{name}' autojoin='1'>{more}</conference>"


async def private(world: Nodes, type: str, inner: str = "") -> Stanza:
    storage = f"<storage xmlns='storage:bookmarks'>{inner}</storage>"
    return await world.iq(type, f"<query xmlns='{PRIVATE}'>{storage}</query>")


async def natives(world: Nodes) -> list[str]:
    """The bookmarks of new clients, newest first."""
    answer = await world.ask(f"<items node='{BOOKMARKS}'/>", type="get")
    (pubsub,) = answer.elements()
    return [item.get("id") or "" for items in pubsub.elements() for item in items.elements()]


def told(world: Nodes) -> list[bytes]:
    return [one.stanza.inner for one in world.told()]


async def test_old_clients_write_the_bookmarks_of_new_ones(database: Database) -> None:
    """XEP-0402 section 5.2: what has not changed is not told; extensions stay; what is no room stays in private XML."""
    async with nodes(database) as world:
        url = "<url xmlns='storage:bookmarks' name='U' url='http://x'/>"
        answer = await private(world, "set", room("a@r.org") + url + room("b@r.org"))
        assert (answer.type, answer.inner) == ("result", b"")
        assert await natives(world) == ["b@r.org", "a@r.org"]
        assert len(told(world)) == 2
        # A new client adds what old ones do not know.
        extended = (
            f"<item id='a@r.org'><conference xmlns='{BOOKMARKS}' name='R' autojoin='true'>"
            "<extensions><pin xmlns='urn:x'/></extensions></conference></item>"
        )
        settings = options(access_model="whitelist", max_items="max", send_last_published_item="never")
        assert (await world.publish(BOOKMARKS, extended, more=settings)).type == "result"
        told(world)
        await private(world, "set", room("a@r.org") + room("c@r.org", "C", "<nick>me</nick>"))
        events = told(world)
        assert [b"<retract id='b@r.org'/>" in one for one in events] == [True, False]
        assert b"id='c@r.org'" in events[1]
        assert b"<nick>me</nick>" in events[1]
        await private(world, "set", room("a@r.org", "Other"))
        assert b"<pin xmlns='urn:x'/>" in told(world)[-1]


async def test_old_clients_read_the_bookmarks_of_new_ones(database: Database) -> None:
    async with nodes(database) as world:
        answer = await private(world, "get")
        assert (
            answer.inner == b"<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>"
        )
        old = "<items node='storage:bookmarks'/>"
        assert (await world.ask(old, type="get")).type == "error"
        item = (
            f"<item id='a@r.org'><conference xmlns='{BOOKMARKS}' name='R'><nick>me</nick></conference></item>"
        )
        await world.publish(BOOKMARKS, item)
        shown = b"<conference jid='a@r.org' name='R'><nick>me</nick></conference>"
        assert shown in (await private(world, "get")).inner
        assert shown in (await world.ask(old, type="get")).inner
        assert (await world.ask(old, full=DESK, type="get")).type == "error"


async def test_the_old_node_writes_items_too_and_mends_their_node(database: Database) -> None:
    async with nodes(database) as world:
        await world.publish(BOOKMARKS, f"<item id='z@r.org'><conference xmlns='{BOOKMARKS}'/></item>")
        rooms = "".join(room(f"r{n}@r.org") for n in range(200))
        item = f"<item id='current'><storage xmlns='storage:bookmarks'>{rooms}</storage></item>"
        refused = await world.publish("storage:bookmarks", item, more=options(access_model="open"))
        assert b"precondition-not-met" in refused.inner
        assert (await world.publish("storage:bookmarks", item)).type == "result"
        assert len(await natives(world)) == 200
        assert (await world.ask(f"<items node='{BOOKMARKS}'/>", full=DESK, type="get")).type == "error"
        bad = "<item id='current'><storage xmlns='urn:other'/></item>"
        assert b"invalid-payload" in (await world.publish("storage:bookmarks", bad)).inner


async def test_the_old_node_tells_of_changes(database: Database) -> None:
    """XEP-0048 section 3.2: all bookmarks, to those of the account's clients that want that node, whoever has changed them."""
    async with nodes(database) as world:
        url = "<url xmlns='storage:bookmarks' name='U' url='http://x'/>"
        await private(world, "set", room("a@r.org") + url)
        assert {one.notify for one in world.told()} == {BOOKMARKS}
        world.post(ALICE, Interest(ALICE, PHONE, b"stream", ["storage:bookmarks"]))
        await world.rest()
        item = f"<item id='b@r.org'><conference xmlns='{BOOKMARKS}' name='B'/></item>"
        settings = options(access_model="whitelist", max_items="max", send_last_published_item="never")
        await world.publish(BOOKMARKS, item, more=settings)
        new, old = world.told()
        assert (new.notify, old.notify, list(old.recipients)) == (BOOKMARKS, "storage:bookmarks", [ALICE])
        # Its numbers are its own: who wants both is told of both.
        assert new.origin.stream != old.origin.stream
        for part in (b"jid='a@r.org'", b"jid='b@r.org'", b"url='http://x'", b"<item id='current'>"):
            assert part in old.stanza.inner
        await world.ask(f"<retract node='{BOOKMARKS}' notify='true'><item id='a@r.org'/></retract>")
        *_, old = world.told()
        assert b"a@r.org" not in old.stanza.inner
        assert b"b@r.org" in old.stanza.inner
        # Another account costs nothing, nor does one whose partition has gone.
        await world.publish(BOOKMARKS, item, to=BOB, full=DESK, more=settings)
        assert {one.notify for one in world.told()} == {BOOKMARKS}
        world.service.keeping.forget(world.worker.partition(ALICE))
        await world.publish(BOOKMARKS, item)
        assert {one.notify for one in world.told()} == {BOOKMARKS}


async def test_only_the_account_itself_reaches_its_old_bookmarks(database: Database) -> None:
    async with nodes(database) as world:
        query = f"<query xmlns='{PRIVATE}'><storage xmlns='storage:bookmarks'/></query>"
        assert (await world.iq("get", query, full=DESK)).type == "error"
        assert (await world.iq("set", f"<query xmlns='{PRIVATE}'/>", full=PHONE)).type == "error"


def card(photo: str = BASE64) -> str:
    inner = f"<PHOTO><TYPE>image/png</TYPE><BINVAL>{photo}</BINVAL></PHOTO>" if photo else ""
    return f"<vCard xmlns='vcard-temp'><FN>A</FN>{inner}</vCard>"


async def test_the_picture_of_a_card_becomes_the_avatar(database: Database) -> None:
    """XEP-0398 section 3.2."""
    async with nodes(database) as world:
        assert (await world.iq("set", card())).type == "result"
        card_told, *events = told(world)
        assert b"urn:xmpp:vcard4" in card_told
        assert [f"id='{HASH}'".encode() in one for one in events] == [True] * len(events)
        assert b"urn:xmpp:avatar:data" in events[0]
        assert b"<info" in events[-1]
        changed = [one[4] for one in world.router.received if isinstance(one[4], AccountChanged)]
        assert changed == [AccountChanged(ALICE, "avatar")]
        data = await world.ask(f"<items node='urn:xmpp:avatar:data'><item id='{HASH}'/></items>", type="get")
        assert BASE64.encode() in data.inner
        await world.iq("set", card())
        assert told(world) == []
        await world.iq("set", card("not base64!"))
        assert told(world) == []
        await world.iq("set", card(""))
        assert b"<metadata xmlns='urn:xmpp:avatar:metadata'/>" in told(world)[-1]


async def test_the_avatar_is_the_picture_of_the_card_for_those_who_may_see_it(database: Database) -> None:
    """XEP-0398 sections 3.1 and 7."""

    async def read(asker: str) -> bytes | None:
        return await database.run(0, lambda conn: userdata.get_vcard(conn, ALICE, asker))

    info = f"<metadata xmlns='urn:xmpp:avatar:metadata'><info id='{HASH}' type='image/png' bytes='5'/></metadata>"
    async with nodes(database) as world:
        assert await read(ALICE) is None
        data = f"<item id='{HASH}'><data xmlns='urn:xmpp:avatar:data'>{BASE64}</data></item>"
        await world.publish("urn:xmpp:avatar:data", data)
        await world.publish("urn:xmpp:avatar:metadata", f"<item id='{HASH}'>{info}</item>")
        for asker, sees in ((ALICE, True), ("bob@one.org", True), ("eve@one.org", False)):
            xml = await read(asker)
            assert (xml is not None and BASE64.encode() in xml) is sees, asker
        await world.publish(
            "urn:xmpp:avatar:metadata", "<item id='x'><metadata xmlns='urn:xmpp:avatar:metadata'/></item>"
        )
        assert await read(ALICE) is None


async def test_old_and_new_cards_are_one(database: Database) -> None:
    """XEP-0292: whichever was written last is what both kinds of client read, those who may."""
    bob, eve = "bob@one.org", "eve@one.org"

    async def read(asker: str) -> bytes:
        return await database.run(0, lambda conn: userdata.get_vcard(conn, ALICE, asker)) or b""

    async with nodes(database) as world:
        await world.iq("set", "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>")
        (event,) = told(world)
        assert b"urn:xmpp:vcard4" in event
        assert b"<fn><text>Alice</text></fn>" in event
        answer = await world.ask("<items node='urn:xmpp:vcard4'/>", type="get")
        assert b"<text>Alice</text>" in answer.inner
        new = "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Alice L.</text></fn></vcard>"
        await world.publish("urn:xmpp:vcard4", f"<item id='current'>{new}</item>")
        for asker in (ALICE, bob, eve):  # the card was for everybody
            assert b"<FN>Alice L.</FN>" in await read(asker)
        config = form("node_config", access_model="presence")
        configure = f"<configure node='urn:xmpp:vcard4'>{config}</configure>"
        answer = await world.ask(configure, ns="http://jabber.org/protocol/pubsub#owner")
        assert answer.type == "result"
        assert b"Alice L." in await read(bob)
        assert b"Alice L." not in await read(eve)


async def test_a_full_node_retracts_its_oldest_item_and_tells_it(database: Database) -> None:
    """XEP-0060 section 7.1.2.3: publish_node_full is honoured."""
    async with nodes(database) as world:
        full = options(max_items="2", publish_node_full="retract-oldest")
        for n in range(2):
            await world.publish("urn:n", f"<item id='i{n}'><x xmlns='u'/></item>", more=full)
        told(world)
        await world.publish("urn:n", "<item id='i2'><x xmlns='u'/></item>")
        first, second = (event for event in told(world) if b"urn:n" in event)
        assert b"<retract id='i0'/>" in first
        assert b"<item id='i2'>" in second
        await world.publish("urn:n", "<item id='i1'><y xmlns='u'/></item>")
        assert all(b"retract" not in event for event in told(world))


async def test_delivery_by_presence_is_a_headline(database: Database) -> None:
    """XEP-0060 section 16.4.4, presence_based_delivery; what is not built is refused."""
    async with nodes(database) as world:
        wanted = form("node_config", presence_based_delivery="1", notification_type="normal")
        await world.ask(f"<create node='n'/><configure>{wanted}</configure>", SERVICE)
        await world.ask("<subscribe node='n' jid='bob@one.org'/>", SERVICE, DESK)
        world.told()
        await world.publish("n", "<item><x xmlns='u'/></item>", SERVICE)
        assert [one.stanza.type for one in world.told()] == ["headline"]
        refused = form("node_config", itemreply="publisher")
        answer = await world.ask(f"<create node='m'/><configure>{refused}</configure>", SERVICE)
        assert b"not-acceptable" in answer.inner
