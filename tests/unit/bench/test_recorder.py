"""What a driver process counts, and what becomes of it: rounding, seconds, the result of a run."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rookery.bench.assemble import result
from rookery.bench.driver.loop import Loop
from rookery.bench.driver.pace import Pace
from rookery.bench.driver.recorder import Recorder, rounded
from rookery.bench.driver.report import Done, Part, Ready, Tick, Waited
from rookery.bench.fleet import Collected, add
from rookery.bench.plan import make
from rookery.bench.result import Messages


@settings(deadline=None)
@given(st.integers(-5, 3_600_000_000))
def test_rounding_keeps_three_digits(us: int) -> None:
    kept = rounded(us)
    assert 0 <= max(us, 0) - kept <= max(us, 0) / 1024


def test_a_tick_has_what_came_since_the_last() -> None:
    recorder = Recorder()
    latency = recorder.latency("chat")
    latency += [1_000, 1_999, 5_000_000]
    recorder.sent, recorder.delivered = 4, 3
    recorder.error("chat", "timeout")
    first = recorder.tick(0)
    assert (first.sent, first.delivered) == (4, 3)
    assert first.parts["chat"] == Part([(1, 2), (rounded(5000), 1)], {"timeout": 1})
    recorder.sent = 5
    second = recorder.tick(1)
    assert (second.sent, second.delivered, second.parts) == (1, 0, {})


def tick(second: int, us: int, count: int, errors: dict[str, int] | None = None) -> Tick:
    return Tick(second, count, count, 2, 500_000_000, {"chat": Part([(us, count)], errors or {})})


def test_two_reports_of_a_second_are_one() -> None:
    both = add(tick(0, 10, 1, {"timeout": 1}), tick(0, 20, 2, {"timeout": 1, "closed": 1}))
    assert both.parts["chat"] == Part([(10, 1), (20, 2)], {"timeout": 2, "closed": 1})
    assert (both.sent, both.cpu_ns) == (3, 1_000_000_000)


def collected(busy: float, late: list[tuple[int, int]]) -> Collected:
    window = 2_000_000_000
    done = Done(Messages(30, 29, 1), 20, 20, int(busy * window), window)
    ticks = [tick(-1, 9_000_000, 5), tick(0, 1000, 10), tick(1, 3000, 9), tick(2, 4000, 1)]
    ticks[1] = Tick(**{name: getattr(ticks[1], name) for name in Tick.__struct_fields__} | {"late": late})
    return Collected([Ready(2)], [ticks], [done])


def test_the_result_of_a_run() -> None:
    plan = make({"scenario": "chat", "users": 2, "duration": 2.0})
    made = result(plan, collected(0.5, []), "now")
    assert made.messages == Messages(30, 29, 1)
    chat = made.operations["chat"]
    # Warm-up does not count; what came after the window for what began in it does.
    assert (chat.count, chat.rate) == (20, 10.0)
    assert 3.9 < chat.latency_ms.max < 4.1
    assert [point.t for point in made.series] == [-1, 0, 1]
    assert made.driver.cpu_us_per_stanza == 50_000
    assert not made.driver.saturated
    assert "password" not in made.plan


def test_a_busy_or_late_driver_says_so() -> None:
    plan = make({"scenario": "chat", "users": 2, "duration": 2.0})
    assert "% of a core" in result(plan, collected(0.95, []), "now").driver.why
    late = result(plan, collected(0.5, [(20_000, 10)]), "now").driver
    assert late.saturated
    assert "late" in late.why


@pytest.mark.parametrize(
    ("waiting", "notes"),
    [((0, 0), ()), ((489, 3), ("492 of 1000 pairs waited for an answer for more than 5 s",))],
)
def test_who_stood_still_is_told_once(waiting: tuple[int, int], notes: tuple[str, ...]) -> None:
    plan = make({"scenario": "chat", "users": 2000, "duration": 2.0})
    found = collected(0.5, [])
    found.done = [
        msgspec.structs.replace(found.done[0], waited=Waited("pairs", count, 500)) for count in waiting
    ]
    assert result(plan, found, "now").notes == notes


def paced(
    rate: float, seconds: float, jump: int, rng: random.Random | None = None
) -> tuple[list[int], list[int]]:
    """The intended times of a pace whose clock moves by `jump` nanoseconds at a time, and how late each was."""
    loop = Loop()
    now = 0
    loop.clock = lambda: now
    begun: list[int] = []
    late: list[int] = []
    pace = Pace(loop, rate, begun.append, late, rng)
    pace.start(0, int(seconds * 1e9))
    while loop._timers:
        due, _, action = loop._timers.pop()
        now = max(due, now + jump)
        action(now)
    loop.close()
    return begun, late


def test_an_even_pace_keeps_its_times_however_late_the_loop_is() -> None:
    begun, late = paced(1000, 1.0, 0)
    assert begun == [number * 1_000_000 for number in range(1000)]
    assert max(late) == 0
    begun, late = paced(1000, 1.0, 50_000_000)
    assert begun == [number * 1_000_000 for number in range(1000)]
    assert max(late) > 40_000_000


def test_a_poisson_pace_has_its_rate_and_its_seed() -> None:
    begun, _ = paced(1000, 10.0, 0, random.Random(1))
    assert 9_700 < len(begun) < 10_300
    assert begun == paced(1000, 10.0, 0, random.Random(1))[0]
    assert begun != paced(1000, 10.0, 0, random.Random(2))[0]
