"""The group commit of the queues: rows of a pair in their order, a commit beside a small one for other pairs, nothing done before its commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from rookery.shared.store.holding import Held
from rookery.workers.s2s.queue.sql import Waiting
from rookery.workers.s2s.queue.writer import FEW, QueueWriter


class Database:
    """Commits when it is told; `under_way` has the numbers of each commit that is not done."""

    def __init__(self) -> None:
        self.under_way: list[list[int]] = []
        self.most = 0
        self._waits: list[trio.Event] = []

    @property
    def healthy(self) -> bool:
        return True

    async def run(self, partition: int, work: Any, *, op: str = "") -> Any:
        return await work(self)

    async def fetchrow(self, query: str, incarnation: str, *columns: list[Any]) -> dict[str, Any]:
        numbers, done = columns[3], trio.Event()
        self.under_way.append(numbers)
        self._waits.append(done)
        self.most = max(self.most, len(self.under_way))
        await done.wait()
        return {"open": True, "stored": len(numbers)}

    async def commit(self, at: int = 0) -> None:
        """Let one commit end."""
        del self.under_way[at]
        self._waits.pop(at).set()
        await wait_all_tasks_blocked()


class World:
    """A writer, and which rows it has called done."""

    def __init__(self) -> None:
        self.db = Database()
        self.done: list[int] = []
        self.held = Held(7, 1)
        self.writer = QueueWriter(self.db, "s2s1", self.done.clear)  # type: ignore[arg-type]
        self._n = 0

    async def put(self, *remotes: str, wait: bool = True) -> None:
        for remote in remotes:
            self._n += 1
            n = self._n
            row = Waiting(7, remote, "here.example", n, b"s", n, 0.0, 0.0, b"stanza")
            self.writer.put(row, lambda new, n=n: self.done.append(n), self.held)  # type: ignore[misc]
        if wait:
            await wait_all_tasks_blocked()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    made = World()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.writer.run)
        await wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()


async def test_what_comes_in_one_turn_is_one_commit() -> None:
    async with world() as here:
        await here.put("a", "b", "a")
        assert here.db.under_way == [[1, 2, 3]]
        assert here.done == []
        await here.db.commit()
        assert here.done == [1, 2, 3]


async def test_another_pair_does_not_wait_for_a_small_commit() -> None:
    async with world() as here:
        await here.put("dead")
        await here.put("a")
        assert here.db.under_way == [[1], [2]]
        await here.db.commit(1)
        assert here.done == [2]
        await here.db.commit()
        assert here.done == [2, 1]


async def test_rows_of_a_pair_are_committed_one_after_the_other() -> None:
    async with world() as here:
        await here.put("a")
        await here.put("a", "b", "a")
        assert here.db.under_way == [[1], [3]]
        await here.put("b")
        await here.db.commit()
        assert here.db.under_way == [[3], [2, 4]], "not the one whose pair is still under way"
        await here.db.commit()
        assert here.db.under_way == [[2, 4], [5]]
        await here.db.commit()
        await here.db.commit()
        assert here.done == [1, 3, 2, 4, 5]
        assert here.db.most == 2


async def test_beside_many_rows_there_is_no_second_commit() -> None:
    async with world() as here:
        await here.put(*(f"r{n}" for n in range(FEW + 1)))
        await here.put("a", "b")
        assert len(here.db.under_way) == 1
        await here.db.commit()
        assert here.db.under_way == [[FEW + 2, FEW + 3]]
        await here.db.commit()


async def test_a_drain_waits_for_all_that_was_put() -> None:
    async with world() as here, trio.open_nursery() as nursery:
        await here.put("a")
        await here.put("b")
        drained = trio.Event()

        async def drain() -> None:
            await here.writer.drain()
            drained.set()

        nursery.start_soon(drain)
        await wait_all_tasks_blocked()
        await here.db.commit()
        assert not drained.is_set(), "the other one is under way"
        await here.db.commit()
        assert drained.is_set()
        assert not here.writer.full


async def test_rows_of_a_partition_that_was_given_up_are_dropped() -> None:
    async with world() as here:
        await here.put("a")
        await here.put("a", "b", wait=False)
        here.held.live = False
        await wait_all_tasks_blocked()
        await here.db.commit()
        assert here.done == []
        assert here.db.under_way == []
        with trio.fail_after(1):
            await here.writer.drain()


async def test_many_rows_of_a_pair_under_way_hold_up_nobody_for_ever() -> None:
    async with world() as here:
        await here.put("a")
        await here.put(*["a"] * 300, "b")
        assert here.db.under_way == [[1]], "b is behind too many to look for it"
        await here.db.commit()
        assert here.db.under_way == [list(range(2, 303))]
        await here.db.commit()
        assert here.done == list(range(1, 303))
