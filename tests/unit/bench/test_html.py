"""The report: well-formed, self-contained, and it says first whether the run is ok."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.bench import charts, html, tables
from rookery.bench.histogram import Histogram
from rookery.bench.result import (
    Driver,
    Environment,
    Messages,
    Operation,
    Point,
    Result,
    Runs,
    Server,
    ServerProcess,
    Verdict,
)

VOID = {"meta"}
SHAPES = {"rect", "line", "circle", "path"}


class Balance(HTMLParser):
    """Raises when a tag is closed that is not open; collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        assert tag not in ("script", "link", "img", "iframe")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SHAPES, f"<{tag}/> is no empty element"

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert parser.fetched == []
    assert not re.search(r"https?://|url\(|@import", page)
    assert "nan" not in re.findall(r'"([^"]*)"', page)
    return parser


def run(label: str = "", **more: object) -> Result:
    latencies = Histogram()
    latencies.record_many([900, 1000, 2500, 40_000])
    fields: dict[str, object] = {
        "scenario": "chat",
        "started": "2026-11-21T12:00:00Z",
        "seconds": 4.0,
        "label": label,
        "plan": {"target": "127.0.0.1:5222", "users": 10, "user": "<b>%d</b>", "ca_file": ""},
        "environment": Environment("3.11", "6.1", "A CPU", 2, 1024, {"rookery": "1"}, "ejabberd & friends"),
        "operations": {"chat": Operation.of(latencies, 4.0)},
        "messages": Messages(4, 4),
        "connections": 10,
        "series": tuple(
            Point(float(t), 2, 1, 1.5, 2.5, None if t == 1 else 0.5, 0.1, connected=10) for t in range(-1, 4)
        ),
        "server": Server((ServerProcess(7, "beam", (), 1.0, 900),), 1.0, 900, 100, 55.0, 80.0),
        "driver": Driver(1, 9.0, 0.1, 0.3),
    }
    return Result(**(fields | more))  # type: ignore[arg-type]


def test_one_run() -> None:
    page = html.report(Runs((run(),)))
    said = read(page).text
    assert "chat on ejabberd & friends" in said
    assert "Every operation succeeded" in said
    assert page.count("<svg") == 4
    assert "80 KiB per connection" in said
    assert "<b>%d</b>" in said, "what users wrote is text"
    assert "prefers-color-scheme:dark" in page


def test_several_servers() -> None:
    page = html.report(Runs((run("a"), run("b"), run("a", messages=Messages(4, 3, 1)))))
    said = read(page).text
    assert "2 servers, 3 runs" in said
    assert "a, run 2" in said
    assert page.index("Medians") < page.index("run 1")
    assert "Not OK" in said


def test_idle_begins_with_the_memory_of_a_connection() -> None:
    server = Server(pss_kib=50_000, pss_kib_per_connection=7.25)
    idle = Result(scenario="idle", started="", seconds=1.0, connections=100, server=server)
    page = html.report(Runs((idle,)))
    first = page.index('<div class="card">')
    assert page[first:].startswith('<div class="card"><span>memory per connection</span><b>7.25 KiB</b>')
    lines = [line for line, _ in tables._lines(idle)]
    assert lines[0] == "memory per connection: 7.25 KiB"


def test_no_run_and_a_bare_one() -> None:
    read(html.report(Runs(())))
    bare = Result(scenario="idle", started="", seconds=1.0)
    assert "nothing was done" in read(html.report(Runs((bare,)))).text


def failing(count: int) -> dict[str, object]:
    return {"operations": {"chat": Operation(10_000, 1.0, {"timeout": count})}}


@pytest.mark.parametrize(
    ("changes", "level", "reason"),
    [
        ({}, "ok", ""),
        ({"messages": Messages(4, 3, lost=1)}, "bad", "1 messages lost"),
        ({"messages": Messages(4, 4, duplicated=2)}, "bad", "2 messages duplicated"),
        ({"messages": Messages(4, 4, reordered=2)}, "bad", "2 messages out of order"),
        (failing(5), "doubt", "5 of 10 005 chat operations failed"),
        (failing(50), "bad", "50 of 10 050 chat operations failed"),
        ({"slo": (Verdict("lost==0", 1, kept=False),)}, "bad", "lost==0 broken"),
        ({"driver": Driver(saturated=True, why="busy")}, "doubt", "load generator was the limit"),
        ({"notes": ("odd",)}, "doubt", "odd"),
    ],
)
def test_judgement(changes: dict[str, object], level: str, reason: str) -> None:
    judgement = html.judge(run(**changes))  # type: ignore[arg-type]
    assert judgement.level == level
    assert any(reason in found for found in judgement.reasons) == bool(reason)


@given(st.floats(1e-6, 1e12), st.integers(2, 8))
def test_ticks_are_round_and_reach_the_top(high: float, wanted: int) -> None:
    marks = charts.ticks(high, wanted)
    assert marks[0] == 0
    assert marks[-1] >= high * 0.999
    assert 2 <= len(marks) <= 2 * wanted + 2


@given(st.floats(1e-3, 1e6), st.floats(1.0, 1e6))
def test_powers_enclose(low: float, factor: float) -> None:
    marks = charts.powers(low, low * factor)
    assert len(marks) >= 2
    assert marks[0] <= low * 1.001
    assert marks[-1] >= low * factor * 0.999


@pytest.mark.parametrize(
    "draw",
    [
        lambda: charts.line_chart("t", "u", [charts.Line("n", "a", [(0, None)])]),
        lambda: charts.distribution("t", [], []),
        lambda: charts.bar_chart("t", "u", []),
    ],
)
def test_nothing_to_draw(draw: Callable[[], str]) -> None:
    assert draw() == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.05, "0.05"), (999, "999"), (20_000, "20k"), (1_500_000, "1.5M")]
)
def test_axis_numbers(value: float, text: str) -> None:
    assert charts.short(value) == text


@pytest.mark.parametrize(("ms", "text"), [(0.05, "50 us"), (20, "20 ms"), (157.4, "157 ms"), (2000, "2 s")])
def test_latencies(ms: float, text: str) -> None:
    assert charts.span(ms) == text


def test_seconds_are_counted_from_the_beginning_of_the_window() -> None:
    page = charts.line_chart("t", "u", [charts.Line("n", "a", [(at, 1.0) for at in range(-3, 31)])])
    assert re.findall(r">(-?\d+) s</text>", page) == ["0", "10", "20", "30"]


def test_a_single_point_and_a_flat_line() -> None:
    read(charts.line_chart("t", "u", [charts.Line("n", "a", [(3, 0.0)])]))
    read(charts.distribution("t", [(1000, 5)], [("p50", 0.0)]))
    read(charts.bar_chart("t", "u", [charts.Bar("x", 0, 0, 0, "0")]))
