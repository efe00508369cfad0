"""Broadcasts, probes and gates: nobody learns of presence who was not let, and what was let is told at once."""

from __future__ import annotations

from typing import Any

from rookery.shared.bus.messages import (
    AccountChanged,
    Broadcast,
    Fanout,
    Gate,
    Gated,
    Item,
    Kind,
    Probe,
    RosterChanged,
    Route,
    Seen,
    SendPresence,
    ShowUsers,
    Sighted,
)
from rookery.shared.db.api import Connection, Database
from rookery.shared.xmpp.stanza import Stanza

from .people import ALICE, BOB, EVE, PHONE, People, befriend_many, of, people, sent_presence, told

DESK = f"{BOB}/desk"
AVAILABLE = Stanza.build("presence", from_=PHONE)


async def befriend(world: People, *, to: str = BOB) -> None:
    """Bob sees Alice, and Alice sees Bob."""
    for subscriber, contact in ((ALICE, to), (to, ALICE)):
        await world.presence(f"{subscriber}/x", "subscribe", contact)
        await world.presence(f"{contact}/x", "subscribed", subscriber)
    world.take()


async def broadcast(world: People, *, initial: bool = False, account: str = ALICE) -> list[Item]:
    stanza = AVAILABLE.replace(from_=f"{account}/phone")
    world.post(Kind.PRESENCE, account, Broadcast(account, f"{account}/phone", stanza, initial))
    await world.rest()
    return world.take()


async def test_initial_presence_goes_to_subscribers_and_asks_contacts(database: Database) -> None:
    """RFC 6121 section 4.2.2."""
    async with people(database) as world:
        await befriend(world)
        items = await broadcast(world, initial=True)
        (fanout,) = of(items, Fanout)
        assert (fanout.stanza, tuple(fanout.recipients)) == (AVAILABLE, (BOB,))
        assert of(items, SendPresence) == [SendPresence(BOB, PHONE, True, probe=True)]
        assert sent_presence(await broadcast(world)) == []


async def test_a_one_way_subscription_is_one_way(database: Database) -> None:
    async with people(database) as world:
        await world.presence(PHONE, "subscribe", BOB)
        assert told(await broadcast(world)) == set()
        assert told(await broadcast(world, account=BOB)) == set()
        await world.presence(DESK, "subscribed", ALICE)
        world.take()
        assert told(await broadcast(world)) == set()
        assert told(await broadcast(world, account=BOB)) == {ALICE}
        await world.presence(DESK, "unsubscribed", ALICE)
        world.take()
        assert told(await broadcast(world, account=BOB)) == set()


async def test_a_probe_is_answered_to_subscribers_alone(database: Database) -> None:
    """RFC 6121 section 4.3.2."""
    async with people(database) as world:
        await befriend(world)
        for asker, account in ((DESK, ALICE), (PHONE, ALICE)):
            world.post(Kind.PRESENCE, account, Probe(asker, account))
            await world.rest()
            assert world.take() == [SendPresence(account, asker, True, probe=True)]
        answers = []
        for account in (ALICE, "ghost@one.org"):
            world.post(Kind.PRESENCE, account, Probe(f"{EVE}/x", account))
            await world.rest()
            (route,) = of(world.take(), Route)
            assert route.stanza.from_ == account
            answers.append(route.stanza.replace(from_=""))
        assert answers[0] == answers[1] == Stanza.build("presence", type="unsubscribed", to=EVE)


async def test_a_gate_lets_subscribers_through_and_hides_the_account_from_others(database: Database) -> None:
    """XEP-0030 section 8, XEP-0012 section 7: a stranger gets what an account that does not exist answers."""
    async with people(database) as world:
        await befriend(world)
        iq = Stanza.build("iq", type="get", from_=DESK, to=ALICE, id="7")
        origin = world.origin()
        world.post(Kind.PRESENCE, ALICE, Gate(origin, ALICE, iq))
        await world.rest()
        assert world.take() == [Gated(origin, ALICE, iq)]
        assert world.accepted() == []
        errors = []
        for account in (ALICE, "ghost@one.org"):
            origin = world.origin()
            asked = iq.replace(from_=f"{EVE}/x", to=account)
            world.post(Kind.PRESENCE, account, Gate(origin, account, asked))
            await world.rest()
            (route,) = of(world.take(), Route)
            assert b"service-unavailable" in route.stanza.inner
            errors.append(route.stanza.replace(from_=""))
            assert world.accepted() == [origin.n]
        assert errors[0] == errors[1]


