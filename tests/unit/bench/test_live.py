"""The live view: what it says while users connect and while the load runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rookery.bench.driver.report import Part, Tick
from rookery.bench.live import Live, State, sparkline, view
from rookery.bench.plan import make
from rookery.bench.result import Point


def shown(state: State) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as capture:
        console.print(view(state))
    return capture.get()


@pytest.mark.parametrize(
    ("values", "text"),
    [([], ""), ([0, 0], "▁▁"), ([0, 5, 10], "▁▅█"), ([1] * 50, "█" * 40), ([-1, 7], "▁█")],
)
def test_sparkline(values: list[float], text: str) -> None:
    assert sparkline(values) == text


def test_preparation() -> None:
    text = shown(State("chat", 5, 30, {"connect": (30, 100)}))
    assert "connect" in text
    assert "30 of 100" in text
    assert "delivered" not in text


@pytest.mark.parametrize(("t", "phase"), [(-2, "warm-up"), (4, "measured"), (31, "last answers")])
def test_load(t: float, phase: str) -> None:
    points = [Point(t - 1, 10, 5, errors=2), Point(t, 20, 15, 1.5, 9.25, server_cpu=1.5, driver_cpu=0.25)]
    text = shown(State("chat", 5, 30, {}, points))
    for said in (phase, "20 /s", "15 /s", "9.25 ms", "1.50 cores", "0.25 cores", "▅█"):
        assert said in text
    assert text.splitlines()[-1].split() == ["failed", "2"]


def test_it_watches_a_run() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with Live(make({"scenario": "chat", "users": 10}), console) as live:
        live.progress("connect", 10, 10)
        parts = {"chat": Part([(2000, 7)], {"timeout": 1})}
        live.second(
            [Tick(second=0, sent=8, delivered=7, connected=10, cpu_ns=10**8, parts=parts, late=[])], None
        )
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
    assert "chat: 10 users, closed loop" in text
    assert "10 of 10" in text
    assert "7 /s" in text
