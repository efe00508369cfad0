"""The search for the highest rate: which rates it tries, what it makes of a run, and what it finds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.bench import slo
from rookery.bench.plan import Plan, PlanError, make
from rookery.bench.result import Driver, Latency, Messages, Operation, Result
from rookery.bench.search import PRECISION, Hunt, SearchError, judge, rounded, search


def tried(start: float, limit: float, *, plain: bool = True) -> tuple[Hunt, list[float]]:
    """A hunt on a server that keeps every rate up to `limit`."""
    hunt, rates = Hunt(start), []
    while hunt.rate is not None:
        rates.append(hunt.rate)
        kept = hunt.rate <= limit
        hunt.tell(kept=kept, plain=plain or kept)
    return hunt, rates


def test_a_rate_is_doubled_then_bisected() -> None:
    hunt, rates = tried(1000, 2700)
    assert rates == [1000, 2000, 4000, 2830, 2380, 2600, 2710]
    assert (hunt.low, hunt.high) == (2600, 2710)


def test_a_rate_that_is_too_high_is_halved() -> None:
    hunt, rates = tried(1000, 140)
    assert rates == [1000, 500, 250, 125, 177, 149, 136, 142]
    assert (hunt.low, hunt.high) == (136, 142)


@given(st.floats(1, 10_000), st.floats(0.01, 5_000_000), st.booleans())
def test_the_answer_is_near(start: float, limit: float, plain: bool) -> None:
    hunt, rates = tried(start, limit, plain=plain)
    assert len(rates) < 80
    if hunt.low:
        assert hunt.low <= limit < hunt.high <= hunt.low * (1 + PRECISION) * 1.01
    else:
        assert limit < start / 500


def test_nothing_is_beyond_the_highest_rate() -> None:
    hunt, _ = tried(4_000_000, 1e12)
    assert hunt.low == 10_000_000


def test_one_bad_moment_does_not_break_a_rate() -> None:
    hunt = Hunt(1000)
    hunt.tell(kept=False, plain=False)
    assert hunt.rate == 1000
    hunt.tell(kept=True)
    assert (hunt.rate, hunt.low) == (2000, 1000)
    hunt.tell(kept=False, plain=False)
    hunt.tell(kept=False, plain=False)
    assert (hunt.rate, hunt.high) == (1410, 2000)


@pytest.mark.parametrize(("rate", "shown"), [(22627.4, 22600), (1.23456, 1.23), (0.012345, 0.0123)])
def test_three_digits(rate: float, shown: float) -> None:
    assert rounded(rate) == pytest.approx(shown)


def ran(plan: Plan, limit: float, **more: Any) -> Result:
    """A run on a server that delivers up to `limit` a second; beyond it, latency is a second."""
    passed = min(plan.rate, limit)
    latency = Latency(p99=10 if plan.rate <= limit else 1000)
    operation = Operation(int(passed * 5), passed, {}, latency)
    fields = {
        "operations": {"chat": operation},
        "messages": Messages(1, 1),
        "connections": 4,
        "ended": int(passed * 5),
        **more,
    }
    shown = {"rate": plan.rate, "arrivals": plan.arrivals, "contacts": 4, "users": 4}
    return Result(scenario=plan.scenario, started="", seconds=5.0, plan=shown, **fields)


def plan(**more: Any) -> Plan:
    return make({"scenario": "chat", "users": 100, "search": ["chat.p99<100ms"]}, more)


def test_a_search_finds_the_run_at_the_highest_rate() -> None:
    told: list[str] = []
    plans: list[Plan] = []

    def run(plan: Plan) -> Result:
        plans.append(plan)
        return ran(plan, 700)

    found = search(plan(register=True, slo=["search.rate>=600", "lost==0"]), run, told.append)
    assert found.search is not None
    assert (found.search.rate, found.plan["rate"], found.operations["chat"].rate) == (673, 673, 673)
    assert [step.rate for step in found.search.steps if step.kept] == [100, 200, 400, 566, 673]
    assert [plan.register for plan in plans] == [True] + [False] * (len(plans) - 1)
    assert not any(plan.search for plan in plans)
    assert len(told) == len(plans)
    assert told[0] == "100 per second kept: chat.p99<100ms 10"
    assert [verdict.kept for verdict in found.slo] == [True, True]
    assert found.search.limit == "next, at 703: chat.p99<100ms: 1000"
    rates = [step.rate for step in found.search.steps]
    assert (rates.count(800), rates.count(703)) == (1, 2)  # what breaks by little is tried twice
    assert not found.broken


def test_no_rate_may_be_kept() -> None:
    found = search(plan(rate=100.0), lambda plan: ran(plan, 0.0001), lambda _: None)
    assert found.search is not None
    assert (found.search.rate, found.broken) == (0, True)
    assert found.plan["rate"] == min(step.rate for step in found.search.steps)
    assert found.search.limit.startswith("the lowest that was tried, ")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"ended": 480}, "96% of what was asked for"),
        ({"messages": Messages(500, 499, 1)}, "1 lost"),
        ({"operations": {"chat": Operation(500, 100.0, {"timeout": 2}, Latency(p99=5))}}, "chat timeout 2"),
        (
            {"operations": {"chat": Operation(500, 100.0, {}, Latency(p99=100))}},
            "chat.p99<100ms: 100",
        ),
        ({"operations": {}}, "chat.p99<100ms: unknown"),
    ],
)
def test_what_breaks_a_rate(change: dict[str, Any], why: str) -> None:
    step = judge(ran(plan(rate=100.0), 1000, **change), [slo.parse("chat.p99<100ms")], 100.0)
    assert (step.why, step.kept) == (why, not why)


def test_chance_is_no_lag() -> None:
    at_random = ran(plan(rate=100.0, arrivals="poisson"), 1000, ended=440)
    assert judge(at_random, [], 100.0).kept


def test_presence_ends_at_each_contact() -> None:
    fanned = ran(plan(scenario="presence", rate=100.0, contacts=4), 1000, ended=1990)
    assert judge(fanned, [], 100.0).kept
    assert not judge(fanned, [], 110.0).kept


def test_a_driver_at_its_limit_is_told() -> None:
    def run(plan: Plan) -> Result:
        slow = Driver(busiest=0.99, saturated=True, why="a driver process used 99% of a core")
        return ran(plan, 700, driver=slow if plan.rate > 700 else Driver())

    found = search(plan(), run, lambda _: None).search
    assert found is not None
    assert "the server may keep more: a driver process used 99%" in found.limit


@pytest.mark.parametrize(
    ("rule", "more", "told"),
    [
        ("chat.p99<1s", {"connections": 0, "notes": ("all refused",)}, "no user is connected; all refused"),
        ("chat.p99<1s", {"notes": ("3 of 9 users could not be prepared",)}, "a search needs all of them"),
        ("ping.p99<1s", {}, "this run has no ping, but chat"),
        ("server.cpu_us<50", {}, "--ready-file"),
    ],
)
def test_what_cannot_be_searched_ends_at_once(rule: str, more: dict[str, Any], told: str) -> None:
    with pytest.raises(SearchError, match=told):
        search(plan(search=[rule]), lambda plan: ran(plan, 700, **more), lambda _: None)


def test_what_is_done_once_has_no_rate() -> None:
    with pytest.raises(PlanError, match="leave count and storm out"):
        plan(count=3)
