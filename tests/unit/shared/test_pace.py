"""The grid on which busy loops wake."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.pace import CLOSE, LOADED, Pace

SLOT = 0.5


def run(arrivals: list[float], took: float = 0.0) -> list[float]:
    """When a loop runs that wants to run at these times, with so much to do each time."""
    pace = Pace(SLOT)
    ran: list[float] = []
    for arrival in arrivals:
        now = max([arrival, *ran[-1:]])
        ran.append(pace.due(now, took))
        pace.began(ran[-1])
    return ran


def test_a_question_and_its_answer_do_not_wait() -> None:
    arrivals = [10.0 + 0.01 * i for i in range(CLOSE + 1)]
    assert run(arrivals) == arrivals


def test_a_busy_loop_runs_once_in_each_slot() -> None:
    ran = run([10.0 + 0.01 * i for i in range(200)])
    assert ran[CLOSE + 1 : CLOSE + 4] == [10.5, 11.0, 11.5]


def test_a_slot_that_began_is_not_waited_for() -> None:
    assert run([10.0 + 0.6 * i for i in range(10)]) == [10.0 + 0.6 * i for i in range(10)]


def test_after_a_pause_it_runs_at_once() -> None:
    ran = run([*[10.0 + 0.01 * i for i in range(10)], 20.3, 20.31])
    assert ran[-2:] == [20.3, 20.31]


def test_a_loaded_process_takes_two_slots_at_once() -> None:
    ran = run([10.0 + 0.01 * i for i in range(200)], took=SLOT)
    assert ran[CLOSE + 1 : CLOSE + 3] == [11.0, 12.0]


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 2.0)), max_size=60))
def test_nobody_waits_longer_than_a_slot(rounds: list[tuple[float, float]]) -> None:
    pace, now = Pace(SLOT), 100.0
    for gap, took in rounds:
        now += gap
        due = pace.due(now, took)
        assert now <= due <= now + (SLOT if took <= SLOT * LOADED else 2 * SLOT) + 1e-9
        now = due
        pace.began(now)
