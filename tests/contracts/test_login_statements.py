"""Statements of a login in which a client reads its roster and becomes available: 100 contacts make none of their own.

With the credentials, what its router reads of the account, and the last items of nodes (`test_pubsub_service`: one statement for all contacts) these are the
statements of a login: four when no process knows anything of the account and its contacts, whose presence worker is told what the roster says.
"""

from __future__ import annotations

import trio
from tests.contracts.counted import Counted
from tests.contracts.people import (
    ALICE,
    BOB,
    PHONE,
    People,
    befriend_many,
    delivered,
    of,
    people,
    pushes,
    sent_presence,
)

from rookery.shared.bus.messages import (
    AccountChanged,
    Broadcast,
    Kind,
    RosterChanged,
    SendPresence,
    SessionUp,
)
from rookery.shared.db.api import Connection, Database
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.presence.changes import REMEMBERED, Changes
from rookery.workers.presence.service import PresenceService
from rookery.workers.roster.reading import Reading
from rookery.workers.roster.service import RosterService

ROSTER = "<query xmlns='jabber:iq:roster'/>"


async def login(
    world: People, counted: Counted, roster: str = ROSTER, contacts: int = 100, seen: int = 100
) -> int:
    """The roster, then presence as a router passes it on; returns the statements. So many contacts let it see them."""
    counted.statements = 0
    answer = await world.iq(Kind.ROSTER, roster)
    assert not contacts or len(list(answer.elements()[0].elements())) == contacts
    world.post(Kind.ROSTER, ALICE, SessionUp(ALICE, PHONE, 1, 0))
    presence = Stanza.build("presence", from_=PHONE)
    world.post(Kind.PRESENCE, ALICE, Broadcast(ALICE, PHONE, presence, True))
    await world.rest()
    items = world.take()
    assert pushes(items, ALICE) == []
    assert sum(1 for one in of(items, SendPresence) if one.probe and one.to == PHONE) == seen
    return counted.statements


def presence(world: People) -> PresenceService:
    """The worker."""
    (found,) = (one for one in world.services if isinstance(one, PresenceService))
    return found


def long_ago(world: People) -> None:
    """The workers have had their partitions for long, and nothing has changed lately; what they know is forgotten."""
    service = presence(world)
    service.cache.clear()
    service.changes = Changes()
    for partition in range(256):
        service.changes.acquired(partition, trio.current_time() - 2 * REMEMBERED)


async def quiet(counted: Counted) -> None:
    """Until the workers have read what they begin with."""
    before = -1
    while counted.statements != before:
        before = counted.statements
        await trio.sleep(0.3)


async def test_contacts_make_no_statements(database: Database) -> None:
    counted = Counted(database)
    async with people(counted) as world:
        await database.run(0, lambda conn: befriend_many(conn, 100))
        await quiet(counted)
        long_ago(world)
        # The roster. What it says spares the presence worker two: who sees the account and whom it sees, and all probes together.
        assert await login(world, counted) == 1
        # The presence worker is told once in a while; contacts whom nobody has used lately are asked for again when that is long ago.
        assert await login(world, counted) == 1
        presence(world).cache.clear()
        # And where it has forgotten, or came later, it reads both at once.
        assert await login(world, counted) == 2


async def test_a_client_that_knows_its_roster_makes_no_more(database: Database) -> None:
    """RFC 6121 section 2.6: nothing has changed since the version that it has."""
    counted = Counted(database)
    async with people(counted) as world:
        await database.run(0, lambda conn: befriend_many(conn, 100))
        await quiet(counted)
        ver = (await world.iq(Kind.ROSTER, ROSTER)).elements()[0].get("ver")
        await login(world, counted)
        long_ago(world)
        for service in world.services:
            if isinstance(service, RosterService):
                service.reading = Reading()
        assert await login(world, counted, f"<query xmlns='jabber:iq:roster' ver='{ver}'/>", 0) == 1


