"""What the parent makes of its drivers' reports: who could not be prepared, and what can be done about it."""

from __future__ import annotations

import pytest

from rookery.bench.driver.report import Ready
from rookery.bench.fleet import unprepared
from rookery.bench.plan import make
from rookery.bench.result import Operation, Result

PLAN = make({"scenario": "chat", "users": 40, "domain": "here.example"})


@pytest.mark.parametrize(
    ("ready", "said"),
    [
        ([Ready(20), Ready(20)], ""),
        # Each of them failed twice, and is one user.
        (
            [Ready(0, {"register: resource-constraint": 20, "not-authorized": 20}, 20), Ready(20)],
            "20 of 40 users could not be prepared: 20 not-authorized, 20 register: resource-constraint; the server limits",
        ),
        # Who could not be registered again but logged in takes part.
        ([Ready(40, {"register: resource-constraint": 40}, 0)], ""),
        (
            [Ready(0, {"tls": 40}, 40, {"tls": "self-signed certificate"})],
            "40 tls (self-signed certificate); is starttls what 127.0.0.1:5222 speaks",
        ),
        ([Ready(0, {"host-unknown": 40}, 40)], "--domain here.example is none of the server's"),
        ([Ready(0, {"strange": 1}, 1)], "1 of 40 users could not be prepared: 1 strange"),
    ],
)
def test_who_cannot_take_part(ready: list[Ready], said: str) -> None:
    told = unprepared(ready, PLAN)
    assert said in told
    assert bool(told) == bool(said)


@pytest.mark.parametrize(
    ("operations", "connections", "succeeded", "deserted"),
    [
        ({"chat": Operation(3, 1.0)}, 2, True, False),
        ({"chat": Operation(0, 0.0, {"timeout": 3})}, 2, False, False),
        ({"chat": Operation(3, 1.0), "connection": Operation(0, 0.0, {"closed": 1})}, 2, True, False),
        ({"chat": Operation(3, 1.0), "connection": Operation(0, 0.0, {"closed": 2})}, 2, True, True),
        ({}, 2, True, False),
        ({}, 0, False, False),
    ],
)
def test_how_a_run_ended(
    operations: dict[str, Operation], connections: int, succeeded: bool, deserted: bool
) -> None:
    made = Result("chat", "", 1.0, operations=operations, connections=connections)
    assert (made.succeeded, made.deserted) == (succeeded, deserted)
