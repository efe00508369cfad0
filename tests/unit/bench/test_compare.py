"""Two sets of runs side by side: what counts as a difference, and what tables say of it."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from rookery.bench import compare, tables
from rookery.bench.result import Driver, Latency, Messages, Operation, Result, Server, ServerProcess, Verdict

CPU = compare.Figure("server.cpu_us", "server CPU", "us/stanza")
RATE = compare.Figure("chat.rate", "chat rate", "/s", higher_is_better=True)


def run(cpu: float = 50.0, rate: float = 1000.0, label: str = "", lost: int = 0, **more: object) -> Result:
    fields: dict[str, object] = {
        "scenario": "chat",
        "started": "2026-11-21T12:00:00Z",
        "seconds": 10.0,
        "label": label,
        "operations": {
            "login": Operation(10, 1.0),
            "chat": Operation(int(rate * 10), rate, {}, Latency(1.0, 2.0, 3.0, 4.0, 5.0, 1.5)),
        },
        "messages": Messages(100, 100 - lost, lost),
        "server": Server((ServerProcess(1, "beam", (), 2.0, 9),), 2.0, 20_480, 0, cpu),
    }
    return Result(**(fields | more))  # type: ignore[arg-type]


def show(what: RenderableType, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(what)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize(
    ("figure", "before", "after", "verdict"),
    [
        (CPU, [50, 51, 52, 50, 51], [30, 31, 30, 32, 30], "better"),
        (CPU, [30, 31, 30, 32, 30], [50, 51, 52, 50, 51], "worse"),
        (RATE, [30, 31, 30, 32, 30], [50, 51, 52, 50, 51], "better"),
        (CPU, [50, 40, 60, 45, 55], [51, 41, 59, 46, 54], "no difference shown"),
        (CPU, [50], [30], "too few runs"),
        (CPU, [50, 50, 50], [50, 50, 50], "same"),
        (CPU, [0, 0, 0], [0, 0, 0], "same"),
        (CPU, [50, 51, 52], [30, 31, 30], "too few runs"),
        (CPU, [50, 51, 52, 53], [30, 31, 30, 32], "better"),
        (CPU, [0, 0, 0, 0], [3, 2, 1, 1], "worse"),
        (CPU, [0, 0, 0, 5], [3, 2, 1, 0], "no difference shown"),
        (CPU, [3, 2, 1, 1], [0, 0, 0, 0], "better"),
        (CPU, list(range(20)), list(range(30, 50)), "worse"),
    ],
)
def test_verdicts(figure: compare.Figure, before: list[float], after: list[float], verdict: str) -> None:
    assert compare.difference(figure, before, after).verdict == verdict


@pytest.mark.parametrize("size", [4, 5, 7])
def test_servers_that_are_alike_seldom_differ(size: int) -> None:
    dice = random.Random(7)
    verdicts = []
    for _ in range(300):
        before, after = ([dice.gauss(50, 5) for _ in range(size)] for _ in range(2))
        verdicts.append(compare.chance(before, after) <= 0.05)
    assert sum(verdicts) <= 0.08 * len(verdicts)


def test_chance_is_exact() -> None:
    assert compare.chance([1, 2, 3], [4, 5, 6]) == pytest.approx(2 / 20)
    assert compare.chance([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(2 / 70)
    assert compare.chance([1, 1], [1, 1]) == 1


def test_spread_and_ratio() -> None:
    found = compare.difference(CPU, [50, 40, 70], [20, 25, 30])
    assert (found.before.median, found.before.low, found.before.high) == (50, 40, 70)
    assert found.ratio == 0.5
    assert found.low is not None
    assert found.high is not None
    assert 25 / 70 >= found.low >= 20 / 70
    assert 25 / 40 <= found.high <= 30 / 40


def test_no_ratio_to_nothing() -> None:
    assert compare.difference(CPU, [0], [3]).ratio is None


VALUES = st.lists(st.floats(0.1, 1e6), min_size=3, max_size=6)


@settings(max_examples=10, deadline=None)
@given(VALUES, VALUES)
def test_the_interval_is_within_the_extremes(before: list[float], after: list[float]) -> None:
    low, high = compare.interval(before, after)
    assert min(after) / max(before) <= low <= high <= max(after) / min(before)


def test_the_same_seed_gives_the_same_interval() -> None:
    left, right = [1.0, 2.0, 4.0], [3.0, 5.0, 6.0]
    assert compare.interval(left, right, seed=5) == compare.interval(left, right, seed=5)


def test_figures_begin_with_what_the_scenario_is_about() -> None:
    names = [figure.name for figure in compare.figures([run()])]
    assert names[:3] == ["server.cpu_us", "chat.rate", "chat.p50"]
    assert names.index("chat.p99") < names.index("login.rate")
    assert "server.pss_kib_per_connection" not in names


def test_the_main_operation() -> None:
    assert compare.main_operation(run()) == "chat"
    assert compare.main_operation(run(scenario="mixed")) == "chat"
    assert compare.main_operation(run(operations={})) == ""


def test_comparison_table() -> None:
    text = show(
        tables.comparison_table(compare.compare([run(50)] * 4, [run(25)] * 4), "old.json", "new.json")
    )
    assert "old.json" in text
    assert "0.50x" in text
    assert "better" in text


def test_servers_table_has_medians_ranges_and_ratios() -> None:
    runs = [
        run(50, label="a"),
        run(20, label="b"),
        run(60, label="a"),
        run(30, label="b"),
        run(70, label="a"),
    ]
    lines = show(tables.servers_table(runs)).splitlines()
    (row,) = (line for line in lines if line.split()[:1] == ["b"])
    assert "25  0.42x" in row
    assert "20-30" in lines[lines.index(row) + 1]
    assert not any("lost" in line for line in lines)
    assert any("ratios to a" in line for line in lines)
    assert "lost" in show(tables.servers_table([*runs, run(label="c", lost=1)], "b"))


def test_servers_stand_side_by_side_where_it_is_narrow() -> None:
    runs = [
        run(cpu, label=label) for label in ("first", "second", "third", "fourth") for cpu in (5000, 20_000)
    ]
    text = show(tables.servers_table(runs, width=80), width=80)
    assert "…" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    (row,) = (line for line in text.splitlines() if "server CPU" in line)
    assert (row.count("12 500"), row.count("1.00x")) == (4, 3)
    assert text.count("5 000-20 000") == 4


def test_run_table_says_what_is_wrong() -> None:
    result = run(
        lost=3,
        driver=Driver(2, 9.0, 1.0, 0.99, 12.0, saturated=True, why="a process used 99 % of its core"),
        slo=(Verdict("lost==0", 3, kept=False), Verdict("chat.p99<5s", 3, kept=True)),
        notes=("something to know",),
        operations={"chat": Operation(0, 0.0, {"timeout": 4})},
    )
    text = show(tables.run_table(result))
    for said in (
        "3 lost",
        "THE DRIVER WAS THE LIMIT",
        "lost==0: BROKEN",
        "chat.p99<5s: kept",
        "timeout 4",
        "something to know",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (3.0, "3"),
        (-7, "-7"),
        (0.1234, "0.123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (28123.4, "28 123"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert tables.number(value) == text
