"""Streams go on at another edge: after SIGKILL of theirs, after a drain, after a takeover, and while the old one is still open."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from functools import partial

import pytest
import trio
from tests.cluster.harness import Cluster
from tests.cluster.managed import Device, Refused
from tests.stories.client import Client, Endpoint, StreamEndError

CLIENTS = 20
DOMAIN = "localhost"
SM = "urn:xmpp:sm:3"
_names = itertools.count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two edges and two routers that this module breaks."""
    with Cluster(
        environment={"ROOKERY_EDGE__ALLOW_PLAINTEXT": "true", "ROOKERY_EDGE__HOST": "127.0.0.1"}
    ) as running:
        yield running


def ports(cluster: Cluster) -> list[tuple[int, int]]:
    """(process id, plain port) of each edge."""
    return [(edge["pid"], edge["ports"]["c2s"]) for edge in cluster.processes("edge")]


async def settled(cluster: Cluster) -> None:
    """Wait until both edges, and what the last test broke, are there again."""
    with trio.fail_after(30):
        while not await answers(ports(cluster)):  # noqa: ASYNC110  other processes change it
            await trio.sleep(0.2)
    await trio.sleep(0.5)


async def answers(edges: list[tuple[int, int]]) -> bool:
    """Whether two edges let clients in. A new one has another port."""
    try:
        for _, port in edges:
            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
    except OSError:
        return False
    return len(edges) == 2


async def devices(cluster: Cluster, count: int, port: int) -> list[Device]:
    """Managed sessions at one edge, available."""
    accounts = await trio.to_thread.run_sync(cluster.add_users, count)
    made = [Device(*account) for account in accounts]
    for one in made:
        await one.login(port)
        await one.send("<presence/>")
        await one.pump(partial(one.has, 1))
    return made


async def test_everybody_goes_on_elsewhere_when_their_edge_is_killed(cluster: Cluster) -> None:
    await settled(cluster)
    (pid, port), (_, other) = ports(cluster)
    people = await devices(cluster, CLIENTS, port)
    sent: dict[str, list[str]] = {one.bare: [] for one in people}

    async def talk(index: int, rounds: int) -> None:
        one = people[index]
        to = people[index ^ 1]
        for _ in range(rounds):
            body = f"m{next(_names)}"
            sent[to.bare].append(body)
            await one.chat(to.bare, body)
            await one.idle(0.005)

    async def live(index: int) -> None:
        one = people[index]
        try:
            await talk(index, 30)
            await one.idle(30)
        except (EOFError, OSError, trio.BrokenResourceError):
            pass
        one.cut()
        # A message that was not written yet is part of what is sent again.
        await one.resume(other)
        await talk(index, 10)
        await one.pump(lambda: not one.queue and len(one.bodies) >= len(sent[one.bare]))

    async with trio.open_nursery() as nursery:
        for index in range(CLIENTS):
            nursery.start_soon(live, index)
        await trio.sleep(0.25)
        cluster.kill(pid)
    for one in people:
        await one.idle(0.2)
        assert one.bodies == sent[one.bare], (one.bare, one.bodies, sent[one.bare])
        assert not one.queue
        one.cut()


async def test_a_drained_edge_lets_managed_clients_go_on_elsewhere(cluster: Cluster) -> None:
    await settled(cluster)
    (pid, port), (_, other) = ports(cluster)
    first, second = await devices(cluster, 2, port)
    cluster.send_signal(pid, signal.SIGTERM)
    for one in (first, second):
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await one.pump(lambda: False, 30)
        assert not one.errors  # neither a stream error nor the end of the stream
    await first.resume(other)
    await first.chat(second.bare, "while you slept")
    await first.pump(lambda: not first.queue)
    await second.resume(other)
    await second.pump(lambda: second.bodies == ["while you slept"])


async def test_a_sleeping_session_survives_its_router(cluster: Cluster) -> None:
    await settled(cluster)
    (_, port), (_, other) = ports(cluster)
    first, second = await devices(cluster, 2, port)
    second.cut()
    await first.chat(second.bare, "one")
    await first.pump(lambda: not first.queue)
    await first.idle(2.0)  # the row is written
    await first.chat(second.bare, "two")
    await first.pump(lambda: not first.queue)
    for pid in cluster.pids("router"):
        cluster.kill(pid)
    await first.idle(6.0)
    for attempt in range(10):
        try:
            await second.resume(other)
            break
        except (Refused, EOFError):
            assert attempt < 9
            await trio.sleep(1)
    await second.pump(lambda: len(second.bodies) >= 2, 30)
    await second.idle(0.5)
    assert second.bodies == ["one", "two"]
    await first.chat(second.bare, "three")
    await second.pump(lambda: second.bodies[2:] == ["three"])


