"""The live view of a run on a terminal: how far it is, what passes each second, and whether anything fails."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rookery.bench.assemble import point
from rookery.bench.driver.report import Tick
from rookery.bench.plan import Plan
from rookery.bench.result import Point
from rookery.bench.scenarios import find
from rookery.bench.tables import number

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 40
#: Seconds between two drawings while users connect.
_REDRAW: Final = 0.1


def sparkline(values: Sequence[float], width: int = _WIDTH) -> str:
    """The last `width` values as blocks from zero to the highest; "" without values."""
    shown = list(values)[-width:]
    highest = max(shown, default=0.0)
    if highest <= 0:
        return _BLOCKS[0] * len(shown)
    last = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(max(value, 0.0) / highest * last)] for value in shown)


@dataclass(slots=True)
class State:
    """What the view shows. Times are seconds; `points` are those so far, warm-up included."""

    title: str
    warmup: float
    duration: float
    phases: dict[str, tuple[int, int]] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Operations that failed so far."""
        return sum(point.errors for point in self.points)


def view(state: State) -> RenderableType:
    """The whole picture."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=14)
    table.add_column(justify="right", min_width=12)
    table.add_column()
    for phase, (done, of) in state.phases.items():
        table.add_row(phase, f"{done} of {of}", ProgressBar(total=max(of, 1), completed=done, width=_WIDTH))
    if state.points:
        _seconds(table, state)
    return Group(Text(state.title, style="bold"), table)


def _seconds(table: Table, state: State) -> None:
    now, points = state.points[-1], state.points
    whole = state.warmup + state.duration
    elapsed = min(now.t + 1 + state.warmup, whole)
    phase = "warm-up" if now.t < 0 else "measured" if now.t < state.duration else "last answers"
    told = (
        f"{min(now.t + 1, state.duration):.0f} of {state.duration:g} s"
        if now.t >= 0
        else f"{-now.t:.0f} s more"
    )
    table.add_row(phase, told, ProgressBar(total=whole, completed=elapsed, width=_WIDTH))
    rows: list[tuple[str, str, list[float]]] = [
        ("sent", f"{number(now.sent)} /s", [point.sent for point in points]),
        ("delivered", f"{number(now.delivered)} /s", [point.delivered for point in points]),
        ("p50", f"{number(now.p50 or None)} ms", [point.p50 for point in points]),
        ("p99", f"{number(now.p99 or None)} ms", [point.p99 for point in points]),
    ]
    if now.server_cpu is not None:
        server = [point.server_cpu or 0.0 for point in points]
        rows.append(("server CPU", f"{now.server_cpu:.2f} cores", server))
    rows.append(("driver CPU", f"{now.driver_cpu:.2f} cores", [point.driver_cpu for point in points]))
    for name, text, values in rows:
        table.add_row(name, text, Text(sparkline(values), style="cyan"))
    style = "bold red" if state.failed else "green"
    table.add_row("failed", Text(number(state.failed), style=style), "")


class Live:
    """A watcher (`fleet.Watcher`) that draws on the terminal between `with` and its end; the picture goes away then."""

    def __init__(self, plan: Plan, console: Console | None = None) -> None:
        pace = f"{plan.rate:g} per second" if plan.rate else "closed loop"
        title = f"{plan.scenario}: {plan.users} users, {pace}, {plan.transport} to {plan.target}"
        self._state = State(title, plan.warmup, plan.duration)
        self._operation = find(plan.scenario).operation
        self._rich = RichLive(
            view(self._state), console=console or Console(stderr=True), auto_refresh=False, transient=True
        )
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rich.stop()

    def progress(self, phase: str, done: int, of: int) -> None:
        """Users that are through a phase of the preparation."""
        self._state.phases[phase] = (done, of)
        now = time.monotonic()
        if done == of or now - self._drawn >= _REDRAW:
            self._drawn = now
            self._draw()

    def second(self, ticks: list[Tick], server_cpu: float | None) -> None:
        """One second of all driver processes."""
        self._state.points.append(point(ticks, self._operation, server_cpu))
        self._draw()

    def _draw(self) -> None:
        self._rich.update(view(self._state), refresh=True)
