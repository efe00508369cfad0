"""An edge that gives connections away: how many, at which pace, and how it is called off."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from rookery.edge.shedding import Shedding


class Line:
    def __init__(self, resumable: bool = True) -> None:
        self.reason = ""
        self.resumable = resumable
        self.ended_at = 0.0

    def vacate(self) -> bool:
        if self.resumable:
            self.reason, self.ended_at = "shutdown", trio.current_time()
        return self.resumable


@pytest.fixture
def lines() -> list[Line]:
    return [Line(number % 5 > 0) for number in range(100)]


@pytest.fixture
def flushed() -> list[float]:
    return []


@pytest.fixture
def shedding(lines: list[Line], flushed: list[float]) -> Shedding:
    return Shedding(lambda: lines, lambda: flushed.append(trio.current_time()))


def gone(lines: list[Line]) -> int:
    return sum(bool(line.reason) for line in lines)


async def test_so_many_go_at_the_pace_that_is_asked_for(
    lines: list[Line],
    shedding: Shedding,
    flushed: list[float],
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    nursery.start_soon(shedding.run)
    assert shedding.answer({}) == {"left": 0, "rate": 0, "connections": 100}
    begun = trio.current_time()
    assert shedding.answer({"connections": 40, "rate": 20}) == {"left": 40, "rate": 20, "connections": 100}
    await trio.sleep(1.01)
    assert 20 <= gone(lines) <= 25
    assert shedding.answer({})["left"] == 40 - gone(lines)
    await trio.sleep(3)
    assert gone(lines) == 40
    assert shedding.answer({}) == {"left": 0, "rate": 0, "connections": 60}
    assert max(line.ended_at for line in lines) - begun == pytest.approx(1.75, abs=0.3)
    assert len(flushed) == 8


async def test_who_cannot_go_on_elsewhere_stays(
    lines: list[Line], shedding: Shedding, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    nursery.start_soon(shedding.run)
    shedding.answer({"connections": 100, "rate": 1000})
    await trio.sleep(5)
    assert gone(lines) == 80
    assert not any(line.reason for line in lines if not line.resumable)
    assert shedding.left == 0


async def test_it_can_be_called_off_and_begun_again(
    lines: list[Line], shedding: Shedding, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    nursery.start_soon(shedding.run)
    shedding.answer({"connections": 50, "rate": 10})
    await trio.sleep(1.01)
    assert shedding.answer({"connections": 0})["left"] == 0
    went = gone(lines)
    await trio.sleep(5)
    assert gone(lines) == went < 50
    shedding.answer({"connections": 5, "rate": 100})
    await trio.sleep(5)
    assert gone(lines) == went + 5


@pytest.mark.parametrize("detail", [{"connections": -1}, {"connections": 5, "rate": 0}, {"connections": "x"}])
def test_what_makes_no_sense_is_refused(shedding: Shedding, detail: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        shedding.answer(detail)
    assert shedding.left == 0
