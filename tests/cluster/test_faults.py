"""SIGKILL and SIGSTOP of each kind of process under chat, small; `python -m tests.cluster.faults` is the large version."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import trio
from tests.cluster.faults import strike
from tests.cluster.harness import Cluster
from tests.cluster.people import People, bare

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(240)]

PAIRS = 10
#: Seconds in which a killed process must be taken over; a busy test machine gets as much again.
TAKEOVER = 10.0


@pytest.fixture(scope="module")
def fragile() -> Iterator[Cluster]:
    """A cluster that tests may break; it has to mend itself between them."""
    with Cluster() as running:
        yield running


@pytest.fixture(autouse=True)
def whole(fragile: Cluster) -> None:
    """The test before may have killed something: clients are to find two of each."""
    for kind in ("edge", "router", "roster"):
        fragile.until(lambda kind=kind: len(fragile.pids(kind)) == 2, f"two of {kind}")


@pytest.mark.parametrize("kind", ["router", "roster", "nats", "postgres"])
async def test_nothing_is_lost_when_a_process_is_killed(fragile: Cluster, kind: str) -> None:
    replaced, found = await strike(fragile, kind, pairs=PAIRS, interval=0.2, before=1.0, after=6.0)
    assert replaced < TAKEOVER
    assert found.sent > 100
    assert (found.lost, found.duplicated, found.reordered, found.bounced) == (0, 0, 0, 0)
    assert (found.reconnects, found.unanswered) == (0, 0)
    assert found.worst_message < TAKEOVER
    assert found.worst_answer < 35


async def test_other_edges_do_not_notice_a_killed_edge(fragile: Cluster) -> None:
    replaced, found = await strike(fragile, "edge", pairs=PAIRS, interval=0.2, before=1.0, after=6.0)
    assert replaced < TAKEOVER
    # Each pair has one client on each of the two edges: half of the clients lose their stream, once.
    assert found.reconnects == PAIRS
    assert found.sent > 100
    assert found.reordered == 0
    assert found.unanswered == 0
    assert (
        found.lost + found.duplicated <= PAIRS
    )  # what was on its way to a client that had no stream management
    assert found.worst_answer < 35


@pytest.mark.parametrize("kind", ["router", "roster"])
async def test_a_paused_holder_is_deposed(fragile: Cluster, kind: str) -> None:
    _, found = await strike(fragile, kind, pairs=PAIRS, interval=0.2, before=1.0, after=14.0, pause=8.0)
    assert (found.lost, found.duplicated, found.reordered, found.bounced) == (0, 0, 0, 0)
    assert (found.reconnects, found.unanswered) == (0, 0)
    assert found.worst_message < 2 * TAKEOVER
    fragile.until(lambda: len(fragile.pids(kind)) == 2, "two of them again")


async def test_requests_are_answered_while_all_workers_are_dead(fragile: Cluster) -> None:
    people = People(fragile, iter(fragile.add_users(4)))
    try:
        client = await people.online()
        stopped = fragile.pids("roster")
        for pid in stopped:
            fragile.send_signal(pid, signal.SIGSTOP)
        try:
            began = trio.current_time()
            answer = await client.request("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", 40)
            assert answer.get("type") in ("error", "result")
            assert trio.current_time() - began < 33
            assert (await client.ping()).get("type") == "result"
        finally:
            for pid in stopped:
                fragile.send_signal(pid, signal.SIGCONT)
    finally:
        await people.leave()

    def served() -> bool:
        return len(fragile.pids("roster")) == 2

    fragile.until(served, "the workers to come back")


@pytest.mark.parametrize("routers", [False, True], ids=["edge", "edge-and-routers"])
async def test_contacts_learn_that_a_killed_edge_took_a_session(fragile: Cluster, routers: bool) -> None:
    """With the routers both copies of the session are gone at once: then the presence worker is the only one that knows of it."""
    people = People(fragile, iter(fragile.add_users(4)))
    try:
        one, other = await people.bound(), await people.bound()  # on different edges
        await one.send(f"<presence to='{bare(other)}' type='subscribe'/>")
        await one.ping(bare(other))
        await other.send(f"<presence to='{bare(one)}' type='subscribed'/>")
        for client in (one, other):
            await client.send("<presence/>")
            await client.ping()
        with trio.fail_after(20):
            while (await one.receive()).get("from") != other.jid:
                pass
        ports = [one.endpoint.port, other.endpoint.port]
        assert ports[0] != ports[1]
        pid = next(p["pid"] for p in fragile.processes("edge") if p["ports"]["c2s"] == other.endpoint.port)
        began = trio.current_time()
        killed = fragile.pids("router") if routers else []
        for each in (pid, *killed):
            fragile.kill(each)
        await other.wait_end()
        with trio.fail_after(60):
            while True:
                node = await one.receive(60.0)
                if node.get("from") == other.jid and node.get("type") == "unavailable":
                    break
        assert trio.current_time() - began < (60 if routers else TAKEOVER)
        assert (await one.ping()).get("type") == "result"
        await trio.to_thread.run_sync(fragile.wait_replaced, "edge", pid)
    finally:
        await people.leave()
