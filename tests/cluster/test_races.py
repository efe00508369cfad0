"""Things that happen at the same moment: each message must come exactly once, whichever came first."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
import trio
from tests.cluster.harness import Cluster
from tests.cluster.people import People, bare
from tests.stories.client import Client, LoginError

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(240)]

ROUNDS = 30
AT_ONCE = 5


async def _in_rounds(race: Callable[[], Awaitable[str]]) -> Counter[str]:
    """Run a race many times, a few at once, and count how it ended."""
    ends: Counter[str] = Counter()
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one() -> None:
        async with limit:
            ends[await race()] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(ROUNDS):
            nursery.start_soon(one)
    return ends


def _messages(client: Client) -> int:
    return sum(node.tag == "{jabber:client}message" and node.get("type") == "chat" for node in client.inbox)


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.003])
async def test_a_message_meets_the_first_presence(people: People, delay: float) -> None:
    async def race() -> str:
        account = people.account()
        sender, receiver = await people.bound(), await people.bound(account)
        await sender.send(f"<message to='{bare(receiver)}' type='chat' id='m'><body>x</body></message>")
        await trio.sleep(delay)
        await receiver.send("<presence/>")
        await sender.ping()
        return await _count(people, account, [receiver])

    assert await _in_rounds(race) == {"1": ROUNDS}


async def test_a_message_meets_the_last_presence(people: People) -> None:
    async def race() -> str:
        account = people.account()
        sender, receiver = await people.bound(), await people.online(account)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receiver.send, "<presence type='unavailable'/>")
            nursery.start_soon(
                sender.send, f"<message to='{bare(receiver)}' type='chat' id='m'><body>x</body></message>"
            )
        await sender.ping()
        return await _count(people, account, [receiver])

    assert await _in_rounds(race) == {"1": ROUNDS}


async def test_many_messages_meet_two_resources_that_come(people: People) -> None:
    async def race() -> str:
        account = people.account()
        sender = await people.bound()
        first, second = await people.bound(account), await people.bound(account)
        for number in range(10):
            text = f"<message to='{account[0]}@localhost' type='chat' id='{number}'><body>x</body></message>"
            await sender.send(text)
            if number == 3:
                await first.send("<presence><priority>1</priority></presence>")
            if number == 6:
                await second.send("<presence><priority>1</priority></presence>")
        await sender.ping()
        clients = [first, second]
        await _drain(people, account, clients)
        # Live messages go to both resources of equal priority, kept ones to one: each at least once, at none twice.
        for client in clients:
            ids = Counter(node.get("id") for node in client.inbox if node.tag == "{jabber:client}message")
            if any(count > 1 for count in ids.values()):
                return f"twice: {ids}"
        seen = {node.get("id") for client in clients for node in client.inbox}
        missing = {str(number) for number in range(10)} - seen
        return f"missing: {sorted(missing)}" if missing else "each"

    assert await _in_rounds(race) == {"each": ROUNDS}


async def test_kept_messages_come_once_while_partitions_move() -> None:
    """Routers end in order, one after the other: their partitions move while messages are kept and fetched."""
    with Cluster() as cluster:
        people = People(cluster, iter(cluster.add_users(4 * ROUNDS)))
        ends: Counter[str] = Counter()

        async def race() -> str:
            account = people.account()
            sender, receiver = await _patient(people, people.account()), await _patient(people, account)
            await sender.send(f"<message to='{bare(receiver)}' type='chat' id='m'><body>x</body></message>")
            await receiver.send("<presence/>")
            await sender.ping()
            return await _count(people, account, [receiver])

        async def move(scope: trio.CancelScope) -> None:
            with scope:
                while True:
                    pid = cluster.pids("router")[0]
                    cluster.send_signal(pid, signal.SIGTERM)
                    await trio.to_thread.run_sync(cluster.wait_replaced, "router", pid)
                    await trio.sleep(1)

        try:
            async with trio.open_nursery() as nursery:
                scope = trio.CancelScope()
                nursery.start_soon(move, scope)
                ends = await _in_rounds(race)
                scope.cancel()
        finally:
            await people.leave()
    assert ends == {"1": ROUNDS}


async def _patient(people: People, account: tuple[str, str]) -> Client:
    """A client that binds, and does as it is told while its partition has no holder: it tries again."""
    with trio.fail_after(60):
        while True:
            try:
                return await people.bound(account)
            except LoginError as error:
                if "resource-constraint" not in str(error):
                    raise


async def _drain(people: People, account: tuple[str, str], clients: list[Client]) -> None:
    """Wait until nothing is on its way to these clients, then log in once more for what is still kept."""
    witness = await _patient(people, people.account())
    address = f"{account[0]}@localhost"
    for _ in range(4):
        await witness.request(f"<iq type='get' id='w' to='{address}'><query xmlns='jabber:iq:last'/></iq>")
        for client in clients:
            await client.ping()
        await trio.sleep(0.05)
    for client in clients:
        await client.send("<presence type='unavailable'/>")
        await client.ping()
    late = await _patient(people, account)
    await late.send("<presence/>")
    await late.receive()
    for _ in range(3):
        await late.ping()
        await trio.sleep(0.05)
    clients.append(late)


async def _count(people: People, account: tuple[str, str], clients: list[Client]) -> str:
    await _drain(people, account, clients)
    return str(sum(_messages(client) for client in clients))
