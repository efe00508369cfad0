"""Shared roster groups end to end: who sees whom, what members may not end, versions, and what hundreds of members cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from rookery.admin import groups, rosters, tags
from rookery.admin.desk import NodeDesk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.shared.bus.messages import AccountChanged, Broadcast, Kind, Probe, Route, SendPresence
from rookery.shared.bus.notices import Post
from rookery.shared.cluster.api import Node
from rookery.shared.config import Config, Limits
from rookery.shared.db.api import Connection, Database
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account import store
from rookery.workers.roster import store as roster_store

from .counted import Counted
from .people import ALICE, BOB, EVE, KEYS, PHONE, People, delivered, of, people, pushes, sent_presence, told

DESK = f"{BOB}/desk"
GET = "<query xmlns='jabber:iq:roster'/>"


def item(jid: str, label: str = "Staff") -> str:
    return f"<item jid='{jid}' subscription='both'><group>{label}</group></item>"


def removed(jid: str) -> str:
    return f"<item jid='{jid}' subscription='remove'/>"


class Silent(NodeDesk):
    """Tells nobody."""

    def __init__(self, node: Node, operator: str) -> None:
        super().__init__(node, operator)
        self.posts: list[Post] = []

    async def tell(self, posts: Iterable[Post], *, domains: bool = False) -> None:
        """Keep what is to be told."""
        self.posts = list(posts)


def desk_of(world: People) -> NodeDesk:
    return NodeDesk(world.worker, "tester")


async def roster(world: People, full: str = PHONE, ver: str = "") -> tuple[list[str], str]:
    """What a client sees of its roster, and the version."""
    query = GET if not ver else f"<query xmlns='jabber:iq:roster' ver='{ver}'/>"
    answer = await world.iq(Kind.ROSTER, query, full=full)
    if not answer.elements():
        return [], "same"
    shown = [one.xml("jabber:iq:roster") for one in answer.elements()[0].elements()]
    return shown, answer.elements()[0].get("ver") or ""


@asynccontextmanager
async def staff(database: Database, *members: str) -> AsyncIterator[People]:
    """Alice and Bob, or others, are the staff."""
    async with people(database) as world:
        await groups.put(desk_of(world), "staff", "Staff")
        await groups.join(desk_of(world), "staff", members or (ALICE, BOB))
        await world.rest()
        yield world


async def presence(world: People, account: str) -> set[str]:
    """Who is told when the account comes online."""
    stanza = Stanza.build("presence", from_=f"{account}/x")
    world.post(Kind.PRESENCE, account, Broadcast(account, f"{account}/x", stanza, False))
    await world.rest()
    return told(world.take())


async def test_members_see_one_another_until_they_leave(database: Database) -> None:
    async with staff(database) as world:
        items = world.take()
        assert pushes(items, ALICE) == [item(BOB)]
        assert pushes(items, BOB) == [item(ALICE)]
        assert sorted(sent_presence(items)) == [(ALICE, BOB, True), (BOB, ALICE, True)]
        assert (await roster(world))[0] == [item(BOB)]
        assert await presence(world, ALICE) == {BOB}
        world.post(Kind.PRESENCE, BOB, Probe(PHONE, BOB))
        await world.rest()
        assert world.take() == [SendPresence(BOB, PHONE, True, probe=True)]

        assert await groups.leave(desk_of(world), "staff", [BOB, EVE]) == [BOB]
        await world.rest()
        items = world.take()
        assert pushes(items, ALICE) == [removed(BOB)]
        assert pushes(items, BOB) == [removed(ALICE)]
        assert sorted(sent_presence(items)) == [(ALICE, BOB, False), (BOB, ALICE, False)]
        assert await presence(world, ALICE) == set()
        assert (await roster(world))[0] == []


async def test_a_member_cannot_remove_another(database: Database) -> None:
    """The client is answered, and shown that the contact is still there."""
    async with staff(database) as world:
        world.take()
        remove = f"<query xmlns='jabber:iq:roster'><item jid='{BOB}' subscription='remove'/></query>"
        assert (await world.iq(Kind.ROSTER, remove, "set")).type == "result"
        items = world.take()
        assert pushes(items, ALICE) == [item(BOB)]
        assert pushes(items, BOB) == delivered(items, BOB) == sent_presence(items) == []
        for type in ("unsubscribe", "unsubscribed", "subscribe", "subscribed"):
            await world.presence(PHONE, type, BOB)
            items = world.take()
            assert pushes(items, ALICE) == [item(BOB)], type
            assert delivered(items, BOB) == sent_presence(items) == []
        assert await presence(world, ALICE) == {BOB}


async def test_what_a_member_writes_is_kept_beside_the_group(database: Database) -> None:
    async with staff(database) as world:
        named = f"<item jid='{BOB}' name='Robert'><group>Staff</group><group>Chess</group></item>"
        await world.iq(Kind.ROSTER, f"<query xmlns='jabber:iq:roster'>{named}</query>", "set")
        shown = f"<item jid='{BOB}' subscription='both' name='Robert'><group>Chess</group><group>Staff</group></item>"
        assert pushes(world.take(), ALICE)[-1] == shown
        assert (await roster(world))[0] == [shown]
        (read,) = await rosters.read(desk_of(world), Jid.trusted(ALICE))
        assert (read.subscription, tuple(read.all_groups)) == ("both", ("Chess", "Staff"))
        await groups.remove(desk_of(world), "staff")
        await world.rest()
        own = f"<item jid='{BOB}' subscription='none' name='Robert'><group>Chess</group></item>"
        assert pushes(world.take(), ALICE) == [own]
        assert (await roster(world))[0] == [own]


async def test_subscriptions_of_their_own_outlast_the_group(database: Database) -> None:
    async with people(database) as world:
        await world.presence(PHONE, "subscribe", BOB)
        await groups.put(desk_of(world), "staff", "Staff")
        await groups.join(desk_of(world), "staff", [ALICE, BOB])
        await world.rest()
        world.take()
        # The request that was open before is answered as any other.
        await world.presence(DESK, "subscribed", ALICE)
        assert delivered(world.take(), ALICE) == [("interested", "subscribed", BOB)]
        await groups.leave(desk_of(world), "staff", [ALICE])
        await world.rest()
        items = world.take()
        assert pushes(items, ALICE) == [f"<item jid='{BOB}' subscription='to'/>"]
        assert pushes(items, BOB) == [f"<item jid='{ALICE}' subscription='from'/>"]
        assert sorted(sent_presence(items)) == [(ALICE, BOB, False), (BOB, ALICE, True)]


async def test_versions_tell_of_groups(database: Database) -> None:
    """RFC 6121 section 2.6: who knows the newest version is told nothing, everybody else all or what has changed."""
    async with staff(database) as world:
        _, ver = await roster(world)
        assert await roster(world, ver=ver) == ([], "same")
        put = f"<query xmlns='jabber:iq:roster'><item jid='{EVE}'/></query>"
        await world.iq(Kind.ROSTER, put, "set")
        world.take()
        assert await roster(world, ver=ver) == ([], "same")
        assert pushes_to(world, PHONE) == [f"<item jid='{EVE}' subscription='none'/>"]
        await groups.put(desk_of(world), "staff", "All staff")
        shown, newer = await roster(world, ver=ver)
        assert shown == [f"<item jid='{EVE}' subscription='none'/>", item(BOB, "All staff")]
        await groups.remove(desk_of(world), "staff")
        assert (await roster(world, ver=newer))[0] == [f"<item jid='{EVE}' subscription='none'/>"]
        plain = (await roster(world))[1]
        assert await roster(world, ver=plain) == ([], "same")
        assert (await roster(world, ver=f"{plain}-x"))[1] == plain


def pushes_to(world: People, full: str) -> list[str]:
    """Pushes to one resource."""
    found = [one.stanza for one in of(world.take(), Route) if one.stanza.to == full]
    return [next(one.elements()[0].elements()).xml("jabber:iq:roster") for one in found]


async def test_everybody_of_a_domain(database: Database) -> None:
    async with people(database) as world:
        desk = desk_of(world)
        assert await groups.put(desk, "all", "One", "one.org")
        await world.rest()
        assert pushes(world.take(), ALICE) == [item(BOB, "One")]

        async def hire(conn: Connection) -> None:
            await store.create_account(conn, "carol", "one.org", KEYS)

        await database.run(0, hire)
        world.post(Kind.ROSTER, "carol@one.org", AccountChanged("carol@one.org", "created"))
        await world.rest()
        items = world.take()
        assert pushes(items, ALICE) == pushes(items, BOB) == [item("carol@one.org", "One")]
        assert await presence(world, "carol@one.org") == {ALICE, BOB}
        gone = await database.run(0, lambda conn: store.delete_account(conn, "carol", "one.org"))
        assert gone is not None
        assert sorted(gone.contacts) == [ALICE, BOB]
        with pytest.raises(Conflict, match="everybody"):
            await groups.join(desk, "all", [EVE])
        assert await groups.listed(desk) == [groups.Group("all", "One", "one.org", 2)]


async def test_whoever_has_a_tag(database: Database) -> None:
    """A group of a tag: one row for each who has it, and all see one another at once; a tag without a group shows nobody anything."""
    async with people(database) as world:
        desk = desk_of(world)
        assert await tags.give(desk, "staff", [ALICE]) == [ALICE]
        await world.rest()
        assert pushes(world.take(), ALICE) == []
        assert await groups.put(desk, "ours", "Ours", tag="staff")
        assert await tags.give(desk, "staff", [ALICE, BOB]) == [BOB]
        await world.rest()
        items = world.take()
        assert pushes(items, ALICE) == [item(BOB, "Ours")]
        assert pushes(items, BOB) == [item(ALICE, "Ours")]
        assert await groups.listed(desk) == [groups.Group("ours", "Ours", "", 2, "staff")]
        assert await tags.listed(desk) == [tags.Tag("staff", 2)]
        assert await tags.take(desk, "staff", [BOB, EVE]) == [BOB]
        await world.rest()
        assert pushes(world.take(), ALICE) == [removed(BOB)]
        for error, work in (
            (NotFound, tags.give(desk, "staff", ["ghost@one.org"])),
            (Invalid, tags.give(desk, "two words", [ALICE])),
            (Invalid, tags.give(desk, "t" * 65, [ALICE])),
            (Invalid, tags.give(desk, "staff", [])),
            (Conflict, groups.join(desk, "ours", [BOB])),
            (Conflict, groups.put(desk, "ours", tag="other")),
            (Invalid, groups.put(desk, "both", everybody="one.org", tag="staff")),
        ):
            with pytest.raises(error):
                await work


async def test_what_cannot_be_done_is_refused(database: Database) -> None:
    async with people(database, Config(limits=Limits(group_members=2))) as world:
        desk = desk_of(world)
        assert await groups.put(desk, "staff")
        assert not await groups.put(desk, "staff", "Staff")
        for error, work in (
            (NotFound, groups.join(desk, "other", [ALICE])),
            (NotFound, groups.join(desk, "staff", [ALICE, "ghost@one.org"])),
            (Invalid, groups.join(desk, "staff", [])),
            (Invalid, groups.join(desk, "staff", ["one.org"])),
            (Conflict, groups.join(desk, "staff", [ALICE, BOB, EVE])),
            (Conflict, groups.put(desk, "staff", everybody="one.org")),
            (NotFound, groups.put(desk, "new", everybody="three.org")),
            (Invalid, groups.put(desk, "a/b")),
            (Invalid, groups.put(desk, "new", "x" * 1025)),
            (NotFound, groups.remove(desk, "other")),
            (NotFound, groups.shown(desk, "other")),
        ):
            with pytest.raises(error):
                await work
        assert (await groups.shown(desk, "staff"))[1] == []
        assert [one.name for one in await groups.listed(desk)] == ["staff"]


async def test_500_join_with_few_statements(database: Database) -> None:
    """And no row for a pair of them. One new member of a large group is some statements for each process, too."""
    names = [f"u{n}" for n in range(500)]
    sql = "INSERT INTO account (localpart, domain) SELECT l, 'one.org' FROM unnest($1::text[]) l"
    counted = Counted(database)
    async with people(counted) as world:
        await database.run(0, lambda conn: conn.execute(sql, names))
        desk = Silent(world.worker, "tester")
        await groups.put(desk, "staff")
        jids = [f"{name}@one.org" for name in names]
        before = counted.mine
        assert len(await groups.join(desk, "staff", jids)) == 500
        assert counted.mine - before < 5
        assert len(desk.posts) <= 256 + 1
        sql = "SELECT (SELECT count(*) FROM roster_item) + (SELECT count(*) FROM roster_group_member)"
        assert await database.run(0, lambda conn: conn.fetchval(sql)) == 500
        found = await database.run(0, lambda conn: roster_store.get(conn, jids[0], None))
        assert found is not None
        assert len([one for one in found.items if one.subscription == "both"]) == 499
        counted.statements = 0
        await groups.join(desk_of(world), "staff", [ALICE])
        await world.rest()
        assert counted.statements < 10
        assert len(pushes(world.take(), ALICE)) == 500