async def test_whom_the_account_blocks_gets_nothing(database: Database) -> None:
    """XEP-0191 section 3.3: no presence, and no answer to a probe."""
    async with people(database) as world:
        await befriend(world)
        assert told(await broadcast(world)) == {BOB}
        await world.iq(Kind.ACCOUNT, f"<block xmlns='urn:xmpp:blocking'><item jid='{BOB}'/></block>", "set")
        world.take()
        assert told(await broadcast(world, initial=True)) == set()
        world.post(Kind.PRESENCE, ALICE, Probe(DESK, ALICE))
        await world.rest()
        assert world.take() == []
        await world.iq(Kind.ACCOUNT, "<unblock xmlns='urn:xmpp:blocking'/>", "set")
        world.take()
        assert told(await broadcast(world)) == {BOB}


async def test_a_stale_cache_refuses_nobody(database: Database) -> None:
    """A refusal would end a subscription, so it is read again first; a notice that was lost does no harm there."""
    async with people(database) as world:
        await broadcast(world)  # the cache knows: nobody

        async def subscribe(conn: Connection) -> None:
            await conn.execute(
                "INSERT INTO roster_item (account_id, contact, sub_from) SELECT id, $1, true FROM account "
                "WHERE localpart = 'alice'",
                BOB,
            )

        await database.run(0, subscribe)
        world.post(Kind.PRESENCE, ALICE, Probe(DESK, ALICE))
        await world.rest()
        assert sent_presence(world.take()) == [(ALICE, DESK, True)]


async def test_an_item_behind_one_that_waits_keeps_its_place(database: Database) -> None:
    async with people(database) as world:
        await befriend(world)
        world.post(Kind.PRESENCE, ALICE, AccountChanged(ALICE, "blocklist"))
        await world.rest()
        stanzas = [AVAILABLE.replace(id=str(n)) for n in range(3)]
        for stanza in stanzas:
            world.post(Kind.PRESENCE, ALICE, Broadcast(ALICE, PHONE, stanza, False))
        world.post(Kind.PRESENCE, ALICE, RosterChanged(ALICE, BOB, "none"))
        world.post(Kind.PRESENCE, ALICE, Broadcast(ALICE, PHONE, AVAILABLE, False))
        await world.rest()
        assert [item.stanza for item in of(world.take(), Fanout)] == stanzas


async def test_what_moves_away_is_forgotten(database: Database) -> None:
    async with people(database) as world:
        await befriend(world)
        await broadcast(world)
        service = world.services[1]
        await service.release(world.worker.partition(ALICE))
        assert len(service.cache) == 0  # type: ignore[attr-defined]


async def test_contacts_elsewhere_are_left_alone(database: Database) -> None:
    async with people(database) as world:

        async def subscribe(conn: Connection) -> None:
            await conn.execute(
                "INSERT INTO roster_item (account_id, contact, sub_from, sub_to) SELECT id, c, true, true FROM account, "
                "unnest($1::text[]) AS c WHERE localpart = 'alice'",
                [EVE, "x@elsewhere.net"],
            )

        await database.run(0, subscribe)
        items = await broadcast(world, initial=True)
        assert told(items) == {EVE}


async def test_a_cold_login_with_many_contacts_costs_few_statements(database: Database) -> None:
    """Every contact is asked, nobody of them was used lately: it was a statement for each."""
    async with people(database) as world:
        await database.run(0, lambda conn: befriend_many(conn, 500))
        works = 0
        service = world.services[1]
        database_of = service.database

        async def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal works
            works += 1
            return await database_of(*arguments, **options)

        service.database = counted  # type: ignore[method-assign]
        service.checks._database = counted  # type: ignore[attr-defined]
        items = await broadcast(world, initial=True)
        assert len(told(items)) == 500
        assert len(sent_presence(items)) == 500
        assert works <= 4


