"""Rosters and subscriptions end to end: committed, told to everybody, and the same when a stanza is repeated."""

from __future__ import annotations

from rookery.shared.bus.messages import Item, Kind, Route, SendPresence, SessionUp, ToResources
from rookery.shared.config import Config, Limits
from rookery.shared.db.api import Connection, Database
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.roster import store as roster_store

from .people import ALICE, BOB, EVE, PHONE, People, delivered, of, people, pushes, sent_presence

DESK = f"{BOB}/desk"
GET = "<query xmlns='jabber:iq:roster'/>"


def put(item: str) -> str:
    return f"<query xmlns='jabber:iq:roster'>{item}</query>"


def shown(answer: Stanza) -> list[str]:
    return [item.xml("jabber:iq:roster") for item in answer.elements()[0].elements()]


async def befriend(world: People) -> None:
    """Alice sees Bob and Bob sees Alice."""
    await world.presence(PHONE, "subscribe", BOB)
    await world.presence(DESK, "subscribed", ALICE)
    await world.presence(DESK, "subscribe", ALICE)
    await world.presence(PHONE, "subscribed", BOB)
    world.take()


async def test_a_roster_set_is_pushed_and_listed(database: Database) -> None:
    async with people(database) as world:
        item = f"<item jid='{BOB}' name='Bob'><group>x</group></item>"
        assert (await world.iq(Kind.ROSTER, put(item), "set")).type == "result"
        expected = f"<item jid='{BOB}' subscription='none' name='Bob'><group>x</group></item>"
        assert pushes(world.take(), ALICE) == [expected]
        assert shown(await world.iq(Kind.ROSTER, GET)) == [expected]
        assert shown(await world.iq(Kind.ROSTER, GET, full=DESK)) == []


async def test_errors_by_name(database: Database) -> None:
    async with people(database, Config(limits=Limits(roster_items=1))) as world:
        await world.iq(Kind.ROSTER, put(f"<item jid='{BOB}'/>"), "set")
        for payload, type, condition in [
            (put(f"<item jid='{EVE}'/>"), "set", b"resource-constraint"),
            (put(f"<item jid='{EVE}' subscription='remove'/>"), "set", b"item-not-found"),
            (put(f"<item jid='{ALICE}'/>"), "set", b"not-allowed"),
            (put(f"<item jid='{BOB}'/>"), "get", b"bad-request"),
        ]:
            answer = await world.iq(Kind.ROSTER, payload, type)
            assert answer.type == "error"
            assert condition in answer.inner
        # RFC 6121 section 2.3.3.
        answer = await world.iq(Kind.ROSTER, put(f"<item jid='{EVE}'/>"), "set", to=BOB, own=False)
        assert b"forbidden" in answer.inner


async def test_a_subscription_from_request_to_both(database: Database) -> None:
    """RFC 6121 section 3.1."""
    async with people(database) as world:
        await world.presence(PHONE, "subscribe", f"{BOB}/whatever")
        items = world.take()
        assert pushes(items, ALICE) == [f"<item jid='{BOB}' subscription='none' ask='subscribe'/>"]
        assert delivered(items, BOB) == [("available", "subscribe", ALICE)]
        assert pushes(items, BOB) == []
        assert shown(await world.iq(Kind.ROSTER, GET, full=DESK)) == []

        await world.presence(DESK, "subscribed", ALICE)
        items = world.take()
        assert pushes(items, BOB) == [f"<item jid='{ALICE}' subscription='from'/>"]
        assert delivered(items, ALICE) == [("interested", "subscribed", BOB)]
        assert pushes(items, ALICE) == [f"<item jid='{BOB}' subscription='to'/>"]
        assert sent_presence(items) == [(BOB, ALICE, True)]

        await world.presence(DESK, "subscribe", ALICE)
        await world.presence(PHONE, "subscribed", BOB)
        items = world.take()
        assert pushes(items, ALICE)[-1] == f"<item jid='{BOB}' subscription='both'/>"
        assert sent_presence(items) == [(ALICE, BOB, True)]


async def test_a_request_waits_for_the_next_resource(database: Database) -> None:
    """RFC 6121 section 3.1.3: delivered to each resource that becomes available, until it is answered."""
    async with people(database) as world:
        await world.presence(PHONE, "subscribe", BOB)
        world.take()
        up = SessionUp(BOB, DESK, 1, 0)
        for _ in range(2):
            world.post(Kind.ROSTER, BOB, up)
            await world.rest()
            assert delivered(world.take(), BOB) == [(DESK, "subscribe", ALICE)]
        await world.presence(DESK, "unsubscribed", ALICE)
        items = world.take()
        assert pushes(items, ALICE) == [f"<item jid='{BOB}' subscription='none'/>"]
        for _ in range(2):  # the second time nobody is asked
            world.post(Kind.ROSTER, BOB, up)
            await world.rest()
            assert world.take() == []
        await world.presence(PHONE, "subscribe", BOB)
        world.take()
        world.post(Kind.ROSTER, BOB, up)
        await world.rest()
        assert delivered(world.take(), BOB) == [(DESK, "subscribe", ALICE)]


