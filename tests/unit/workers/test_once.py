"""A request that is sent again is done once and answered once."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from rookery.shared.bus.messages import NOBODY, Handle, Origin
from rookery.workers.once import DONE, Once

from .test_hosted import IQ, ORIGIN, build, outcome

HANDLE = Handle(ORIGIN, "a@x", "a@x/r", True, IQ)


def test_what_runs_is_not_begun_again_in_its_partition() -> None:
    once = Once()
    assert once.begin(1, ORIGIN, True)
    assert not once.begin(1, ORIGIN, True)
    assert once.begin(1, ORIGIN, False), "the other side's work for the same stanza"
    assert once.begin(2, ORIGIN, True)
    once.end(1, ORIGIN, True)
    assert once.begin(1, ORIGIN, True)
    once.forget(1)
    assert once.begin(1, ORIGIN, False)
    once.end(9, ORIGIN, True)
    assert not once.begin(2, ORIGIN, True)


def test_what_the_server_made_has_no_uid() -> None:
    once = Once()
    once.done(NOBODY)
    assert not once.is_done(NOBODY)
    assert [once.begin(1, NOBODY, True) for _ in range(2)] == [True, True]


def test_what_was_done_is_remembered_for_a_while() -> None:
    once = Once()
    for n in range(3 * DONE):
        once.done(Origin(b"s", n, "edge1"))
    known = [n for n in range(3 * DONE) if once.is_done(Origin(b"s", n, "edge2"))]
    assert known[-1] == 3 * DONE - 1
    assert DONE <= len(known) <= 2 * DONE


async def test_a_repetition_is_answered_once_and_accepted_again(nursery: trio.Nursery) -> None:
    cluster, worker = build()
    gate = trio.Event()

    async def work() -> None:
        await gate.wait()
        worker.answer(ORIGIN, IQ.result())

    for _ in range(3):
        worker.handle(4, HANDLE, work)
    nursery.start_soon(worker.lanes.run)
    await wait_all_tasks_blocked()
    worker.handle(4, HANDLE, work)
    gate.set()
    await wait_all_tasks_blocked()
    assert outcome(cluster) == (["result"], [7])
    worker.handle(4, HANDLE, work)
    await wait_all_tasks_blocked()
    assert outcome(cluster) == (["result"], [7, 7])


async def test_what_was_dropped_or_failed_may_be_done_again(nursery: trio.Nursery) -> None:
    cluster, worker = build()
    nursery.start_soon(worker.lanes.run)

    async def stuck() -> None:
        await trio.sleep_forever()

    async def fail() -> None:
        raise ValueError

    async def work() -> None:
        worker.answer(ORIGIN, IQ.result())

    worker.handle(4, HANDLE, stuck)
    await wait_all_tasks_blocked()
    worker.drop(4)
    worker.handle(4, HANDLE, fail)
    await wait_all_tasks_blocked()
    assert outcome(cluster) == ([], [])
    worker.handle(4, HANDLE, work)
    await wait_all_tasks_blocked()
    assert outcome(cluster) == (["result"], [7])
