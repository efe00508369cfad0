"""`rookery bench report` and `rookery bench compare`: what result files say."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from rookery.bench import result as results
from rookery.bench.cli import writable
from rookery.bench.compare import compare as differences
from rookery.bench.result import Result, ResultError
from rookery.bench.tables import by_label, comparison_table, run_table, servers_table

_FILE = click.Path(path_type=Path, dir_okay=False)


def console() -> Console:
    """Tables keep their columns when they go to a file."""
    found = Console()
    return found if found.is_terminal else Console(width=160)


@click.command("report")
@click.argument("file", type=_FILE)
@click.option("--html", "html_file", type=_FILE, help="Write the report as HTML there.")
@click.option(
    "--reference", default="", metavar="SERVER", help="Ratios are to this server; by default the first."
)
def report(file: Path, html_file: Path | None, reference: str) -> None:
    """Print the result FILE, and write it as HTML."""
    writable(html_file)
    runs = _read(file)
    if html_file is not None:
        from rookery.bench.html import report as page

        html_file.write_text(page(results.Runs(tuple(runs))), "utf-8")
    if len(by_label(runs)) > 1:
        console().print(servers_table(runs, reference, width=console().width))
    else:
        for run in runs:
            console().print(run_table(run))


@click.command(
    "compare",
    epilog="Files of several runs (four or more on each side) tell how sure a difference is; even then, of twenty figures that "
    "did not change, one looks changed by chance.",
)
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@click.option(
    "--server", default="", metavar="NAME", help="In files of several servers: this one of both files."
)
@click.option("--fail-if-worse", is_flag=True, help="Exit code 3 when a figure is shown to be worse.")
def compare(before: Path, after: Path, server: str, fail_if_worse: bool) -> None:
    """Compare the runs of two result files; ratios are AFTER / BEFORE."""
    left, right = _pick(before, server), _pick(after, server)
    if {run.scenario for run in left} != {run.scenario for run in right}:
        raise click.UsageError(
            f"{before} is of {_scenarios(left)}, {after} of {_scenarios(right)}: compare runs of the same scenario"
        )
    out = console()
    answers = {"rate"} if left[0].search and right[0].search else set()
    for key in sorted(left[0].plan.keys() | right[0].plan.keys()):
        old, new = left[0].plan.get(key), right[0].plan.get(key)
        if old != new and key not in {"target", "ready_file", "server_pids", "register", "slo"} | answers:
            out.print(Text(f"the plans differ: {key} {old} -> {new}", style="yellow"))
    found = differences(left, right)
    out.print(comparison_table(found, before.name, after.name))
    worse = fail_if_worse and any(difference.verdict == "worse" for difference in found)
    click.get_current_context().exit(3 if worse else 0)


def _read(file: Path) -> list[Result]:
    try:
        runs = results.read(file).runs
    except ResultError as error:
        raise click.ClickException(str(error)) from None
    if not runs:
        raise click.ClickException(f"{file} has no results")
    return list(runs)


def _pick(file: Path, server: str) -> list[Result]:
    runs = _read(file)
    sets = by_label(runs)
    if (server and len(sets) > 1) or server in sets:
        if server not in sets:
            raise click.ClickException(f"{file} has no server {server}: there are {', '.join(sets)}")
        return sets[server]
    if len(sets) > 1:
        raise click.UsageError(f"{file} is of several servers ({', '.join(sets)}): choose one with --server")
    return runs


def _scenarios(runs: list[Result]) -> str:
    return " and ".join(sorted({run.scenario for run in runs}))
