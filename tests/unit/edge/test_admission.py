"""Logins in a storm: how many pass, in which order, who is told to come back later."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
import trio

from rookery.edge.admission import Admission, Queue, Rank, Ticket, Waiter
from rookery.shared.net.timers import NEVER

R, F, S, N = Rank.RESUME, Rank.FAST, Rank.SCRAM, Rank.REGISTER


def client(reason: str = "") -> Waiter:
    return cast("Waiter", SimpleNamespace(reason=reason))


def emptied(rate: float = 10, wait: float = 10) -> Queue:
    """A queue whose tokens are used up at 0."""
    queue = Queue(rate, wait, 0.0)
    while queue.enter(0.0):
        pass
    return queue


def test_who_comes_at_leisure_never_waits() -> None:
    queue = Queue(10, 10, 0.0)
    assert all(queue.enter(number / 10) for number in range(1000))


@pytest.mark.parametrize(("rate", "passes"), [(10, 20), (0.1, 1), (500, 1000)])
def test_a_burst_of_two_seconds_passes_at_once(rate: float, passes: int) -> None:
    queue = Queue(rate, 10, 100.0)
    assert sum(queue.enter(100.0) for _ in range(2000)) == passes


def test_no_rate_is_no_limit() -> None:
    queue = Queue(0, 10, 0.0)
    assert all(queue.enter(0.0) for _ in range(10_000))


@pytest.mark.parametrize(
    ("came", "went"),
    [
        ((S, S, S), (S, S, S)),
        ((N, S, F, R), (R, F, S, N)),
        ((S, R, S, R), (R, R, S, S)),
        ((F, N, R, F), (R, F, F, N)),
    ],
)
def test_the_better_rank_goes_first(came: Sequence[Rank], went: Sequence[Rank]) -> None:
    queue = emptied()
    tickets = [(rank, queue.wait(rank, client(), 0.0)) for rank in came]
    order: list[Rank] = []
    for step in range(1, len(came) + 1):
        queue.serve(step * 0.1 + 0.001)
        order += [
            rank for rank, ticket in tickets if ticket is not None and ticket.admitted and rank not in order
        ]
        passed = sorted(rank for rank, ticket in tickets if ticket is not None and ticket.admitted)
        assert passed == sorted(went[:step])


def test_in_one_rank_the_first_to_come_goes_first() -> None:
    queue = emptied()
    first, second = queue.wait(S, client(), 0.0), queue.wait(S, client(), 0.0)
    assert first is not None
    assert second is not None
    queue.serve(0.101)
    assert (first.admitted, second.admitted) == (True, None)


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    queue = emptied()
    assert queue.wait(S, client(), 0.0) is not None
    assert not queue.enter(0.5)


@pytest.mark.parametrize(("rank", "room"), [(R, True), (F, False), (S, False), (N, False)])
def test_who_would_wait_too_long_is_refused_at_once(rank: Rank, room: bool) -> None:
    queue = emptied(rate=10, wait=2)
    for _ in range(20):
        assert queue.wait(F, client(), 0.0) is not None
    assert (queue.wait(rank, client(), 0.0) is not None) is room


def test_who_is_overtaken_for_too_long_is_refused() -> None:
    queue = emptied(rate=10, wait=2)
    late = queue.wait(N, client(), 0.0)
    assert late is not None
    for tenth in range(1, 23):
        for _ in range(3):
            queue.wait(R, client(), tenth / 10)
        queue.serve(tenth / 10)
    assert late.admitted is False


def test_who_has_gone_takes_no_turn() -> None:
    queue = emptied()
    gone, here = queue.wait(S, client("closed"), 0.0), queue.wait(S, client(), 0.0)
    assert gone is not None
    assert here is not None
    queue.serve(0.101)
    assert (gone.admitted, here.admitted) == (False, True)


def test_when_to_look_again() -> None:
    queue = emptied(rate=10)
    assert queue.serve(0.0) == NEVER
    queue.wait(S, client(), 0.0)
    assert queue.serve(0.0) == pytest.approx(0.1)
    assert queue.serve(0.2) == NEVER


def test_a_limit_that_is_lifted_lets_everybody_in() -> None:
    queue = emptied()
    waiting = [queue.wait(S, client(), 0.0) for _ in range(50)]
    queue.rate = 0.0
    queue.serve(0.1)
    assert all(isinstance(ticket, Ticket) and ticket.admitted for ticket in waiting)


async def test_edges_share_the_rate_of_the_cluster(autojump_clock: trio.testing.MockClock) -> None:
    edges = 4
    done: list[bool] = []

    async def login() -> None:
        done.append(await admission.enter(S, client()))

    async with trio.open_nursery() as nursery:
        admission = Admission(trio.current_time, nursery.start_soon, 400, 2.0, lambda: edges)
        for _ in range(1000):
            nursery.start_soon(login)
        await trio.sleep(5)
        # A quarter of the rate: 200 pass at once, as many as go in two seconds wait, the others come back later.
        assert (sum(done), len(done)) == (400, 1000)
        edges = 1
        admission.tick()
        await trio.sleep(2)
        done.clear()
        for _ in range(700):
            nursery.start_soon(login)
        await trio.sleep(1)
        assert sum(done) == len(done) == 700
        nursery.cancel_scope.cancel()


async def test_those_who_wait_go_one_by_one(autojump_clock: trio.testing.MockClock) -> None:
    times: list[float] = []
    async with trio.open_nursery() as nursery:
        admission = Admission(trio.current_time, nursery.start_soon, 50, 10.0)

        async def login() -> None:
            assert await admission.enter(S, client())
            times.append(trio.current_time())

        for _ in range(120):
            nursery.start_soon(login)
        await trio.sleep(1)
        # A hundred at once (two seconds of the rate), the others fifty a second, evenly.
        late = times[100:]
        assert len(late) == 20
        assert max(late.count(at) for at in late) == 1