async def test_what_the_roster_says_is_not_believed_of_who_has_changed(database: Database) -> None:
    """A contact that has changed since is asked for; so is an account whose own lists have."""
    counted = Counted(database)
    async with people(counted) as world:
        await database.run(0, lambda conn: befriend_many(conn, 4))
        await quiet(counted)
        long_ago(world)
        assert (await world.iq(Kind.ROSTER, ROSTER)).type == "result"
        # One cancels before alice's presence comes, whose worker was told of all.
        await world.presence("c1@one.org/x", "unsubscribed", ALICE)
        world.post(Kind.PRESENCE, "c2@one.org", AccountChanged("c2@one.org", "blocklist"))
        await world.rest()
        world.take()
        counted.statements = 0
        world.post(Kind.PRESENCE, ALICE, Broadcast(ALICE, PHONE, Stanza.build("presence", from_=PHONE), True))
        await world.rest()
        assert {account for account, _, _ in sent_presence(world.take())} == {
            f"c{n}@one.org" for n in (2, 3, 4)
        }
        assert counted.statements == 1
        for service in world.services:
            if isinstance(service, RosterService):
                service.reading = Reading()
        presence(world).cache.clear()
        world.post(Kind.PRESENCE, ALICE, RosterChanged(ALICE, "c1@one.org", "from"))
        await world.rest()
        assert (await world.iq(Kind.ROSTER, ROSTER)).type == "result"
        assert presence(world).cache.get(ALICE, trio.current_time()) is None


async def test_who_blocks_the_asker_is_asked_itself(database: Database) -> None:
    """XEP-0191 section 3.3: it stays unseen; nor is anything told of those whom the asker does not see."""
    counted = Counted(database)
    async with people(counted) as world:
        await database.run(0, lambda conn: befriend_many(conn, 5))

        async def lists(conn: Connection) -> None:
            for contact, blocked in (("c1", ALICE), ("c2", "one.org"), ("c3", PHONE), ("c4", BOB)):
                await conn.execute(
                    "INSERT INTO blocked (account_id, jid) SELECT id, $2 FROM account WHERE localpart = $1",
                    contact,
                    blocked,
                )
            await conn.execute(
                "INSERT INTO blocked (account_id, jid) SELECT id, 'c5@one.org' FROM account WHERE localpart = 'alice'"
            )

        await database.run(0, lists)
        await quiet(counted)
        long_ago(world)
        assert await login(world, counted, contacts=5, seen=1) == 2
        assert presence(world).cache.get(ALICE, trio.current_time()) is not None


async def test_a_partition_that_came_a_moment_ago_believes_nobody(database: Database) -> None:
    """What changed before was told to its former holder."""
    counted = Counted(database)
    async with people(counted) as world:
        await database.run(0, lambda conn: befriend_many(conn, 100))
        await quiet(counted)
        for partition in range(256):
            presence(world).changes.acquired(partition, trio.current_time())
        assert await login(world, counted) == 3


async def test_a_request_that_comes_behind_the_roster_is_told(database: Database) -> None:
    """RFC 6121 section 3.1.3: whoever becomes available gets what was asked meanwhile."""
    async with people(database) as world:
        assert (await world.iq(Kind.ROSTER, ROSTER)).type == "result"
        await world.presence(f"{BOB}/desk", "subscribe", ALICE)
        world.take()
        world.post(Kind.ROSTER, ALICE, SessionUp(ALICE, PHONE, 1, 0))
        await world.rest()
        assert delivered(world.take(), ALICE) == [(PHONE, "subscribe", BOB)]


async def test_a_request_of_who_is_not_in_the_roster_is_told_behind_the_roster(database: Database) -> None:
    """RFC 6121 section 3.1.3, state "None + Pending In": the roster does not show who asks."""
    async with people(database) as world:
        await world.presence(f"{BOB}/desk", "subscribe", ALICE)
        await world.rest()
        world.take()
        assert (await world.iq(Kind.ROSTER, ROSTER)).type == "result"
        world.post(Kind.ROSTER, ALICE, SessionUp(ALICE, PHONE, 1, 0))
        await world.rest()
        assert delivered(world.take(), ALICE) == [(PHONE, "subscribe", BOB)]
