"""One run from a plan to a result, with what a person sees of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import trio
from msgspec.structs import replace
from rich.console import Console

from rookery.bench import result as results
from rookery.bench import server, slo
from rookery.bench.assemble import point, result
from rookery.bench.driver.report import Tick
from rookery.bench.fleet import Fleet, FleetError, Watcher
from rookery.bench.interrupt import Interrupted, terminable
from rookery.bench.live import Live
from rookery.bench.plan import Plan, PlanError
from rookery.bench.result import Point, Result
from rookery.bench.scenarios import find
from rookery.bench.search import SearchError, search
from rookery.bench.tables import run_table

#: Why a run cannot be made; the text is for the person who runs it.
ERRORS: Final = (FleetError, server.ServerError, slo.SloError, PlanError, SearchError)


class Lines:
    """A watcher that writes lines; a terminal gets the live view instead."""

    def __init__(self, plan: Plan) -> None:
        self._operation = find(plan.scenario).operation
        self._loads = find(plan.scenario).open_loop
        self._said = ("", -1)

    def progress(self, phase: str, done: int, of: int) -> None:
        """Say where the preparation is, in tenths."""
        tenth = (phase, 10 * done // max(of, 1))
        if tenth == self._said:
            return
        self._said = tenth
        click.echo(f"{phase}: {done} of {of}", err=True)

    def second(self, ticks: list[Tick], server_cpu: float | None) -> None:
        """Say what a second was like."""
        now = point(ticks, self._operation, server_cpu)
        click.echo(
            f"{now.t:4.0f} s  {f'sent {now.sent}  delivered {now.delivered}  {_latency(now)}' if self._loads else 'idle'}"
            f"  errors {now.errors}  driver {now.driver_cpu:.2f}"
            + ("" if now.server_cpu is None else f"  server {now.server_cpu:.2f}"),
            err=True,
        )


def _latency(now: Point) -> str:
    return f"p50 {now.p50:.2f} ms  p99 {now.p99:.2f} ms" if now.p50 else "p50 -  p99 -"


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
    """Run a plan once. Raises FleetError, server.ServerError, slo.SloError; Interrupted when it was ended by hand."""
    rules = [slo.parse(text) for text in plan.slo]
    started = datetime.now(UTC).isoformat(timespec="seconds")
    fleet = Fleet(plan, watcher, probe_of(plan))
    try:
        collected = await fleet.run()
    except KeyboardInterrupt:
        partial = fleet.partial()
        if partial is None:
            raise
        raise Interrupted(result(plan, partial, started)) from None
    made = result(plan, collected, started)
    return replace(made, slo=slo.judge(rules, made))


@contextlib.contextmanager
def watching(plan: Plan, *, quiet: bool) -> Iterator[Watcher]:
    """Who looks on at one run: the live view on a terminal, lines elsewhere; the steps of a search have a line each anyway."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        with Live(plan) as live:
            yield live
    else:
        yield Lines(plan)


def measure(plan: Plan, tell: Callable[[str], None], *, quiet: bool) -> Result:
    """Run the plan, or search for the highest rate. Raises what `run` raises, and SearchError."""

    def once(step: Plan) -> Result:
        with watching(step, quiet=quiet or bool(plan.search and not sys.stderr.isatty())) as watcher:
            return trio.run(run, step, watcher)

    return search(plan, once, tell) if plan.search else once(plan)


def run_and_show(plan: Plan, json_file: Path | None, html_file: Path | None, *, quiet: bool) -> int:
    """Run, write the files, print the result; returns the exit code."""

    def tell(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    try:
        with terminable():
            made = measure(plan, tell, quiet=quiet)
    except ERRORS as error:
        click.echo(f"rookery: {error}", err=True)
        return 1
    except Interrupted as stop:
        _show(stop.result, json_file, html_file)
        click.echo("rookery: interrupted, this is what was measured until then", err=True)
        return 130
    except KeyboardInterrupt:
        click.echo("rookery: interrupted", err=True)
        return 130
    _show(made, json_file, html_file)
    if not made.succeeded:
        click.echo("rookery: nothing succeeded: the table says what became of it", err=True)
        return 1
    if made.deserted:
        click.echo("rookery: every connection ended during the run: did the server?", err=True)
        return 1
    return slo.EXIT_BROKEN if made.broken else 0


def _show(made: Result, json_file: Path | None, html_file: Path | None) -> None:
    """Write the files and print the table."""
    if json_file is not None:
        results.write(json_file, made)
    if html_file is not None:
        from rookery.bench.html import report

        html_file.write_text(report(results.Runs((made,))), "utf-8")
    console = Console()
    console = console if console.is_terminal else Console(width=120)
    console.print(run_table(made))
