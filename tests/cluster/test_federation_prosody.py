"""A whole cluster and a real Prosody: what users of the two do with each other, and nothing lost when either is killed.

Both have certificates of one authority. Prosody finds the cluster by DNS, the cluster finds Prosody by routes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
import trio
from tests.cluster.federated import CLIENT, Lab, chat, heard
from tests.cluster.theirs import OUR_ROOMS, OURS, THEIR_ROOMS, THEIRS, TheirProsody, Theirs, between
from tests.contracts.s2s_peers import need_prosody
from tests.stories.client import Client, Endpoint

NS_INFO: Final = "http://jabber.org/protocol/disco#info"


class World:
    """The cluster and the other server, and users of both."""

    def __init__(self, lab: Lab, theirs: Theirs) -> None:
        self.lab = lab
        self.theirs = theirs

    async def up(self) -> None:
        """Wait until clients can connect to the other server."""
        with trio.fail_after(40):
            while True:
                try:
                    await (await trio.open_tcp_stream("127.0.0.1", self.theirs.c2s)).aclose()
                    return
                except OSError:
                    assert self.theirs.lives(), self.theirs.output()
                    await trio.sleep(0.1)

    def accounts(self, name: str) -> None:
        """An account of this name on both servers; the password there is the name."""
        self.passwords = dict(self.lab.clusters[OURS].import_users([(name, OURS)]))
        self.theirs.account(name)

    async def ours(self, name: str) -> Client:
        """A user of the cluster, bound."""
        return await self.lab.client(OURS, (name, self.passwords[name]))

    async def other(self, name: str) -> Client:
        """A user of the other server, bound."""
        client = Client(Endpoint("127.0.0.1", self.theirs.c2s, "plain"), THEIRS)
        await client.login(name, name, "r")
        return client


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    need_prosody()
    with between(TheirProsody) as (lab, theirs):
        yield World(lab, theirs)


@pytest.fixture
async def world(running: World, request: pytest.FixtureRequest) -> World:
    """With accounts of this test's name."""
    await running.up()
    await trio.to_thread.run_sync(running.accounts, _name(request.node.name))
    return running


def _name(test: str) -> str:
    return re.sub(r"[^a-z]", "", test)[-20:]


