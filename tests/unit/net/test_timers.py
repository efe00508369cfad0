from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.net.timers import COARSE, NEVER, RESOLUTION, Wheel


class Clock:
    """Wants to be asked at the given moments, in order."""

    def __init__(self, *moments: float) -> None:
        self.moments = list(moments)
        self.asked: list[float] = []
        self.wake_slot = 0

    def on_timer(self, now: float) -> float:
        self.asked.append(now)
        while self.moments and self.moments[0] <= now:
            self.moments.pop(0)
        return self.moments[0] if self.moments else NEVER


@given(st.lists(st.floats(1, 1000), min_size=1, max_size=20))
def test_every_deadline_is_served_soon_after_it(moments: list[float]) -> None:
    moments.sort()
    wheel, clock = Wheel(), Clock(*moments)
    wheel.schedule(clock, moments[0], 0.0)
    now = 0.0
    while wheel.due() != NEVER:
        before = clock.moments[0] if clock.moments else now
        now = max(wheel.due(), now)
        wheel.advance(now)
        assert now - before <= COARSE + 2 * RESOLUTION
    assert not clock.moments
    assert clock.asked[-1] >= moments[-1]


def test_an_earlier_deadline_makes_the_later_entry_stale() -> None:
    wheel, clock = Wheel(), Clock()
    assert wheel.schedule(clock, 50.0, 0.0)
    assert wheel.schedule(clock, 10.0, 0.0)
    assert wheel.advance(20.0) == 1
    assert wheel.advance(60.0) == 0
    assert len(clock.asked) == 1


def test_a_later_deadline_costs_nothing() -> None:
    wheel, clock = Wheel(), Clock()
    wheel.schedule(clock, 10.0, 0.0)
    assert not wheel.schedule(clock, 20.0, 0.0)
    assert len(wheel) == 1


def test_far_deadlines_share_slots() -> None:
    wheel = Wheel()
    clocks = [Clock() for _ in range(100)]
    for index, clock in enumerate(clocks):
        wheel.schedule(clock, 300.0 + index / 100, 0.0)
    slots = set()
    for clock in clocks:
        slots.add(clock.wake_slot)
    assert len(slots) == 2 or len(slots) == 1


def test_who_wants_to_be_asked_at_once_does_not_stop_the_wheel() -> None:
    class Eager(Clock):
        def on_timer(self, now: float) -> float:
            self.asked.append(now)
            return now

    wheel, eager = Wheel(), Eager()
    wheel.schedule(eager, 1.0, 0.0)
    wheel.advance(1.0)
    assert len(eager.asked) == 1
    assert wheel.due() > 1.0
