"""Rooms over a worker, a router and an edge that are killed: nothing lost, nothing twice, one order for all, and nobody rejoins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import pytest
import trio
from tests.cluster.harness import Cluster
from tests.cluster.managed import Device

ROOMS = ("red@conference.localhost", "blue@conference.localhost")
#: Messages of each client in each of the rounds between two kills.
ROUND = 15
#: An answer takes no longer than a takeover and the 15 s after which what got lost on the way is sent again.
LIMIT = 40.0
_FROM = re.compile(rb" from=['\"]([^'\"]+)['\"]")
_BODY = re.compile(rb"<body>(.*?)</body>")


class Occupant(Device):
    """A device in one room. `told` are the room's messages in order, `left` what a room says to who is not in any more."""

    def __init__(self, user: str, password: str, room: str) -> None:
        super().__init__(user, password)
        self.user = user
        self.room = room
        self.said: list[str] = []
        self.told: list[str] = []
        self.left: list[bytes] = []
        self.inside = False

    def stanza(self, data: bytes) -> None:
        """Keep what the room says."""
        sender = _FROM.search(data)
        if sender is None or not sender[1].startswith(self.room.encode()):
            return
        if data.startswith(b"<message") and (body := _BODY.search(data)) is not None:
            self.told.append(body[1].decode())
        if b"unavailable" in data or b"'error'" in data or b"code='332'" in data or b"code='333'" in data:
            self.left.append(data)
        self.inside = self.inside or b"code='110'" in data

    async def enter(self) -> None:
        await self.send(
            f"<presence to='{self.room}/{self.user}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        )
        await self.pump(lambda: self.inside, LIMIT)

    async def speak(self, count: int) -> None:
        """Say so much, at a pace, and hear meanwhile."""
        for _ in range(count):
            body = f"{self.user}-{len(self.said)}"
            self.said.append(body)
            await self.send(f"<message to='{self.room}' type='groupchat'><body>{body}</body></message>")
            await self.idle(0.02)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two of each kind, which this module breaks."""
    with Cluster(
        domains=("localhost",),
        environment={"ROOKERY_EDGE__ALLOW_PLAINTEXT": "true", "ROOKERY_EDGE__HOST": "127.0.0.1"},
    ) as running:
        yield running


@pytest.mark.timeout(180)
async def test_nobody_in_a_room_notices_that_processes_are_killed(cluster: Cluster) -> None:
    edges = [edge["ports"]["c2s"] for edge in cluster.processes("edge")]
    accounts = await trio.to_thread.run_sync(cluster.add_users, 4)
    # Two at each edge, one of them in each room: every room has occupants at both.
    people = [Occupant(*account, ROOMS[i // 2]) for i, account in enumerate(accounts)]
    for index, one in enumerate(people):
        await one.login(edges[index % 2])
        await one.enter()
        if index % 2 == 0:
            await one.send(
                f"<iq type='set' id='open' to='{one.room}'><query xmlns='http://jabber.org/protocol/muc#owner'>"
                "<x xmlns='jabber:x:data' type='submit'/></query></iq>"
            )
            await one.pump(lambda one=one: bool(one.answers), LIMIT)  # type: ignore[misc]

    async def everybody(what: str) -> None:
        """All speak while `what` is killed, and hear all."""
        async with trio.open_nursery() as nursery:
            for one in people:
                nursery.start_soon(one.speak, ROUND)
            await trio.sleep(0.1)
            cluster.kill(cluster.pids(what)[0])
        async with trio.open_nursery() as nursery:
            for one in people:
                wanted = sum(len(other.said) for other in people if other.room == one.room)
                nursery.start_soon(one.pump, partial(_heard, one, wanted), LIMIT)

    for what in ("muc", "router", "muc"):
        await everybody(what)
    # The sessions of a killed edge go on at the other one, still in their rooms.
    cluster.kill(cluster.pids("edge")[0])
    for one in people[::2]:
        one.cut()
        await one.resume(edges[1])
    for one in people:
        await one.speak(ROUND)
    for one in people:
        await one.pump(partial(_heard, one, 2 * 4 * ROUND), LIMIT)
    for one in people:
        await one.idle(0.3)
        assert not one.left, one.left
        assert len(set(one.told)) == len(one.told) == 2 * 4 * ROUND
        for other in people:
            if other.room == one.room:
                assert one.told == other.told
                assert [body for body in one.told if body in other.said] == other.said
        one.cut()


def _heard(one: Occupant, wanted: int) -> bool:
    return len(one.told) >= wanted