@asynccontextmanager
async def pair(world: World, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Client, Client]]:
    """A user of each, available."""
    name = _name(request.node.name)
    alice, bob = await world.ours(name), await world.other(name)
    for client in (alice, bob):
        await client.request("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        await client.send("<presence/>")
        await heard(client, 1, "presence")
    try:
        yield alice, bob
    finally:
        for client in (alice, bob):
            await client.drop()


def bare(client: Client) -> str:
    return client.jid.partition("/")[0]


async def presence(client: Client, *wanted: tuple[str | None, str]) -> None:
    """Read presence until all of these (type, sender) have come, in whatever order."""
    missing = set(wanted)
    while missing:
        [one] = await heard(client, 1, "presence", 20)
        missing.discard((one.get("type"), one.get("from") or ""))


async def subscription(client: Client, contact: str) -> str | None:
    """What the roster says of a contact."""
    answer = await client.request("<iq type='get' id='again'><query xmlns='jabber:iq:roster'/></iq>")
    items = {item.get("jid"): item.get("subscription") for item in answer.iter("{jabber:iq:roster}item")}
    return items.get(contact)


async def test_messages_both_ways_in_order(world: World, request: pytest.FixtureRequest) -> None:
    async with pair(world, request) as (alice, bob):
        for sender, receiver in ((alice, bob), (bob, alice)):
            for n in range(30):
                await sender.send(chat(bare(receiver), f"m{n}"))
            assert [m.get("id") for m in await heard(receiver, 30)] == [f"m{n}" for n in range(30)]


async def test_who_is_away_gets_it_later(world: World, request: pytest.FixtureRequest) -> None:
    """Offline storage of both servers."""
    name = _name(request.node.name)
    login: dict[str, Callable[[str], object]] = {OURS: world.ours, THEIRS: world.other}
    for there, here in ((THEIRS, OURS), (OURS, THEIRS)):
        sender: Client = await login[here](name)  # type: ignore[misc]
        for n in range(5):
            await sender.send(chat(f"{name}@{there}", f"o{n}"))
        # A request behind them is answered when they are there: then they are stored, or about to be.
        await sender.ping(there)
        await trio.sleep(1)
        receiver: Client = await login[there](name)  # type: ignore[misc]
        await receiver.send("<presence/>")
        got = await heard(receiver, 5)
        assert [m.get("id") for m in got] == [f"o{n}" for n in range(5)]
        assert all(m.find("{urn:xmpp:delay}delay") is not None for m in got)
        await sender.drop()
        await receiver.drop()


@pytest.mark.parametrize("initiator", ["here", "there"])
async def test_a_subscription(world: World, request: pytest.FixtureRequest, initiator: str) -> None:
    """RFC 6121 section 3 with either side asking, presence both ways, and what both rosters say."""
    async with pair(world, request) as clients:
        one, two = clients if initiator == "here" else reversed(clients)
        for asks, says in ((one, two), (two, one)):
            await asks.send(f"<presence to='{bare(says)}' type='subscribe'/>")
            await presence(says, ("subscribe", bare(asks)))
            await says.send(f"<presence to='{bare(asks)}' type='subscribed'/>")
            await presence(asks, ("subscribed", bare(says)), (None, says.jid))
        assert [await subscription(a, bare(b)) for a, b in ((one, two), (two, one))] == ["both", "both"]
        for changes, watches in ((one, two), (two, one)):
            await changes.send("<presence type='unavailable'/>")
            await presence(watches, ("unavailable", changes.jid))
            await changes.send("<presence><show>away</show></presence>")
            # The watcher hears it, and a probe tells the one who is back what the watcher is.
            await presence(watches, (None, changes.jid))
            await presence(changes, (None, watches.jid))
        await one.send(f"<presence to='{bare(two)}' type='unsubscribe'/>")
        await presence(two, ("unsubscribe", bare(one)))
        if (
            initiator == "there"
        ):  # Prosody does not tell the leaver that it hears no more (RFC 6121 section 3.3.3)
            await presence(one, ("unavailable", two.jid))
        assert [await subscription(a, bare(b)) for a, b in ((one, two), (two, one))] == ["from", "to"]


async def test_requests_to_servers_and_users(world: World, request: pytest.FixtureRequest) -> None:
    """Disco, vCards, and a request from one session to another."""
    async with pair(world, request) as clients:
        for asks, other in (clients, clients[::-1]):
            domain = other.domain
            answer = await asks.request(
                f"<iq type='get' to='{domain}' id='i'><query xmlns='{NS_INFO}'/></iq>", 20
            )
            assert answer.find(f"{{{NS_INFO}}}query/{{{NS_INFO}}}identity") is not None
            name = f"<vCard xmlns='vcard-temp'><FN>{domain}</FN></vCard>"
            assert (await other.request(f"<iq type='set' id='s'>{name}</iq>")).get("type") == "result"
            answer = await asks.request(
                f"<iq type='get' to='{bare(other)}' id='v'><vCard xmlns='vcard-temp'/></iq>"
            )
            assert answer.findtext("{vcard-temp}vCard/{vcard-temp}FN") == domain
            await asks.send(f"<iq type='get' to='{other.jid}' id='u'><q xmlns='urn:example'/></iq>")
            [asked] = await heard(other, 1, "iq")
            await other.send(f"<iq type='result' to='{asked.get('from')}' id='{asked.get('id')}'/>")
            assert (await asks.answer("u")).get("from") == other.jid


@pytest.mark.parametrize("rooms", [OUR_ROOMS, THEIR_ROOMS])
async def test_rooms_of_either(world: World, request: pytest.FixtureRequest, rooms: str) -> None:
    """The owner is of the rooms' server, the guest of the other: both talk, in order, and the guest leaves."""
    async with pair(world, request) as clients:
        owner, guest = clients if rooms == OUR_ROOMS else reversed(clients)
        room = f"{_name(request.node.name)}@{rooms}"
        join = "<presence to='{0}/{1}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        await owner.send(join.format(room, "owner"))
        await presence(owner, (None, f"{room}/owner"))
        form = "<x xmlns='jabber:x:data' type='submit'/>"
        await owner.request(
            f"<iq type='set' to='{room}' id='c'><query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query></iq>"
        )
        await guest.send(join.format(room, "guest"))
        await presence(guest, (None, f"{room}/owner"), (None, f"{room}/guest"))
        await presence(owner, (None, f"{room}/guest"))
        for speaker in (owner, guest):
            for n in range(10):
                await speaker.send(
                    f"<message to='{room}' type='groupchat' id='g{n}'><body>g{n}</body></message>"
                )
            for listener in (owner, guest):
                said: list[str | None] = []
                while len(said) < 10:
                    [one] = await heard(listener, 1)
                    if one.find(f"{CLIENT}body") is not None:
                        said.append(one.findtext(f"{CLIENT}body"))
                assert said == [f"g{n}" for n in range(10)]
        await guest.send(f"<presence to='{room}/guest' type='unavailable'/>")
        await presence(guest, ("unavailable", f"{room}/guest"))
        await presence(owner, ("unavailable", f"{room}/guest"))


async def test_who_was_in_a_room_leaves_it_when_their_server_was_killed(
    world: World, request: pytest.FixtureRequest
) -> None:
    """No word of the guest comes from a Prosody that is killed: its stream breaks, so the guest is asked after, and is not there."""
    async with pair(world, request) as (owner, guest):
        room = f"{_name(request.node.name)}@{OUR_ROOMS}"
        join = "<presence to='{0}/{1}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        await owner.send(join.format(room, "owner"))
        await presence(owner, (None, f"{room}/owner"))
        form = "<x xmlns='jabber:x:data' type='submit'/>"
        await owner.request(
            f"<iq type='set' to='{room}' id='c'><query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query></iq>"
        )
        await guest.send(join.format(room, "guest"))
        await presence(owner, (None, f"{room}/guest"))
        await trio.to_thread.run_sync(world.theirs.kill)
        world.theirs.start()
        await world.up()
        await presence(owner, ("unavailable", f"{room}/guest"))


async def test_the_archive_has_both_directions(world: World, request: pytest.FixtureRequest) -> None:
    """XEP-0313 at our server: what went to Prosody, and what came from there."""
    async with pair(world, request) as (alice, bob):
        await alice.send(chat(bare(bob), "out"))
        await heard(bob, 1)
        await bob.send(chat(bare(alice), "in"))
        await heard(alice, 1)
        ids: list[str | None] = []
        with trio.fail_after(20):
            while len(ids) < 2:
                await alice.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
                await alice.answer("q")
                found = [node for node in alice.inbox if node.find("{urn:xmpp:mam:2}result") is not None]
                alice.inbox.clear()
                ids = [m.get("id") for node in found for m in node.iter(f"{CLIENT}message") if m is not node]
        assert ids == ["out", "in"]


async def test_who_is_blocked_is_not_heard(world: World, request: pytest.FixtureRequest) -> None:
    """XEP-0191 at our server against a user of Prosody: the message goes back, presence does not come, until it ends."""
    async with pair(world, request) as (alice, bob):
        item = f"<item jid='{bare(bob)}'/>"
        block = f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>{item}</block></iq>"
        assert (await alice.request(block)).get("type") == "result"
        await bob.send(chat(bare(alice), "no"))
        [refused] = await heard(bob, 1)
        assert (refused.get("type"), refused.get("from"), refused.get("id")) == ("error", bare(alice), "no")
        await alice.send(chat(bare(bob), "neither"))
        [refused] = await heard(alice, 1)
        assert (refused.get("type"), refused.get("id")) == ("error", "neither")
        free = f"<iq type='set' id='f'><unblock xmlns='urn:xmpp:blocking'>{item}</unblock></iq>"
        assert (await alice.request(free)).get("type") == "result"
        await bob.send(chat(bare(alice), "yes"))
        assert [m.get("id") for m in await heard(alice, 1)] == ["yes"]


async def test_nothing_is_lost_when_either_is_killed(world: World, request: pytest.FixtureRequest) -> None:
    """SIGKILL of Prosody and of our worker in mid-stream: all arrives, first arrivals in order.

    The receiver is away, so that what Prosody has acknowledged lies in its files.
    """
    name, total = _name(request.node.name), 150
    cluster = world.lab.clusters[OURS]
    alice = await world.ours(name)
    for n in range(total):
        await alice.send(chat(f"{name}@{THEIRS}", f"k{n:03}"))
        if n == 40:
            await trio.to_thread.run_sync(world.theirs.kill)
        if n == 60:
            world.theirs.start()
            await world.up()
        if n == 100:
            for pid in cluster.pids("s2s")[:1]:
                await trio.to_thread.run_sync(cluster.kill, pid)
        await trio.sleep(0.01)
    await alice.ping(timeout=60)
    with trio.fail_after(60):
        while True:
            shown = await trio.to_thread.run_sync(lambda: cluster.cli("s2s", "list").stdout)
            if "nothing waits" in shown:
                break
            await trio.sleep(0.5)
    bob = await world.other(name)
    await bob.send("<presence/>")
    await bob.ping(bob.domain)
    got: list[str] = []
    with trio.fail_after(30):
        while len(set(got)) < total:
            got += [m.get("id") or "" for m in await heard(bob, 1)]
    assert list(dict.fromkeys(got)) == [f"k{n:03}" for n in range(total)]
    await alice.drop()
    await bob.drop()
