"""One run from a plan to a result, with what a person sees of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import trio

from rookery.bench import result as results
from rookery.bench import server, slo
from rookery.bench.assemble import point, result
from rookery.bench.driver.report import Tick
from rookery.bench.fleet import Fleet, FleetError, Watcher
from rookery.bench.plan import Plan
from rookery.bench.result import Result
from rookery.bench.scenarios import find


class Lines:
    """A watcher that writes lines; a terminal gets the live view instead."""

    def __init__(self, plan: Plan) -> None:
        self._operation = find(plan.scenario).operation

    def progress(self, phase: str, done: int, of: int) -> None:
        """Say where the preparation is."""
        click.echo(f"{phase}: {done} of {of}", err=True)

    def second(self, ticks: list[Tick], server_cpu: float | None) -> None:
        """Say what a second was like."""
        now = point(ticks, self._operation, server_cpu)
        click.echo(
            f"{now.t:4.0f} s  sent {now.sent}  delivered {now.delivered}  p50 {now.p50:.2f} ms  p99 {now.p99:.2f} ms"
            f"  errors {now.errors}  driver {now.driver_cpu:.2f}"
            + ("" if now.server_cpu is None else f"  server {now.server_cpu:.2f}"),
            err=True,
        )


class Silent:
    """A watcher that says nothing."""

    def progress(self, phase: str, done: int, of: int) -> None:
        """Say nothing."""

    def second(self, ticks: list[Tick], server_cpu: float | None) -> None:
        """Say nothing."""


def probe_of(plan: Plan) -> server.Probe | None:
    """A probe of the server's processes, None when the plan names none. Raises server.ServerError."""
    roots = [server.Root(pid) for pid in plan.server_pids]
    if plan.ready_file:
        roots += server.read_ready_file(Path(plan.ready_file))
    return server.Probe(roots) if roots else None


async def run(plan: Plan, watcher: Watcher) -> Result:
    """Run a plan once. Raises FleetError, server.ServerError, slo.SloError."""
    rules = [slo.parse(text) for text in plan.slo]
    started = datetime.now(UTC).isoformat(timespec="seconds")
    collected = await Fleet(plan, watcher, probe_of(plan)).run()
    made = result(plan, collected, started)
    from msgspec.structs import replace

    return replace(made, slo=slo.judge(rules, made))


def run_and_show(plan: Plan, json_file: Path | None, html_file: Path | None, *, quiet: bool) -> int:
    """Run, write the files, print the result; returns the exit code."""
    watcher: Watcher = Silent() if quiet else Lines(plan)
    try:
        made = trio.run(run, plan, watcher)
    except (FleetError, server.ServerError, slo.SloError) as error:
        click.echo(f"rookery: {error}", err=True)
        return 1
    if json_file is not None:
        results.write(json_file, made)
    click.echo(results.encode(made).decode())
    return slo.EXIT_BROKEN if made.broken else 0
