"""Notifications of clients that are away (XEP-0357) on Postgres, with an app server that a test plays."""

from __future__ import annotations

import trio
from tests.contracts.nodes import ALICE, PHONE, Nodes, nodes

from rookery.shared.bus.messages import AccountChanged, Missed, NoLongerAway, Notified, Route
from rookery.shared.config import Config
from rookery.shared.db.api import Connection, Database
from rookery.shared.xeps import push
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.pubsub.push import rows

APP = "eve@one.org/app"
CONFIG = Config(push=push.Options(gather_seconds=0, interval_seconds=0, clients=2))
SECRET = (
    "<x xmlns='jabber:x:data' type='submit'>"
    "<field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
    "<field var='secret'><value>s3cret</value></field></x>"
)


async def enable(world: Nodes, node: str = "n", full: str = PHONE, more: str = SECRET) -> Stanza:
    inner = f"<enable xmlns='{push.NS}' jid='{APP}' node='{node}'>{more}</enable>"
    return await world.iq("set", inner, full=full)


async def sent(world: Nodes, count: int = 1) -> list[Stanza]:
    """The next notifications."""
    found: list[Stanza] = []
    with trio.fail_after(10):
        while len(found) < count:
            await world.rest()
            for one in list(world.router.received):
                if isinstance(one[4], Route) and one[4].stanza.to == APP:
                    world.router.received.remove(one)
                    found.append(one[4].stanza)
    return found


async def miss(world: Nodes, resource: str = "phone", messages: int = 1) -> None:
    world.post(ALICE, Missed(ALICE, (resource,), messages, "", "New message"))
    await world.rest()


async def answer(world: Nodes, asked: Stanza, *error: str) -> None:
    world.post(ALICE, Notified(ALICE, APP, asked.id, error))
    await world.rest()


async def kept(database: Database) -> list[tuple[str, int, int, bool]]:
    """(node, missed, failures, due) of Alice's clients."""

    async def read(conn: Connection) -> list[tuple[str, int, int, bool]]:
        found = await rows.read(conn, ALICE)
        return sorted((one.app.node, one.missed, one.failures, one.due) for one in found)

    return await database.run(0, read)


def told_router(world: Nodes) -> int:
    """How often Alice's router was told to read her clients again, since the last look."""
    items = [one for one in world.router.received if one[4] == AccountChanged(ALICE, "push")]
    for one in items:
        world.router.received.remove(one)
    return len(items)


async def test_what_is_missed_is_published_until_it_is_answered(database: Database) -> None:
    """Sections 5 and 7: to the node of the app, with the options of the client, and the count of messages."""
    async with nodes(database, CONFIG) as world:
        assert (await enable(world)).type == "result"
        assert told_router(world) == 1
        await miss(world, messages=3)
        (asked,) = await sent(world)
        assert (asked.type, asked.from_) == ("set", ALICE)
        text = asked.inner.decode()
        assert "<publish node='n'>" in text
        assert "<field var='message-count'" in text
        assert "<value>3</value>" in text
        assert "<publish-options>" in text
        assert "s3cret" in text
        assert await kept(database) == [("n", 3, 0, True)]
        await answer(world, asked)
        assert await kept(database) == [("n", 3, 0, False)]
        world.post(ALICE, NoLongerAway(ALICE, "phone"))
        await world.rest()
        assert await kept(database) == [("n", 0, 0, False)]
        # Somebody else's answer is none.
        await miss(world)
        (asked,) = await sent(world)
        world.post(ALICE, Notified(ALICE, "evil.example", asked.id, ("cancel", "forbidden")))
        await world.rest()
        assert await kept(database) == [("n", 1, 0, True)]


async def test_a_final_error_ends_it_and_another_is_tried_again(database: Database) -> None:
    """Section 7.1."""
    async with nodes(database, CONFIG) as world:
        await enable(world)
        await miss(world)
        (asked,) = await sent(world)
        await answer(world, asked, "wait", "resource-constraint")
        assert await kept(database) == [("n", 1, 1, True)]
        told_router(world)
        # What a client enables again begins anew.
        await enable(world)
        await miss(world)
        (asked,) = await sent(world)
        await answer(world, asked, "cancel", "item-not-found")
        assert await kept(database) == []
        assert told_router(world) == 2
        await miss(world)
        assert [one for one in world.router.received if isinstance(one[4], Route)] == []


async def test_the_oldest_client_gives_way_and_disabling_is_of_one_or_all(database: Database) -> None:
    async with nodes(database, CONFIG) as world:
        for node in ("a", "b", "c"):
            await enable(world, node)
        assert [one[0] for one in await kept(database)] == ["b", "c"]
        await enable(world, "b")
        await enable(world, "d")
        assert [one[0] for one in await kept(database)] == ["b", "d"]
        disable = f"<disable xmlns='{push.NS}' jid='{APP}' node='b'/>"
        assert (await world.iq("set", disable)).type == "result"
        assert [one[0] for one in await kept(database)] == ["d"]
        disable = f"<disable xmlns='{push.NS}' jid='{APP}'/>"
        assert (await world.iq("set", disable)).type == "result"
        assert await kept(database) == []


async def test_who_takes_over_goes_on(database: Database) -> None:
    """A notification that has no answer is sent again by the next holder; what is due is in Postgres before it goes out."""
    async with nodes(database, CONFIG) as world:
        await enable(world)
        await miss(world, messages=2)
        (first,) = await sent(world)
        partition = world.router.partition(ALICE)
        world.service.forget(partition)
        await world.service.acquire(partition, 1)
        (again,) = await sent(world)
        assert again.id != first.id
        assert "<value>2</value>" in again.inner.decode()
        # The answer to the first one counts no more.
        await answer(world, first, "cancel", "forbidden")
        await answer(world, again)
        assert await kept(database) == [("n", 2, 0, False)]


async def test_what_is_not_a_form_or_too_long_is_refused(database: Database) -> None:
    async with nodes(database, CONFIG) as world:
        other = SECRET.replace("publish-options", "node_config")
        long = SECRET.replace("s3cret", "x" * 5000)
        for more in (other, long, SECRET.replace("submit", "cancel")):
            assert (await enable(world, more=more)).type == "error"
        assert (await enable(world, "n" * 4096)).type == "error"
        assert await kept(database) == []
