"""Questions of operators to partitions whose holder moves, is away for a moment, or dies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from rookery.admin.cluster import HOLDER_SECONDS, Cluster
from rookery.admin.errors import Unreachable
from rookery.shared.bus.api import Call
from rookery.shared.bus.kinds import Kind
from rookery.shared.bus.messages import Ended, EndSessions, Item, ListSessions, SessionList
from rookery.shared.cluster.fake import FakeCluster, FakeNode

ANN = "ann@x.example"
LIST = ListSessions(ANN, "", "", 10)
END = EndSessions(ANN, "", "policy-violation", "")


class Holder:
    """Answers, or says nothing."""

    kind = Kind.ROUTER

    def __init__(self, node: FakeNode, *, answers: bool = True) -> None:
        self._node = node
        self._answers = answers
        self.asked: list[Item] = []
        node.serve(self)  # type: ignore[arg-type]  only receives

    def receive(self, source: str, partition: int, epoch: int, item: Item | Call) -> None:
        assert isinstance(item, Call)
        self.asked.append(item.request)
        if self._answers:
            self._node.bus.reply(
                item, Ended(1) if isinstance(item.request, EndSessions) else SessionList((), 1)
            )


@asynccontextmanager
async def running(partitions: int = 4) -> AsyncIterator[tuple[FakeCluster, Cluster]]:
    """A cluster whose routers the test makes, and the way of an operator to it."""
    fake = FakeCluster(partitions=partitions)
    desk = fake.node("desk", Kind.ACCOUNT)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fake.network.run)
        yield fake, Cluster(desk.bus, partitions)
        nursery.cancel_scope.cancel()


async def later(seconds: float, what: object) -> None:
    await trio.sleep(seconds)
    assert callable(what)
    what()


async def test_what_has_no_holder_is_asked_when_it_has_one(autojump_clock: MockClock) -> None:
    async with running() as (fake, cluster), trio.open_nursery() as nursery:
        nursery.start_soon(later, 3, lambda: Holder(fake.node("r1", Kind.ROUTER)))
        assert (await cluster.ask(ANN, LIST, SessionList)).total == 1
        assert 3 <= trio.current_time() < 4


async def test_everybody_is_asked_also_whoever_holds_it_later(autojump_clock: MockClock) -> None:
    """Partitions without a holder are not left out of what is counted."""
    async with running() as (fake, cluster), trio.open_nursery() as nursery:
        nursery.start_soon(later, 3, lambda: Holder(fake.node("r1", Kind.ROUTER)))
        assert set(await cluster.ask_all(LIST, SessionList)) == {0, 1, 2, 3}


async def test_nobody_comes(autojump_clock: MockClock) -> None:
    async with running() as (_, cluster):
        with pytest.raises(Unreachable, match="no router holds partition"):
            await cluster.ask(ANN, LIST, SessionList)
        assert trio.current_time() == pytest.approx(HOLDER_SECONDS)
        with pytest.raises(Unreachable):
            await cluster.ask_all(LIST, SessionList)
        assert cluster.open == 0


async def _dies(fake: FakeCluster) -> Holder:
    await trio.sleep(1)
    fake.lose("r1")
    await trio.sleep(2)
    fake.move(Kind.ROUTER, "r2")
    return Holder(fake.nodes["r2"])


async def test_the_next_holder_is_asked_when_the_first_dies(autojump_clock: MockClock) -> None:
    async with running() as (fake, cluster), trio.open_nursery() as nursery:
        first = Holder(fake.node("r1", Kind.ROUTER), answers=False)
        second = Holder(fake.node("r2", Kind.ROUTER))
        nursery.start_soon(_dies, fake)
        assert (await cluster.ask(ANN, END, Ended)).number == 1
        assert first.asked == [END]
        assert second.asked == []  # another has taken its place
        assert 3 <= trio.current_time() < 4


async def test_what_may_not_be_done_twice_is_not(autojump_clock: MockClock) -> None:
    async with running() as (fake, cluster), trio.open_nursery() as nursery:
        Holder(fake.node("r1", Kind.ROUTER), answers=False)
        fake.node("r2", Kind.ROUTER)
        nursery.start_soon(_dies, fake)
        with pytest.raises(Unreachable, match="whether it was done is unknown"):
            await cluster.ask(ANN, END, Ended, twice=False)
        assert trio.current_time() == pytest.approx(1)