async def test_cancelling_ends_presence(database: Database) -> None:
    """RFC 6121 sections 3.2 and 3.3."""
    async with people(database) as world:
        await befriend(world)
        await world.presence(PHONE, "unsubscribed", BOB)
        items = world.take()
        assert sent_presence(items) == [(ALICE, BOB, False)]
        assert delivered(items, BOB) == [("interested", "unsubscribed", ALICE)]
        assert pushes(items, BOB) == [f"<item jid='{ALICE}' subscription='from'/>"]
        await world.presence(PHONE, "unsubscribe", BOB)
        items = world.take()
        assert sent_presence(items) == [(BOB, ALICE, False)]
        assert pushes(items, BOB) == [f"<item jid='{ALICE}' subscription='none'/>"]


async def test_pre_approval_answers_at_once(database: Database) -> None:
    """RFC 6121 section 3.4."""
    async with people(database) as world:
        await world.presence(DESK, "subscribed", ALICE)
        items = world.take()
        assert pushes(items, BOB) == [f"<item jid='{ALICE}' subscription='none' approved='true'/>"]
        assert of(items, Route) == []
        await world.presence(PHONE, "subscribe", BOB)
        items = world.take()
        assert delivered(items, BOB) == []
        assert pushes(items, BOB) == [f"<item jid='{ALICE}' subscription='from' approved='true'/>"]
        assert pushes(items, ALICE)[-1] == f"<item jid='{BOB}' subscription='to'/>"
        assert sent_presence(items) == [(BOB, ALICE, True)]


async def test_removal_cancels_both_ways(database: Database) -> None:
    """RFC 6121 section 2.5."""
    async with people(database) as world:
        await befriend(world)
        answer = await world.iq(Kind.ROSTER, put(f"<item jid='{BOB}' subscription='remove'/>"), "set")
        assert answer.type == "result"
        items = world.take()
        assert pushes(items, ALICE) == [f"<item jid='{BOB}' subscription='remove'/>"]
        assert {type for _, type, _ in delivered(items, BOB)} == {"unsubscribe", "unsubscribed"}
        assert pushes(items, BOB)[-1] == f"<item jid='{ALICE}' subscription='none'/>"
        assert set(sent_presence(items)) == {(ALICE, BOB, False), (BOB, ALICE, False)}
        assert shown(await world.iq(Kind.ROSTER, GET)) == []


async def test_a_repeated_stanza_has_the_same_effects_once_more(database: Database) -> None:
    """The edge sends again what was not accepted: the state stays, and nobody misses what was lost on the way."""
    async with people(database) as world:
        for full, type, to in [
            (PHONE, "subscribe", BOB),
            (DESK, "subscribed", ALICE),
            (DESK, "unsubscribed", ALICE),
        ]:
            origin = world.origin()
            await world.presence(full, type, to, origin)
            first = world.take()
            assert any(isinstance(item, ToResources) for item in first)
            await world.presence(full, type, to, origin)
            assert world.take() == [], "it was only accepted again"
            world.succeed()
            await world.presence(full, type, to, origin)
            assert world.take() == first
        origin = world.origin()
        remove = put(f"<item jid='{BOB}' subscription='remove'/>")
        answer = await world.iq(Kind.ROSTER, remove, "set", origin=origin)
        first = world.take()
        world.succeed()
        assert await world.iq(Kind.ROSTER, remove, "set", origin=origin) == answer
        assert world.take() == first


async def test_versioning_sends_what_changed(database: Database) -> None:
    """RFC 6121 section 2.6."""
    async with people(database) as world:
        empty = await world.iq(Kind.ROSTER, "<query xmlns='jabber:iq:roster' ver=''/>")
        before = empty.elements()[0].get("ver")
        for jid in (BOB, EVE, "x@elsewhere.net"):
            await world.iq(Kind.ROSTER, put(f"<item jid='{jid}'/>"), "set")
        await world.iq(Kind.ROSTER, put(f"<item jid='{EVE}' subscription='remove'/>"), "set")
        world.take()

        answer = await world.iq(Kind.ROSTER, f"<query xmlns='jabber:iq:roster' ver='{before}'/>")
        assert answer.inner == b""
        routed = [item.stanza for item in of(world.take(), Route)]
        assert [stanza.to for stanza in routed] == [PHONE] * 3
        jids = [next(s.elements()[0].elements()).attrs for s in routed]
        assert [(a["jid"], a["subscription"]) for a in jids] == [
            (BOB, "none"),
            ("x@elsewhere.net", "none"),
            (EVE, "remove"),
        ]
        now = routed[-1].elements()[0].get("ver")
        assert (await world.iq(Kind.ROSTER, f"<query xmlns='jabber:iq:roster' ver='{now}'/>")).inner == b""
        assert world.take() == []
        for unknown in ("", "x", "999-1", f"{now}9"):
            full = await world.iq(Kind.ROSTER, f"<query xmlns='jabber:iq:roster' ver='{unknown}'/>")
            assert len(shown(full)) == 2
            assert full.elements()[0].get("ver") == now