async def test_a_component_that_was_granted_it_is_told_of_users_and_their_rosters(database: Database) -> None:
    """XEP-0356 sections 4.4, 7 and 8: who becomes available and who goes, all when it comes later, and each change of a roster."""
    irc, plain = "irc.one.org", "plain.one.org"
    async with people(database) as world:
        component = world.cluster.node("component1", Kind.COMPONENT)
        rows = "INSERT INTO domain (name, kind, policy) VALUES ($1, 'component', $2)"
        grants = '{"privileges": {"roster": "get", "presence": "managed_entity"}}'
        await database.run(0, lambda conn: conn.execute(rows, irc, grants))
        await database.run(0, lambda conn: conn.execute(rows, plain, "{}"))
        for service in world.services:
            service.domains.refresh()
            await service.domains.known()

        async def told_now() -> list[tuple[str, str, str]]:
            await world.rest()
            heard = [item.stanza for *_, item in component.received if isinstance(item, Route)]
            component.received.clear()
            return [(one.kind, one.from_, one.to) for one in heard]

        await broadcast(world, initial=True)
        assert await told_now() == [("presence", PHONE, irc)]
        await broadcast(world)
        assert await told_now() == [], "only what begins and ends"
        await broadcast(world, account=EVE, initial=True)
        assert await told_now() == [], "of another domain"
        for name in (irc, plain):
            for number in range(256):
                component.bus.post(Kind.PRESENCE, number, ShowUsers(name, "one.org"))
        await world.rest()
        assert of(world.take(), SendPresence) == [SendPresence(ALICE, irc, True)]
        set_ = "<query xmlns='jabber:iq:roster'><item jid='x@far.example'/></query>"
        await world.iq(Kind.ROSTER, set_, "set")
        assert await told_now() == [("iq", ALICE, irc)]
        gone = Stanza.build("presence", type="unavailable", from_=PHONE)
        world.post(Kind.PRESENCE, ALICE, Broadcast(ALICE, PHONE, gone, False))
        assert await told_now() == [("presence", PHONE, irc)]


async def test_a_component_that_may_hears_of_whom_users_see(database: Database) -> None:
    """XEP-0356 sections 7.4 and 8: contacts here and elsewhere, each once, also while the user is away; who comes later is shown them."""
    pep = "pep.one.org"
    async with people(database, federated=True) as world:
        component = world.cluster.node("component1", Kind.COMPONENT)
        remote = world.cluster.node("s2s1", Kind.S2S)
        rows = "INSERT INTO domain (name, kind, policy) VALUES ($1, 'component', $2)"
        grants = '{"privileges": {"roster": "get", "presence": "roster"}}'
        await database.run(0, lambda conn: conn.execute(rows, pep, grants))
        for service in world.services:
            service.domains.refresh()
            await service.domains.known()
        await befriend(world, to=EVE)
        component.received.clear()  # pushes of rosters
        sees = "INSERT INTO roster_item (account_id, contact, sub_to) SELECT id, $2, true FROM account WHERE domain = 'one.org' AND localpart = $1"
        for user in ("alice", "bob"):
            await database.run(0, lambda conn, user=user: conn.execute(sees, user, "romeo@far.example"))

        async def heard() -> list[tuple[str, str]]:
            await world.rest()
            items = [item for *_, item in component.received if isinstance(item, Sighted | Route)]
            component.received.clear()
            assert all(
                one.component == pep if isinstance(one, Sighted) else one.stanza.to == pep for one in items
            )
            return [(type(one).__name__, one.stanza.from_) for one in items]

        # Of another domain here, and seen by Alice: each change, once.
        await broadcast(world, account=EVE, initial=True)
        assert await heard() == [("Sighted", f"{EVE}/phone")]
        await broadcast(world, account=EVE)
        assert await heard() == [("Sighted", f"{EVE}/phone")]
        # A user whom nobody of the domain sees: as with `managed_entity`.
        await broadcast(world, account=BOB, initial=True)
        assert await heard() == [("Route", f"{BOB}/phone")]
        # Of another server: what the account asked for, and nothing else.
        for sender in ("romeo@far.example/r", "mallory@far.example/r"):
            for user in (ALICE, BOB):
                world.post(Kind.PRESENCE, user, Seen(user, Stanza.build("presence", from_=sender, to=user)))
        assert await heard() == [("Sighted", "romeo@far.example/r")] * 2
        # It comes later.
        for number in range(256):
            component.bus.post(Kind.PRESENCE, number, ShowUsers(pep, "one.org"))
        await world.rest()
        shown = of(world.take(), SendPresence)
        assert sorted(one.account for one in shown) == [BOB, EVE]
        probes = [item.stanza for *_, item in remote.received if isinstance(item, Route)]
        assert [(one.type, one.from_, one.to) for one in probes if one.type == "probe"] == [
            ("probe", ALICE, "romeo@far.example")
        ]
