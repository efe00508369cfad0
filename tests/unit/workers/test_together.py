"""Reads that come together are one statement; what fails fails for whom it concerns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from rookery.shared.db.api import Connection
from rookery.workers.hosted import DeadlineError, HostedWorker
from rookery.workers.lanes import Lanes
from rookery.workers.together import MOST, Together


class Worker:
    """Lanes, and a database whose statements end when `gate` is open."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.gate = trio.Event()
        self.gate.set()
        self.statements: list[list[str]] = []
        self.deadlines: list[int] = []
        self.away = False

    async def database(self, _partition: int, work: Callable[[Any], Awaitable[Any]], deadline: int) -> Any:
        """See HostedWorker."""
        self.deadlines.append(deadline)
        await self.gate.wait()
        if self.away:
            raise DeadlineError
        return await work(None)

    async def read(self, _conn: Connection, keys: Sequence[str]) -> list[str]:
        """Capitals."""
        self.statements.append(list(keys))
        if "bad" in keys:
            raise ValueError("bad")
        return [key.upper() for key in keys]


@pytest.fixture
async def worker(nursery: trio.Nursery) -> Worker:
    worker = Worker()
    nursery.start_soon(worker.lanes.run)
    return worker


def asker(worker: Worker) -> tuple[Together[str, str], dict[str, Any], Callable[..., Awaitable[None]]]:
    together: Together[str, str] = Together(cast("HostedWorker", worker), "letters", worker.read)
    got: dict[str, Any] = {}

    async def ask(key: str, deadline: int = 0) -> None:
        try:
            got[key] = await together.ask(key, deadline)
        except (ValueError, DeadlineError) as error:
            got[key] = type(error)

    return together, got, ask


async def test_what_comes_in_one_turn_or_meanwhile_is_one_statement(
    worker: Worker, nursery: trio.Nursery
) -> None:
    _, got, ask = asker(worker)
    worker.gate = trio.Event()
    for key in "abc":
        nursery.start_soon(ask, key)
    await wait_all_tasks_blocked()
    for key, deadline in (("d", 5), ("e", 3)):
        nursery.start_soon(ask, key, deadline)
    await wait_all_tasks_blocked()
    assert not got
    worker.gate.set()
    await wait_all_tasks_blocked()
    assert sorted(map(sorted, worker.statements)) == [["a", "b", "c"], ["d", "e"]]
    assert worker.deadlines == [0, 5]
    assert got == {key: key.upper() for key in "abcde"}
    assert not worker.lanes.any()


async def test_a_statement_has_an_end(worker: Worker, nursery: trio.Nursery) -> None:
    _, got, ask = asker(worker)
    for number in range(2 * MOST + 1):
        nursery.start_soon(ask, str(number))
    await wait_all_tasks_blocked()
    assert [len(keys) for keys in worker.statements] == [MOST, MOST, 1]
    assert len(got) == 2 * MOST + 1


async def test_one_that_cannot_be_read_costs_only_itself(worker: Worker, nursery: trio.Nursery) -> None:
    _, got, ask = asker(worker)
    for key in ("a", "bad", "b"):
        nursery.start_soon(ask, key)
    await wait_all_tasks_blocked()
    assert got == {"a": "A", "b": "B", "bad": ValueError}


async def test_nobody_waits_for_postgres_beyond_the_deadline_and_it_goes_on_later(
    worker: Worker, nursery: trio.Nursery
) -> None:
    _, got, ask = asker(worker)
    worker.away = True
    nursery.start_soon(ask, "a")
    nursery.start_soon(ask, "b")
    await wait_all_tasks_blocked()
    assert got == {"a": DeadlineError, "b": DeadlineError}
    worker.away = False
    await ask("c")
    assert got["c"] == "C"


async def test_whoever_was_cancelled_keeps_nobody_waiting(worker: Worker, nursery: trio.Nursery) -> None:
    together, got, ask = asker(worker)
    worker.gate = trio.Event()
    with trio.move_on_after(0):
        await together.ask("gone", 0)
    nursery.start_soon(ask, "a")
    await wait_all_tasks_blocked()
    worker.gate.set()
    await wait_all_tasks_blocked()
    assert got == {"a": "A"}