async def test_forgotten_removals_mean_the_whole_roster(database: Database) -> None:
    async with people(database) as world:
        first = await world.iq(Kind.ROSTER, "<query xmlns='jabber:iq:roster' ver=''/>")
        before = first.elements()[0].get("ver")
        await world.iq(Kind.ROSTER, put(f"<item jid='{BOB}'/>"), "set")
        await world.iq(Kind.ROSTER, put(f"<item jid='{BOB}' subscription='remove'/>"), "set")

        async def prune(conn: Connection) -> None:
            account = await conn.fetchval("SELECT id FROM account WHERE localpart = 'alice'")
            await conn.execute(roster_store._PRUNE, "worker1", account, 0)
            assert await conn.fetchval("SELECT count(*) FROM roster_item WHERE account_id = $1", account) == 0

        await database.run(0, prune)
        answer = await world.iq(Kind.ROSTER, f"<query xmlns='jabber:iq:roster' ver='{before}'/>")
        assert answer.inner.startswith(b"<query")


async def test_a_flood_of_requests_is_bounded(database: Database) -> None:
    async with people(database, Config(limits=Limits(roster_items=2))) as world:
        for n in range(4):
            stanza = Stanza.build("presence", type="subscribe", from_=f"spam{n}@two.org", to=BOB)
            world.router.bus.post(Kind.ROUTER, world.router.partition(BOB), Route(world.origin(), stanza))
            await world.rest()
        assert len(delivered(world.take(), BOB)) == 2
        assert len(world.accepted()) == 4


async def test_elsewhere_is_not_found(database: Database) -> None:
    async with people(database) as world:
        await world.presence(PHONE, "subscribe", "x@elsewhere.net")
        (bounce,) = of(world.take(), Route)
        assert (bounce.stanza.type, bounce.stanza.to, bounce.stanza.from_) == (
            "error",
            PHONE,
            "x@elsewhere.net",
        )
        assert b"remote-server-not-found" in bounce.stanza.inner
        assert shown(await world.iq(Kind.ROSTER, GET)) == []


async def test_nobody_subscribes_to_himself_or_to_nobody(database: Database) -> None:
    async with people(database) as world:
        await world.presence(PHONE, "subscribe", ALICE)
        assert world.take() == []
        await world.presence(PHONE, "subscribe", "ghost@one.org")
        items = world.take()
        assert delivered(items, "ghost@one.org") == []
        assert pushes(items, ALICE) == ["<item jid='ghost@one.org' subscription='none' ask='subscribe'/>"]


async def test_a_deposed_worker_stops(database: Database) -> None:
    async with people(database) as world:

        async def depose(conn: Connection) -> None:
            await conn.execute("UPDATE fence SET open = false")

        await database.run(0, depose)
        stanza = Stanza.build("presence", type="subscribe", from_=ALICE, to=BOB)
        world.router.bus.post(Kind.ROUTER, world.router.partition(BOB), Route(world.origin(), stanza))
        await world.rest()
        assert world.worker.failures
        assert world.accepted() == []
        assert delivered(world.take(), BOB) == []
        world.worker.failures.clear()


def order(items: list[Item], watcher: str) -> list[str]:
    """What reaches an account of a change, in order: presence and pushes, and presence that its contact's router is asked for."""
    found = []
    for item in items:
        if isinstance(item, ToResources) and item.account == watcher:
            found.append("push" if item.stanza.kind == "iq" else item.stanza.type)
        elif isinstance(item, SendPresence) and item.to == watcher:
            found.append("available" if item.available else "unavailable")
    return found


async def test_presence_never_overtakes_what_allows_or_ends_it(database: Database) -> None:
    """RFC 6121 sections 3.1.5, 3.1.6, 3.2.2, 3.4.2."""
    async with people(database) as world:
        await world.presence(PHONE, "subscribe", BOB)
        world.take()
        await world.presence(DESK, "subscribed", ALICE)
        assert order(world.take(), ALICE) == ["subscribed", "push", "available"]
        await world.presence(DESK, "unsubscribed", ALICE)
        assert order(world.take(), ALICE) == ["unsubscribed", "push", "unavailable"]
        # approved beforehand
        await world.presence(DESK, "subscribed", ALICE)
        world.take()
        await world.presence(PHONE, "subscribe", BOB)
        assert order(world.take(), ALICE) == ["push", "subscribed", "push", "available"]
        await world.iq(Kind.ROSTER, put(f"<item jid='{ALICE}' subscription='remove'/>"), "set", full=DESK)
        assert order(world.take(), ALICE) == ["unsubscribed", "push", "unavailable"]
