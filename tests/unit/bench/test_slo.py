"""Objectives: what a rule may say, and when a run keeps it."""

from __future__ import annotations

import pytest

from rookery.bench import slo
from rookery.bench.result import Driver, Latency, Messages, Operation, Result, Server

RUN = Result(
    scenario="chat",
    started="2026-11-21T12:00:00Z",
    seconds=10.0,
    operations={
        "chat": Operation(1000, 100.0, {"timeout": 2}, Latency(1.0, 5.0, 20.0, 40.0, 50.0, 2.0)),
        "auth": Operation(0, 0.0, {"not-authorized": 3}),
    },
    messages=Messages(1002, 1000, 2, 0, 1),
    connections=100,
    server=Server(cpu_s=1.0, pss_kib=5000, cpu_us_per_stanza=55.5),
    driver=Driver(busiest=0.5, late_p99_ms=0.2),
)


@pytest.mark.parametrize(
    ("rule", "value", "kept"),
    [
        ("chat.p99<50ms", 20, True),
        ("chat.p99 < 0.05s", 20, True),
        ("chat.p99<19999us", 20, False),
        ("chat.p99<=20", 20, True),
        ("chat.p99_9>40ms", 40, False),
        ("chat.rate>=100", 100, True),
        ("chat.errors==0", 2, False),
        ("errors<=5", 5, True),
        ("lost==0", 2, False),
        ("duplicated == 0", 0, True),
        ("reordered!=1", 1, False),
        ("connections>=100", 100, True),
        ("server.cpu_us<60", 55.5, True),
        ("server.pss_kib_per_connection<60", None, False),
        ("driver.busiest<90%", 0.5, True),
        ("driver.late_p99<1ms", 0.2, True),
        ("driver.cpu_us<15", None, False),
        ("ping.p99<1s", None, False),
        ("auth.p50<1s", None, False),
        ("auth.count==0", 0, True),
    ],
)
def test_rules(rule: str, value: float | None, kept: bool) -> None:
    (verdict,) = slo.judge([slo.parse(rule)], RUN)
    assert (verdict.rule, verdict.value, verdict.kept) == (rule, value, kept)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("", "no rule"),
        ("chat.p99", "no rule"),
        ("chat.p99<fast", "no rule"),
        ("chat.p99=<5", "no rule"),
        ("p99<5ms", "no figure"),
        ("chat.p98<5ms", "no figure"),
        ("server.p99<5ms", "no figure"),
        ("chat.p99<5%", "us, ms or s"),
        ("lost<5ms", "no unit"),
    ],
)
def test_mistakes_are_told(rule: str, why: str) -> None:
    with pytest.raises(slo.SloError, match=why):
        slo.parse(rule)
