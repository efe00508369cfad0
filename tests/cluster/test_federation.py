"""Two clusters that speak with each other: messages, subscriptions, presence, requests; and nothing lost when processes are killed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
from tests.cluster.federated import CLIENT, Lab, chat, heard
from tests.stories.client import Client

ONE, TWO = "one.example", "two.example"
Pair = tuple[Client, Client]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab((ONE, TWO)) as made:
        for domain in (ONE, TWO):
            made.cluster(domain, workers=2 if domain == ONE else 1)
        yield made


@pytest.fixture
async def pair(lab: Lab, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """A user of each cluster, available, with names of this test."""
    name = re.sub(r"[^a-z]", "", request.node.name)
    clients = []
    for domain in (ONE, TWO):
        [account] = lab.clusters[domain].import_users([(name, domain)])
        client = await lab.client(domain, account)
        await client.request("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        await client.send("<presence/>")
        await client.receive()
        clients.append(client)
    yield clients[0], clients[1]
    for client in clients:
        await client.drop()


def bare(client: Client) -> str:
    return client.jid.partition("/")[0]


async def test_messages_both_ways_in_order(pair: Pair) -> None:
    alice, bob = pair
    for sender, receiver in ((alice, bob), (bob, alice)):
        for n in range(20):
            await sender.send(chat(bare(receiver), f"m{n}"))
        assert [m.get("id") for m in await heard(receiver, 20)] == [f"m{n}" for n in range(20)]


async def test_a_subscription_and_presence_both_ways(pair: Pair) -> None:
    """RFC 6121 sections 3.1, 3.3, 4.2 to 4.5 with one side at another server."""
    alice, bob = pair
    await alice.send(f"<presence to='{bare(bob)}' type='subscribe'/>")
    [asked] = await heard(bob, 1, "presence")
    assert (asked.get("type"), asked.get("from")) == ("subscribe", bare(alice))
    await bob.send(f"<presence to='{bare(alice)}' type='subscribed'/>")
    got = await heard(alice, 2, "presence")
    # (the answer waits for the commit of the roster, presence does not)
    assert {(p.get("type"), p.get("from")) for p in got} == {("subscribed", bare(bob)), (None, bob.jid)}
    await bob.send(f"<presence to='{bare(alice)}' type='subscribe'/>")
    assert (await heard(alice, 1, "presence"))[0].get("type") == "subscribe"
    await alice.send(f"<presence to='{bare(bob)}' type='subscribed'/>")
    got = await heard(bob, 2, "presence")
    assert {(p.get("type"), p.get("from")) for p in got} == {("subscribed", bare(alice)), (None, alice.jid)}
    # A broadcast, the own one comes back too.
    await bob.send("<presence><show>away</show></presence>")
    [away] = await heard(alice, 1, "presence")
    assert away.findtext(f"{CLIENT}show") == "away"
    await heard(bob, 1, "presence")
    await bob.send("<presence type='unavailable'/>")
    assert (await heard(alice, 1, "presence"))[0].get("type") == "unavailable"
    # Back again: a probe tells what the contact is now.
    await bob.send("<presence/>")
    got = await heard(bob, 3, "presence")  # (two are his own: gone, and back)
    assert alice.jid in {p.get("from") for p in got}
    await heard(alice, 1, "presence")
    await alice.send(f"<presence to='{bare(bob)}' type='unsubscribe'/>")
    types = {p.get("type") for p in await heard(alice, 1, "presence")}
    assert types == {"unavailable"}


async def test_requests_reach_users_and_servers(pair: Pair) -> None:
    alice, bob = pair
    info = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    answer = await alice.request(f"<iq type='get' to='{TWO}' id='d'>{info}</iq>")
    assert answer.get("type") == "result"
    answer = await alice.request(f"<iq type='get' to='{TWO}' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert answer.get("type") == "result"
    async with trio.open_nursery() as nursery:

        async def answers() -> None:
            [iq] = await heard(bob, 1, "iq")
            await bob.send(f"<iq type='result' to='{iq.get('from')}' id='{iq.get('id')}'/>")

        nursery.start_soon(answers)
        answer = await alice.request(f"<iq type='get' to='{bob.jid}' id='u'><q xmlns='urn:example'/></iq>")
    assert (answer.get("type"), answer.get("from")) == ("result", bob.jid)
    answer = await alice.request(f"<iq type='set' to='{TWO}' id='r'><query xmlns='jabber:iq:register'/></iq>")
    assert answer.get("type") == "error"


async def test_the_echo_of_another_server(pair: Pair) -> None:
    alice, _ = pair
    for domain in (TWO, ONE):
        await alice.send(chat(f"{domain}/echo", "hello"))
        [answer] = await heard(alice, 1)
        assert (answer.get("from"), answer.findtext(f"{CLIENT}body")) == (f"{domain}/echo", "hello")


async def test_unknown_users_and_servers_come_back(pair: Pair) -> None:
    alice, _ = pair
    await alice.send(chat(f"nobody@{TWO}", "x"))
    [error] = await heard(alice, 1)
    assert (error.get("type"), error.get("from"), error.get("id")) == ("error", f"nobody@{TWO}", "x")


async def test_what_was_accepted_arrives_once_while_workers_are_killed(lab: Lab, pair: Pair) -> None:
    """SIGKILL of the holder of the remote domain, of both sides' workers: counted by the receiver."""
    alice, bob = pair
    total = 150
    got: list[str] = []

    async def receive() -> None:
        while len(set(got)) < total:
            stanza = await bob.receive(60)
            if stanza.tag == f"{CLIENT}message":
                got.append(stanza.get("id") or "")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        for n in range(total):
            await alice.send(chat(bare(bob), f"k{n:03}"))
            if n in (40, 80):
                cluster = lab.clusters[ONE]
                victim = cluster.pids("s2s")[0]
                await trio.to_thread.run_sync(cluster.kill, victim)
            if n == 110:
                cluster = lab.clusters[TWO]
                await trio.to_thread.run_sync(cluster.kill, cluster.pids("s2s")[0])
            await trio.sleep(0.02)
        with trio.fail_after(90):
            while len(set(got)) < total:  # noqa: ASYNC110  the other task counts
                await trio.sleep(0.05)
    assert sorted(set(got)) == [f"k{n:03}" for n in range(total)]
    # Order of first arrivals; repetitions can only be of what was not acknowledged when a process died.
    assert list(dict.fromkeys(got)) == sorted(set(got))


async def test_what_waits_is_listed_and_goes_back_when_dropped(lab: Lab, pair: Pair) -> None:
    alice, bob = pair
    await alice.send(chat(bare(bob), "arrives"))
    await heard(bob, 1)
    await alice.send(chat("x@away.example", "lost"))
    with trio.fail_after(60):
        error = (await heard(alice, 1, seconds=60))[0]
    assert error.get("type") == "error"
    shown = lab.clusters[ONE].cli("s2s", "list", "--all").stdout
    assert "away.example" in shown
    assert TWO in shown
