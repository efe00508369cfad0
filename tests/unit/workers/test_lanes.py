"""Jobs of one key in order, of different keys side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from trio.testing import wait_all_tasks_blocked

from rookery.workers.lanes import Lanes


def note(log: list[str], name: str, gate: trio.Event | None = None) -> Callable[[], Awaitable[None]]:
    async def job() -> None:
        log.append(f"{name} starts")
        if gate is not None:
            await gate.wait()
        log.append(f"{name} ends")

    return job


async def test_one_key_is_serial_and_others_go_on(nursery: trio.Nursery) -> None:
    lanes, log, gate = Lanes(), list[str](), trio.Event()
    lanes.submit(1, "a", note(log, "a1", gate))  # before run: it waits
    nursery.start_soon(lanes.run)
    lanes.submit(1, "a", note(log, "a2"))
    lanes.submit(1, "b", note(log, "b1"))
    await wait_all_tasks_blocked()
    assert sorted(log) == ["a1 starts", "b1 ends", "b1 starts"]
    assert lanes.busy(1, "a")
    assert not lanes.busy(1, "b")
    gate.set()
    await lanes.drain(1)
    assert log[-3:] == ["a1 ends", "a2 starts", "a2 ends"]
    assert not lanes.any()


async def test_drain_waits_for_its_partition_alone(nursery: trio.Nursery) -> None:
    lanes, log, gate, other = Lanes(), list[str](), trio.Event(), trio.Event()
    nursery.start_soon(lanes.run)
    lanes.submit(1, "a", note(log, "a", gate))
    lanes.submit(2, "b", note(log, "b", other))
    await lanes.drain(3)
    await wait_all_tasks_blocked()
    gate.set()
    await lanes.drain(1)
    assert lanes.busy(2, "b")
    other.set()
    await lanes.drain(2)


async def test_drop_ends_what_runs_and_a_new_lane_begins_at_once(nursery: trio.Nursery) -> None:
    lanes, log, gate = Lanes(), list[str](), trio.Event()
    nursery.start_soon(lanes.run)
    lanes.submit(1, "a", note(log, "old", gate))
    lanes.submit(1, "a", note(log, "never"))
    await wait_all_tasks_blocked()
    lanes.drop(1)
    lanes.submit(1, "a", note(log, "new"))
    await lanes.drain(1)
    assert log == ["old starts", "new starts", "new ends"]
    assert not lanes.any()


async def test_what_was_dropped_before_it_began_never_runs(nursery: trio.Nursery) -> None:
    lanes, log = Lanes(), list[str]()
    lanes.submit(1, "a", note(log, "a"))
    lanes.drop(1)
    nursery.start_soon(lanes.run)
    await wait_all_tasks_blocked()
    assert log == []
