"""Statements of a login in which a client reads its roster and becomes available: 100 contacts make none of their own.

With the credentials and the last items of nodes (`test_pubsub_service`: one statement for all contacts) these are the statements of a login: four when the
account was used lately, and its contacts were not.
"""

from __future__ import annotations

import trio
from tests.contracts.counted import Counted
from tests.contracts.people import ALICE, BOB, PHONE, People, befriend_many, delivered, people, pushes

from rookery.shared.bus.messages import Broadcast, Kind, SessionUp
from rookery.shared.db.api import Database
from rookery.shared.xmpp.stanza import Stanza

ROSTER = "<query xmlns='jabber:iq:roster'/>"


async def login(world: People, counted: Counted) -> int:
    """The roster, then presence as a router passes it on; returns the statements."""
    counted.statements = 0
    roster = await world.iq(Kind.ROSTER, ROSTER)
    assert len(list(roster.elements()[0].elements())) == 100
    world.post(Kind.ROSTER, ALICE, SessionUp(ALICE, PHONE, 1, 0))
    presence = Stanza.build("presence", from_=PHONE)
    world.post(Kind.PRESENCE, ALICE, Broadcast(ALICE, PHONE, presence, True))
    await world.rest()
    assert pushes(world.take(), ALICE) == []
    return counted.statements


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
        # The roster, who sees the account and whom it sees, and all probes together.
        assert await login(world, counted) == 3
        # Contacts whom nobody has used lately are asked for again.
        assert await login(world, counted) == 2


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
