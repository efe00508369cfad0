"""The parent of the driver processes: starts them, lets them begin together, collects what they report every second."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from subprocess import PIPE
from typing import Final, Protocol

import msgspec
import trio

from rookery.bench.driver.report import (
    Done,
    Failed,
    Go,
    Landed,
    Onward,
    Order,
    Progress,
    Quit,
    Ready,
    Tick,
    ToDriver,
    ToParent,
)
from rookery.bench.plan import Plan
from rookery.bench.remedies import remedy_of
from rookery.bench.result import Messages, ServerProcess
from rookery.bench.scenarios import find
from rookery.bench.server import Probe

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ToParent)
#: From the word to begin until the beginning: all processes have read it by then.
_BARRIER_NS: Final = 300_000_000
_SECOND: Final = 1_000_000_000


class FleetError(Exception):
    """The run cannot be made or went wrong: one line for the person who runs it."""


class Watcher(Protocol):
    """Who looks on."""

    def progress(self, phase: str, done: int, of: int) -> None:
        """The preparation goes on: users of all processes that are through the phase."""
        ...

    def second(self, ticks: list[Tick], server_cpu: float | None) -> None:
        """One second of all processes; `server_cpu` is the server's CPU seconds in it."""
        ...


@dataclass
class Collected:
    """All that the driver processes reported, and the readings of the server."""

    ready: list[Ready] = field(default_factory=list)
    ticks: list[list[Tick]] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    server_cpu: dict[int, float] = field(default_factory=dict)
    idle: tuple[ServerProcess, ...] = ()
    #: The server with the first part of the users, where a scenario has parts, and how many those were.
    landed: tuple[ServerProcess, ...] = ()
    landed_connections: int = 0
    before: tuple[ServerProcess, ...] = ()
    after: tuple[ServerProcess, ...] = ()
    notes: list[str] = field(default_factory=list)


class _Driver:
    """One child."""

    def __init__(self, number: int, process: trio.Process) -> None:
        self.number = number
        self.process = process
        self.progress = Progress("", 0, 0)
        self.landed: Landed | None = None
        self.ready: Ready | None = None
        self.done: Done | None = None
        self.ticks: dict[int, Tick] = {}

    async def say(self, what: Order | ToDriver) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(_ENCODER.encode(what) + b"\n")


