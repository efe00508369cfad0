"""What the parent makes of its drivers' reports: who could not be prepared, and what can be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from msgspec.structs import replace

from rookery.bench.assemble import result
from rookery.bench.driver.report import Part, Ready, Tick
from rookery.bench.fleet import Collected, Fleet, _Driver, unprepared
from rookery.bench.interrupt import Interrupted
from rookery.bench.plan import Plan, make
from rookery.bench.result import Messages, Operation, Result, ServerProcess
from rookery.bench.search import search

if TYPE_CHECKING:
    import trio

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


def test_advice_knows_who_was_registered() -> None:
    ready = [Ready(0, {"not-authorized": 40}, 40)]
    assert "use --register" in unprepared(ready, PLAN)
    told = unprepared(ready, replace(PLAN, register=True))
    assert "--register" not in told
    assert "another password: say it by --password" in told


def tick(second: int) -> Tick:
    return Tick(second, sent=10, delivered=9, connected=40, cpu_ns=1000, parts={"chat": Part([(500, 9)])})


class Watcher:
    def progress(self, phase: str, done: int, of: int) -> None: ...

    def second(self, ticks: list[Tick], server_cpu: float | None) -> None: ...


@pytest.mark.parametrize(("seconds", "told"), [(range(-5, 0), 0), (range(-5, 3), 3), (range(-5, 40), 30)])
def test_an_interrupted_run_has_what_was_measured(seconds: range, told: int) -> None:
    fleet = Fleet(PLAN, Watcher())
    fleet._drivers.append(_Driver(0, cast("trio.Process", None)))
    fleet._drivers[0].ticks = {second: tick(second) for second in seconds}
    partial = fleet.partial()
    if not told:
        assert partial is None
        return
    assert partial is not None
    made = result(PLAN, partial, "")
    assert made.seconds == told
    assert made.messages == Messages(sent=10 * told, delivered=9 * told)
    assert made.notes == (f"interrupted after {told} of 30 s: what was under way then counts as nothing",)


def test_a_search_that_is_interrupted_has_its_best_step() -> None:
    def run(step: Plan) -> Result:
        if step.rate > 100:
            raise KeyboardInterrupt
        operation = Operation(int(step.rate) * 5, step.rate)
        return Result(
            "chat", "", 5.0, plan={"rate": step.rate}, operations={"chat": operation}, connections=40,
            ended=int(step.rate) * 5,
        )  # fmt: skip

    plan = make(
        {"scenario": "chat", "users": 40, "rate": 100.0, "duration": 5.0, "search": ["chat.errors==0"]}
    )
    with pytest.raises(Interrupted) as caught:
        search(plan, run, lambda line: None)
    found = caught.value.result.search
    assert found is not None
    assert (found.rate, len(found.steps)) == (100.0, 1)
    assert found.limit == "interrupted at 200 per second: the server may keep more"


@pytest.mark.parametrize(("cpu_s", "warns"), [(3.0, False), (120.0, True)])
def test_idle_on_a_server_that_has_worked_is_doubted(cpu_s: float, warns: bool) -> None:
    plan = make({"scenario": "idle", "users": 40})
    process = ServerProcess(1, "server", cpu_s=cpu_s, pss_kib=10_000)
    grown = replace(process, pss_kib=20_000)
    collected = Collected(ready=[Ready(40)], idle=(process,), landed=(process,), landed_connections=8)
    collected.before = collected.after = (grown,)
    notes = result(plan, collected, "").notes
    assert any("had used 120 s of CPU before" in note for note in notes) == warns


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
