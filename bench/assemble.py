"""From what the driver processes reported to the result of the run."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec

from rookery import __version__
from rookery.bench import server
from rookery.bench.driver.report import Tick
from rookery.bench.driver.stalls import DOUBT_SECONDS
from rookery.bench.fleet import Collected, unprepared
from rookery.bench.histogram import Histogram
from rookery.bench.plan import Plan
from rookery.bench.result import (
    Driver,
    Environment,
    Operation,
    Point,
    Result,
    Server,
    merge_dead,
    merge_messages,
)
from rookery.bench.scenarios import find

#: A driver process that uses more of a core than this may be the limit itself.
BUSY: Final = 0.9
#: Operations that begin later than this (99th percentile) are not those that were intended.
LATE_MS: Final = 5.0
#: The parts of operations, in order.
_PARTS: Final = (
    "connect",
    "tls",
    "auth",
    "bind",
    "resume",
    "login",
    "ping",
    "presence",
    "page",
    "connection",
)
#: In a closed loop a pause is one latency for each who waits: from here on it deserves a line.
_PAUSE_MS: Final = 500.0
_PAUSE_RATIO: Final = 20.0
#: A connection that costs less memory than this took what earlier ones had left.
_LEAST_KIB: Final = 1.0
#: Starting takes a server a few seconds of CPU; one that used more has served somebody.
_WORKED_S: Final = 20.0


def result(plan: Plan, collected: Collected, started: str) -> Result:
    """The result of one run."""
    seconds = max((done.window_ns for done in collected.done), default=0) / 1e9
    ticks = [tick for ticks in collected.ticks for tick in ticks]
    scenario = find(plan.scenario)
    operations = _operations(ticks, seconds, scenario.operation)
    delivered = sum(done.delivered for done in collected.done)
    stanzas = delivered or (main.count if (main := operations.get(scenario.operation)) else 0)
    if scenario.several:
        stanzas = sum(operation.count for operation in operations.values())
    connections = sum(ready.connected for ready in collected.ready)
    measured = _server(collected, stanzas, connections)
    return Result(
        scenario=plan.scenario,
        started=started,
        seconds=round(seconds, 3),
        plan=public(plan),
        environment=environment(next((ready.target for ready in collected.ready if ready.target), "")),
        operations=operations,
        messages=merge_messages(done.messages for done in collected.done),
        connections=connections,
        series=_series(collected, plan),
        server=measured,
        driver=_driver(collected, ticks, stanzas),
        ended=delivered,
        dead=merge_dead(done.dead for done in collected.done),
        notes=(*_notes(collected, plan), *_pauses(plan, operations), *_used(measured), *_warm(collected)),
    )


def public(plan: Plan) -> dict[str, Any]:
    """The plan without passwords."""
    found: dict[str, Any] = msgspec.to_builtins(plan)
    del found["password"]
    return found


def _operations(ticks: Iterable[Tick], seconds: float, main: str) -> dict[str, Operation]:
    """All operations, that of the scenario first, its parts after it in the order in which they happen."""
    histograms: dict[str, Histogram] = {}
    errors: dict[str, dict[str, int]] = {}
    for tick in ticks:
        for name, part in tick.parts.items():
            if tick.second < 0 and not part.errors:
                continue
            histogram = histograms.setdefault(name, Histogram())
            sums = errors.setdefault(name, {})
            for us, count in part.counts:
                histogram.record(us, count)
            for condition, count in part.errors.items():
                sums[condition] = sums.get(condition, 0) + count
    known = {name: place for place, name in enumerate((main, *_PARTS))}
    return {
        name: Operation.of(histograms[name], seconds, errors[name])
        for name in sorted(histograms, key=lambda name: (known.get(name, len(known)), name))
    }


def point(ticks: list[Tick], operation: str, server_cpu: float | None) -> Point:
    """One second of all processes."""
    histogram = Histogram()
    failed = 0
    for tick in ticks:
        for name, part in tick.parts.items():
            failed += sum(part.errors.values())
            if name == operation:
                for us, count in part.counts:
                    histogram.record(us, count)
    delivered = sum(tick.delivered for tick in ticks)
    return Point(
        t=ticks[0].second,
        sent=sum(tick.sent for tick in ticks),
        delivered=delivered,
        p50=round(histogram.percentile_ms(50), 3),
        p99=round(histogram.percentile_ms(99), 3),
        server_cpu=None if server_cpu is None else round(server_cpu, 4),
        driver_cpu=round(sum(tick.cpu_ns for tick in ticks) / 1e9, 4),
        errors=failed,
        connected=sum(tick.connected for tick in ticks),
    )


def _series(collected: Collected, plan: Plan) -> tuple[Point, ...]:
    operation = find(plan.scenario).operation
    by_second: dict[int, list[Tick]] = {}
    for ticks in collected.ticks:
        for tick in ticks:
            by_second.setdefault(tick.second, []).append(tick)
    return tuple(
        point(ticks, operation, collected.server_cpu.get(second))
        for second, ticks in sorted(by_second.items())
        if second < plan.duration
    )


def _server(collected: Collected, stanzas: int, connections: int) -> Server | None:
    if not collected.after:
        return None
    return server.window(
        collected.before,
        collected.after,
        stanzas=stanzas,
        # Without a load between, what is gained is the cost of connections.
        connections=connections - collected.landed_connections if collected.landed else 0,
        idle=collected.landed or collected.idle,
    )


def _driver(collected: Collected, ticks: list[Tick], stanzas: int) -> Driver:
    late = Histogram()
    for tick in ticks:
        if tick.second >= 0:
            for us, count in tick.late:
                late.record(us, count)
    busiest = max((done.cpu_ns / done.window_ns for done in collected.done if done.window_ns), default=0.0)
    late_ms = late.percentile_ms(99)
    cpu_s = sum(done.cpu_ns for done in collected.done) / 1e9
    reasons = []
    if busiest > BUSY:
        reasons.append(f"a driver process used {busiest:.0%} of a core: use more processes or a lower rate")
    if late_ms > LATE_MS:
        reasons.append(f"operations began late, 99th percentile {late_ms:.1f} ms")
    return Driver(
        processes=len(collected.done),
        cpu_us_per_stanza=round(cpu_s * 1e6 / stanzas, 3) if stanzas else None,
        cpu_s=round(cpu_s, 4),
        busiest=round(busiest, 4),
        late_p99_ms=round(late_ms, 3),
        saturated=bool(reasons),
        why="; ".join(reasons),
    )


def _notes(collected: Collected, plan: Plan) -> tuple[str, ...]:
    notes = list(collected.notes)
    if told := unprepared(collected.ready, plan):
        notes.append(told)
    for done in collected.done:
        notes += [note for note in done.notes if note not in notes]
    return (*notes, *_waits(collected))


def _pauses(plan: Plan, operations: Mapping[str, Operation]) -> list[str]:
    main = operations.get(find(plan.scenario).operation)
    if main is None or not plan.closed_loop or plan.storm or plan.count:
        return []
    latency = main.latency_ms
    if latency.max < max(_PAUSE_MS, _PAUSE_RATIO * latency.p99):
        return []
    return [
        f"a pause of {latency.max:.0f} ms: nobody sends meanwhile in a closed loop, so it is one of many latencies for each who "
        "waited; percentiles with a --rate count it in full"
    ]


def _used(measured: Server | None) -> list[str]:
    each = measured.pss_kib_per_connection if measured is not None else None
    if each is None or each >= _LEAST_KIB:
        return []
    return ["connections took memory that the server had already: measure one that has just been started"]


def _warm(collected: Collected) -> list[str]:
    """Where memory is the question, a server that has worked before gives what earlier connections left."""
    worked = sum(process.cpu_s for process in collected.idle) if collected.landed else 0.0
    if worked < _WORKED_S:
        return []
    return [
        f"the server had used {worked:.0f} s of CPU before: what earlier connections left may hide what these cost; "
        "measure one that has just been started"
    ]


def _waits(collected: Collected) -> list[str]:
    found = [done.waited for done in collected.done if done.waited is not None]
    if not any(waited.waiting for waited in found):
        return []
    waiting, total = sum(waited.waiting for waited in found), sum(waited.of for waited in found)
    return [f"{waiting} of {total} {found[0].who} waited for an answer for more than {DOUBT_SECONDS} s"]


def environment(target: str) -> Environment:
    """Where this process runs."""
    return Environment(
        python=platform.python_version(),
        kernel=platform.release(),
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)),
        ulimit=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        versions={
            "rookery": __version__,
            **{name: metadata.version(name) for name in ("msgspec", "wsproto", "cryptography")},
        },
        target=target,
    )


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