class Fleet:
    """Runs one plan once."""

    def __init__(self, plan: Plan, watcher: Watcher, probe: Probe | None = None) -> None:
        self._plan = plan
        self._watcher = watcher
        self._probe = probe
        self._drivers: list[_Driver] = []
        self._news = trio.Event()
        self._collected = Collected()
        self._shown: int | None = None

    async def run(self) -> Collected:
        """Prepare, load, collect. Raises FleetError."""
        collected, plan = self._collected, self._plan
        if self._probe is not None:
            collected.idle = self._probe.processes()
        try:
            async with trio.open_nursery() as nursery:
                for number in range(plan.processes):
                    command = [sys.executable, "-m", "rookery.bench.driver.process"]
                    # In a process group of its own: Ctrl-C is for this process, which ends its children. Not in a session:
                    # schedulers treat sessions as units, and the driver would cost more per stanza on a busy machine.
                    process = await trio.lowlevel.open_process(
                        command, stdin=PIPE, stdout=PIPE, process_group=0
                    )
                    driver = _Driver(number, process)
                    self._drivers.append(driver)
                    nursery.start_soon(self._listen, driver)
                    await driver.say(Order(plan, number, plan.processes))
                if find(plan.scenario).part > 1:
                    await self._hold()
                await self._until(lambda: all(driver.ready is not None for driver in self._drivers))
                collected.ready = [driver.ready for driver in self._drivers if driver.ready is not None]
                _check(collected.ready, plan)
                await self._load(nursery)
                collected.done = [driver.done for driver in self._drivers if driver.done is not None]
                collected.ticks = [list(driver.ticks.values()) for driver in self._drivers]
                for driver in self._drivers:
                    await driver.say(Quit())
        except BaseExceptionGroup as group:
            for kind in (KeyboardInterrupt, FleetError):
                found = group.subgroup(kind)
                if found is not None:
                    raise _leaf(found) from None
            raise
        finally:
            if self._probe is not None and collected.before and not collected.after:
                collected.after = self._probe.processes()
            await self._end()
        if self._probe is not None:
            collected.notes += sorted(self._probe.notes)
        return collected

    def partial(self) -> Collected | None:
        """What was measured when the run was ended by hand; None before the window began."""
        collected, plan = self._collected, self._plan
        seconds = 1 + max((second for driver in self._drivers for second in driver.ticks), default=-1)
        seconds = min(seconds, math.ceil(plan.duration))
        if seconds <= 0:
            return None
        note = (
            f"interrupted after {seconds} of {plan.duration:g} s: what was under way then counts as nothing"
        )
        for driver in self._drivers:
            ticks = [tick for tick in driver.ticks.values() if 0 <= tick.second < seconds]
            sent, delivered = sum(tick.sent for tick in ticks), sum(tick.delivered for tick in ticks)
            collected.ticks.append(list(driver.ticks.values()))
            collected.done.append(
                Done(
                    messages=Messages(sent=sent, delivered=delivered),
                    sent=sent,
                    delivered=delivered,
                    cpu_ns=sum(tick.cpu_ns for tick in ticks),
                    window_ns=seconds * _SECOND,
                )
            )
        collected.notes.append(note)
        return collected

    async def _hold(self) -> None:
        """Measure the server with the first part of the users, then let the others in."""
        collected, plan = self._collected, self._plan
        await self._until(lambda: all(driver.landed is not None for driver in self._drivers))
        landed = [driver.landed for driver in self._drivers if driver.landed is not None]
        there = sum(one.connected for one in landed)
        if self._probe is not None and (there or not any(one.unable for one in landed)):
            seconds = plan.warmup + plan.duration
            self._watcher.progress(f"waiting {seconds:g} s with a part of the users", there, plan.users)
            await trio.sleep(seconds)
            collected.landed, collected.landed_connections = self._probe.processes(), there
        for driver in self._drivers:
            await driver.say(Onward())

    async def _load(self, nursery: trio.Nursery) -> None:
        at = time.monotonic_ns() + _BARRIER_NS
        for driver in self._drivers:
            await driver.say(Go(at))
        if self._probe is not None:
            nursery.start_soon(self._measure, at, self._probe)
        await self._until(lambda: all(driver.done is not None for driver in self._drivers))
        if self._probe is not None and not self._collected.after:
            self._collected.after = self._probe.processes()
        nursery.cancel_scope.deadline = trio.current_time() + 10

    async def _measure(self, at: int, probe: Probe) -> None:
        """Read the server's clocks every second, and its memory at both ends of the window."""
        collected, plan = self._collected, self._plan
        first = at + int(plan.warmup * _SECOND)
        second = -int(plan.warmup)
        if second == 0:
            # Reading takes a while, and without a warm-up all may be over by then.
            await _sleep_until(first - _BARRIER_NS // 2)
            collected.before = probe.processes()
        await _sleep_until(first + second * _SECOND)
        last = probe.cpu_s()
        while second < plan.duration and not collected.after:
            if second == 0 and not collected.before:
                collected.before = probe.processes()
            await _sleep_until(min(first + (second + 1) * _SECOND, first + int(plan.duration * _SECOND)))
            now = probe.cpu_s()
            collected.server_cpu[second] = now - last
            self._show(second)
            last = now
            second += 1
        if not collected.after:
            collected.after = probe.processes()

    async def _listen(self, driver: _Driver) -> None:
        assert driver.process.stdout is not None
        rest = b""
        async for data in driver.process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._heard(driver, _DECODER.decode(line))
            self._news.set()
        if driver.done is None:
            code = await driver.process.wait()
            raise FleetError(f"driver process {driver.number} ended ({code})")

    def _heard(self, driver: _Driver, report: ToParent) -> None:
        match report:
            case Progress():
                driver.progress = report
                same = [other.progress for other in self._drivers if other.progress.phase == report.phase]
                done, total = sum(one.done for one in same), sum(one.of for one in same)
                self._watcher.progress(report.phase, done, total)
            case Landed():
                driver.landed = report
            case Ready():
                driver.ready = report
            case Tick():
                known = driver.ticks.get(report.second)
                driver.ticks[report.second] = report if known is None else add(known, report)
                self._show(report.second)
            case Done():
                driver.done = report
            case Failed():
                raise FleetError(report.text)

    def _show(self, second: int) -> None:
        """Show a second once all have told of it, and the server's clocks were read."""
        collected = self._collected
        ticks = [driver.ticks[second] for driver in self._drivers if second in driver.ticks]
        if len(ticks) < len(self._drivers) or (self._shown is not None and second <= self._shown):
            return
        if second >= self._plan.duration and not any(tick.delivered or tick.parts for tick in ticks):
            return
        measured = -int(self._plan.warmup) <= second < self._plan.duration and not collected.after
        if self._probe is not None and measured and second not in collected.server_cpu:
            return
        self._shown = second
        self._watcher.second(ticks, collected.server_cpu.get(second))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news = trio.Event()
            await self._news.wait()

    async def _end(self) -> None:
        """No child outlives this one."""
        with trio.CancelScope(shield=True):
            with trio.move_on_after(5):
                for driver in self._drivers:
                    if driver.process.stdin is not None:
                        await driver.process.stdin.aclose()
                for driver in self._drivers:
                    await driver.process.wait()
            for driver in self._drivers:
                if driver.process.poll() is None:
                    driver.process.kill()
                    await driver.process.wait()


def unprepared(ready: Sequence[Ready], plan: Plan) -> str:
    """How many users cannot take part, why, and what can be done; "" when all can."""
    failed: dict[str, int] = {}
    why: dict[str, str] = {}
    for one in ready:
        why.update(one.why)
        for condition, count in one.failed.items():
            failed[condition] = failed.get(condition, 0) + count
    unable = sum(one.unable for one in ready)
    if not unable:
        return ""
    told = [
        f"{count} {condition}" + (f" ({why[condition]})" if condition in why else "")
        for condition, count in sorted(failed.items())
    ]
    remedies = dict.fromkeys(remedy for condition in failed if (remedy := remedy_of(condition, plan)))
    return "; ".join((f"{unable} of {plan.users} users could not be prepared: {', '.join(told)}", *remedies))


def _check(ready: Sequence[Ready], plan: Plan) -> None:
    """Raises FleetError when there is nobody to make a load with."""
    for one in ready:
        if one.impossible:
            raise FleetError(one.impossible)
    if sum(one.unable for one in ready) >= plan.users or any(one.hopeless for one in ready):
        raise FleetError(unprepared(ready, plan))


def add(one: Tick, other: Tick) -> Tick:
    """Two reports of the same second as one (the last may come in two pieces)."""
    parts = dict(one.parts)
    for name, part in other.parts.items():
        known = parts.get(name)
        if known is not None:
            errors = {
                key: known.errors.get(key, 0) + part.errors.get(key, 0) for key in known.errors | part.errors
            }
            part = msgspec.structs.replace(part, counts=known.counts + part.counts, errors=errors)
        parts[name] = part
    return Tick(
        second=one.second,
        sent=one.sent + other.sent,
        delivered=one.delivered + other.delivered,
        connected=other.connected,
        cpu_ns=one.cpu_ns + other.cpu_ns,
        parts=parts,
        late=one.late + other.late,
    )


def _leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _leaf(first) if isinstance(first, BaseExceptionGroup) else first


async def _sleep_until(at_ns: int) -> None:
    await trio.sleep(max(0, at_ns - time.monotonic_ns()) / 1e9)
