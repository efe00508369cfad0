"""Sessions without a socket: when their rows are written and go, who is told, and when they end."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from tests.unit.router.rig import FakeDb, FakeStore, chat
from trio.testing import MockClock, wait_all_tasks_blocked

from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import Parcel
from rookery.router.accounts.resources import Resources
from rookery.router.accounts.resumable import Resumable
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.router.sessions.hibernation import BYTES_PER_SECOND, STORE_SECONDS, UNSAFE_SECONDS, Hibernation
from rookery.router.sessions.packed import unpack_session
from rookery.shared.bus.messages import End, Item, Kind, Noted, Origin
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.xmpp.stanza import Stanza

BOB = "bob@example.org"
TOKEN = b"token"


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.cluster = FakeCluster(clock=lambda: self.now)
        self.edge = self.cluster.node("edge1", Kind.EDGE)
        self.db = FakeDb(FakeStore())
        self.node = self.cluster.node("router1", Kind.ROUTER, db=self.db)  # type: ignore[arg-type]
        self.core = Core(self.node, ticks=lambda: self.now)
        self.hibernation = Hibernation(self.core)
        self.ended: list[str] = []
        self.hibernation.end = lambda part, account, session: self.ended.append(session.full)
        self.part = Part(3, 1)
        self.account = self.part.accounts[BOB] = Account(BOB, Resources("all"))
        self.account.id = 9

    def session(self, resource: str = "r", seconds: int = 60, token: bytes = TOKEN) -> Session:
        session = Session(f"{BOB}/{resource}", 7, "edge1", 4, b"stream")
        session.resumable = Resumable(token, seconds, 10, 0)
        self.account.resources.restore(session)
        return session

    def asleep(self, resource: str = "r", seconds: int = 60) -> Session:
        session = self.session(resource, seconds)
        self.hibernation.sleep(self.part, self.account, session)
        return session

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.hibernation.tick()
        await wait_all_tasks_blocked()

    def told(self) -> list[Item]:
        self.cluster.network.settle()
        items = [one[4] for one in self.edge.received]
        self.edge.received = []
        return items  # type: ignore[return-value]

    def arrived(self) -> None:
        """Everything that was posted has arrived, and its sender knows."""
        self.cluster.network.settle()
        for bus in self.cluster.network.buses.values():
            bus.tick()
        self.cluster.network.settle()

    @property
    def rows(self) -> list[str]:
        return [jid for jid, _ in self.db.sessions]


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.hibernation.run)
        yield world
        nursery.cancel_scope.cancel()


@pytest.fixture
def world() -> World:
    return World()


async def test_a_row_is_written_after_a_moment_and_then_the_former_edge_may_forget() -> None:
    async with running() as world:
        session = world.asleep()
        assert session.edge == ""
        await world.pass_time(STORE_SECONDS / 2)
        assert world.rows == []
        await world.pass_time(STORE_SECONDS)
        assert world.rows == [session.full]
        assert world.told() == [Noted(4, 7, 10, True)]
        row = world.db.sessions[session.full, 7]
        assert (row["account_id"], row["partition"], row["seconds"]) == (9, 3, 60 - 1.5 * STORE_SECONDS)
        # Nothing changes: nothing is written again, and nobody is told again.
        world.db.sessions.clear()
        await world.pass_time(10)
        assert world.rows == []
        assert world.told() == []


async def test_a_row_has_what_was_kept_with_its_uid_and_its_address() -> None:
    async with running() as world:
        session = world.asleep()
        message = Parcel(chat("", "hi", "groupchat"), Origin(b"room", 5, "muc1"), 40.0)
        session.give(message, session.full)
        await world.pass_time(1)
        row = world.db.sessions[session.full, 7]
        read = unpack_session(session.full, 7, b"stream", row["state"])
        assert read is not None
        ((n, parcel, to),) = read.kept
        assert (n, to, parcel) == (1, session.full, message._replace(origin=Origin(b"room", 5, "")))
        assert read.kept_bytes == session.kept_bytes


async def test_a_large_session_that_has_a_row_is_written_more_seldom() -> None:
    async with running() as world:
        session = world.asleep()
        await world.pass_time(1)
        session.give(
            Parcel(
                Stanza("message", "", "", "", "", "", (), (), b"x" * BYTES_PER_SECOND * 2), Origin(b"", 0, "")
            )
        )
        world.db.sessions.clear()
        world.hibernation.changed(world.part, session)
        await world.pass_time(1.5)
        assert world.rows == []
        await world.pass_time(1)
        assert world.rows == [session.full]


async def test_a_row_goes_when_the_session_goes_on() -> None:
    async with running() as world:
        session = world.asleep()
        await world.pass_time(1)
        world.told()
        # What it is sent by its edge from now on is on its way: until that has arrived, the row is the second copy.
        world.node.bus.post_to("edge1", End(4, 7, "conflict", ""))
        world.hibernation.woke(session)
        assert len(world.hibernation) == 0
        await world.pass_time(0.5)
        await world.pass_time(0.5)
        assert world.rows == [session.full]
        world.arrived()
        await world.pass_time(0.5)
        assert world.rows == []


async def test_who_is_back_before_a_row_was_due_costs_no_statement() -> None:
    async with running() as world:
        for _ in range(3):
            session = world.asleep()
            await world.pass_time(STORE_SECONDS / 2)
            world.hibernation.woke(session)
            for _ in range(3):
                world.arrived()
                await world.pass_time(1)
        assert (world.rows, world.db.forgets) == ([], 0)
        # One that had a row costs one, and its next short sleep none again.
        session = world.asleep()
        await world.pass_time(2 * STORE_SECONDS)
        for _ in range(2):
            world.hibernation.woke(session)
            for _ in range(3):
                world.arrived()
                await world.pass_time(1)
            session.edge = "edge1"
            world.hibernation.sleep(world.part, world.account, session)
        assert world.db.forgets == 1


async def test_a_session_that_sleeps_again_keeps_its_row() -> None:
    async with running() as world:
        session = world.asleep()
        await world.pass_time(1)
        world.hibernation.woke(session)
        session.edge = "edge1"
        await world.pass_time(0.1)
        world.hibernation.sleep(world.part, world.account, session)
        for _ in range(4):
            world.arrived()
            await world.pass_time(0.5)
        assert world.rows == [session.full]


async def test_what_rows_lack_is_known() -> None:
    async with running() as world:
        assert world.hibernation.unwritten() == math.inf
        slept = world.now
        session = world.asleep()
        assert world.hibernation.unwritten() == slept
        world.db.up = False
        await world.pass_time(1)
        world.hibernation.changed(world.part, session)
        assert world.hibernation.unwritten() == slept
        world.hibernation.drop(world.part)
        assert world.hibernation.unwritten() < slept
        await world.pass_time(UNSAFE_SECONDS)
        assert world.hibernation.unwritten() == math.inf


async def test_what_a_row_lacked_is_on_its_way_when_the_session_goes_on() -> None:
    async with running() as world:
        session = world.asleep()
        await world.pass_time(1)
        assert world.hibernation.unwritten() == math.inf
        moved = world.hibernation.moved
        world.hibernation.changed(world.part, session)
        world.hibernation.woke(session)
        assert world.hibernation.unwritten() == math.inf
        assert world.hibernation.moved != moved


async def test_an_account_that_is_loading_waits_with_its_row() -> None:
    async with running() as world:
        world.account.id = 0
        session = world.asleep()
        await world.pass_time(1)
        assert world.rows == []
        world.account.id = 9
        await world.pass_time(0.5)
        assert world.rows == [session.full]


async def test_while_the_database_is_away_nothing_is_lost(autojump_clock: MockClock) -> None:
    async with running() as world:
        one, two = world.asleep("one"), world.asleep("two")
        await world.pass_time(1)
        world.db.up = False
        world.hibernation.woke(one)
        world.hibernation.changed(world.part, two)
        world.db.sessions[two.full, 7]["state"] = b"old"
        await world.pass_time(5)
        assert set(world.rows) == {one.full, two.full}
        world.db.up = True
        await trio.sleep(1.1)
        for _ in range(3):
            world.arrived()
            await world.pass_time(1)
        assert world.rows == [two.full]
        assert world.db.sessions[two.full, 7]["state"] != b"old"


async def test_who_does_not_come_back_in_time_is_ended(world: World) -> None:
    early, late = world.asleep("early", 10), world.asleep("late", 20)
    assert world.hibernation.oldest(world.account) is early
    await world.pass_time(9)
    assert world.ended == []
    await world.pass_time(1)
    assert world.ended == [early.full]
    world.hibernation.forget(early)
    assert world.hibernation.oldest(world.account) is late


def test_what_an_ended_stream_had_handled_is_told_to_its_account_alone(world: World) -> None:
    session = world.session()
    assert session.resumable is not None
    session.resumable.frontier = 15
    world.hibernation.ended(world.part, session)
    assert world.hibernation.handled(BOB, TOKEN) == 5
    assert world.hibernation.handled("alice@example.org", TOKEN) == -1
    assert world.hibernation.handled(BOB, b"another") == -1
    assert world.told() == []  # it was awake: its edge knows


def test_the_former_edge_of_a_sleeping_session_need_not_keep_it(world: World) -> None:
    session = world.asleep()
    world.hibernation.ended(world.part, session)
    assert world.told() == [End(4, 7, "reset", "the session has ended")]


async def test_who_gives_a_partition_away_writes_every_resumable_session_first(world: World) -> None:
    awake, sleeping = world.session("awake"), world.asleep("asleep")
    plain = Session(f"{BOB}/plain", 8, "edge1", 5, b"")
    world.account.resources.restore(plain)
    await world.hibernation.flush(world.part)
    assert set(world.rows) == {awake.full, sleeping.full}
    assert world.told() == [Noted(4, 7, 10, True)]
    found = await world.hibernation.load(3)
    assert {(session.full, session.grant) for session, _ in found} == {(awake.full, 7), (sleeping.full, 7)}
    assert await world.hibernation.load(4) == []


async def test_a_row_that_cannot_be_read_is_left_out(world: World) -> None:
    world.asleep()
    await world.hibernation.flush(world.part)
    for row in world.db.sessions.values():
        row["state"] = b"\xc1"
    assert await world.hibernation.load(3) == []


def test_a_partition_that_is_anothers_is_forgotten(world: World) -> None:
    world.asleep()
    other = Part(4, 1)
    world.hibernation.drop(other)
    assert len(world.hibernation) == 1
    world.hibernation.drop(world.part)
    assert len(world.hibernation) == 0