async def test_the_old_connection_ends_with_conflict(cluster: Cluster) -> None:
    await settled(cluster)
    (_, port), (_, other) = ports(cluster)
    (one,) = await devices(cluster, 1, port)
    old, one.stream = one.stream, None
    assert old is not None
    await one.resume(other)
    seen = b""
    with trio.fail_after(10):
        while data := bytes(await old.receive_some(4096)):
            seen += data
    assert b"<conflict" in seen
    await one.chat(one.bare, "still here")
    await one.pump(lambda: one.bodies == ["still here"] and not one.queue)


async def test_one_of_many_resumptions_wins(cluster: Cluster) -> None:
    await settled(cluster)
    (_, port), (_, other) = ports(cluster)
    (one,) = await devices(cluster, 1, port)
    one.cut()
    rivals = []
    for _ in range(8):
        rival = Device("x", "x")
        rival.__dict__.update({**one.__dict__, "queue": one.queue.copy(), "bodies": []})
        rivals.append(rival)
    alive = []

    async def race(rival: Device, at: int) -> None:
        try:
            await rival.resume(at)
            await rival.idle(2)
            alive.append(rival)
        except (Refused, EOFError, trio.BrokenResourceError):
            pass

    async with trio.open_nursery() as nursery:
        for number, rival in enumerate(rivals):
            nursery.start_soon(race, rival, (port, other)[number % 2])
    assert len(alive) == 1
    await alive[0].chat(one.bare, "winner")
    await alive[0].pump(lambda: alive[0].bodies == ["winner"])


async def test_nobody_resumes_what_is_not_theirs(cluster: Cluster) -> None:
    await settled(cluster)
    (_, port), _ = ports(cluster)
    victim, thief = await devices(cluster, 2, port)
    thief.cut()
    for token in (victim.token, victim.token[:-1], "x", "A" * 32, victim.token.upper()):
        with pytest.raises(Refused, match="item-not-found"):
            await thief.resume(port, token=token)
        thief.cut()
    await thief.resume(port)
    await thief.chat(victim.bare, "hello")
    await victim.pump(lambda: victim.bodies == ["hello"])


async def ended(client: Client) -> None:
    """Wait until the client knows that its session is over."""
    with trio.fail_after(20):
        try:
            while True:
                await client.send("<presence/>")
                await client.receive()
        except StreamEndError:
            pass


async def test_a_stream_over_bosh_goes_on_when_its_edge_is_killed(cluster: Cluster) -> None:
    """Its requests go to both edges in turn; then the one with the session is gone, and the other knows that."""
    await settled(cluster)
    (pid, _), (_, other) = ports(cluster)
    (user, password), sending = await trio.to_thread.run_sync(cluster.add_users, 2)
    bare = f"{user}@{DOMAIN}"
    http = {edge["pid"]: edge["ports"]["http"] for edge in cluster.processes("edge")}
    ends = [
        Endpoint("127.0.0.1", http[pid], "bosh", others=tuple(set(http.values()) - {http[pid]})),
        Endpoint("127.0.0.1", next(iter(set(http.values()) - {http[pid]})), "bosh"),
    ]
    first = Client(ends[0], DOMAIN)
    await first.login(user, password)
    await first.send_raw(f"<enable xmlns='{SM}' resume='true'/>")
    enabled = await first.receive()
    assert enabled.tag == f"{{{SM}}}enabled"
    await first.send("<presence/>")
    await first.receive()
    sender = Device(*sending)
    await sender.login(other)
    os.kill(pid, signal.SIGKILL)
    await sender.chat(bare, "while you were away")
    await ended(first)
    second = Client(ends[1], DOMAIN)
    await second.connect()
    await second.authenticate(user, password)
    await second.send_raw(f"<resume xmlns='{SM}' previd='{enabled.get('id')}' h='0'/>")
    with trio.fail_after(20):
        while (found := await second.receive()).tag != "{jabber:client}message":
            assert "failed" not in found.tag, found.attrib
    assert found.findtext("{jabber:client}body") == "while you were away"
