"""`rookery bench peers`: the same scenario on Rookery, Prosody and ejabberd, in turn."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from rookery.bench import result as results
from rookery.bench.cli import PLACE, layered, plan_options, search_option, writable
from rookery.bench.files import raise_files
from rookery.bench.interrupt import terminable
from rookery.bench.peers import ejabberd, prosody, rookery
from rookery.bench.peers.campaign import Campaign, Outcome, RunError
from rookery.bench.peers.peer import Peer, PeerError, choose
from rookery.bench.plan import Plan, PlanError, profile
from rookery.bench.result import Result, Runs
from rookery.bench.run import ERRORS, measure
from rookery.bench.scenarios import find, scenarios
from rookery.bench.tables import FIGURE, MIXED, mixed, number, servers_table

#: Servers where nothing is durable; those with an archive on Postgres are named by hand: they take much longer.
DEFAULT: Final = "rookery,rookery-relaxed,ejabberd,prosody-gc,prosody"
#: What a comparison runs unless it is told otherwise.
_BASE: Final = {
    "scenario": "chat",
    "transport": "plain",
    "users": 1000,
    "duration": 20.0,
    "warmup": 5.0,
    "ramp": 500.0,
    "processes": 1,
}
#: The same where the server speaks with others.
_FEDERATED: Final = {"domain": "bench.example"}
#: Files of a server that are not connections.
_SERVER_FILES: Final = 2_048
_QUICK: Final = {"users": 100, "duration": 3.0, "warmup": 1.0}


def all_peers(version: rookery.Version | None = None) -> list[Peer]:
    """Every server with every set of settings; `version` is the Rookery that is run."""
    return [*rookery.peers(version), *prosody.PEERS, *ejabberd.PEERS]


@click.command(
    "peers",
    epilog="Servers: "
    + "; ".join(f"{peer.name}: {peer.settings}" for peer in all_peers())
    + ". All are loaded through loopback with the same certificate and the same users, and all their processes are counted, "
    "Postgres and NATS included.",
)
@click.argument("scenario", required=False)
@click.option(
    "--repeat", type=click.IntRange(1, 100), default=3, show_default=True, help="Runs of each server."
)
@click.option(
    "--servers", default=DEFAULT, show_default=True, metavar="NAME,...", help="Which, in this order."
)
@click.option("--quick", is_flag=True, help="A few seconds with few users: shows that all works, no figures.")
@click.option("--profile", "profile_name", metavar="NAME|FILE", help="Begin with a profile.")
@click.option(
    "--up", "arguments", default="", metavar="OPTIONS", help="Options of `rookery up`, such as '--edges 2'."
)
@click.option(
    "--rookery",
    "command",
    default="",
    metavar="COMMAND",
    help="Run this Rookery instead of the one at hand, such as 'env PYTHONPATH=other/src python -m rookery'.",
)
@partial(plan_options, but=PLACE, base=_BASE)
@click.option("--storm", is_flag=True, default=None, help="All begin at once (login, resume).")
@search_option
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all results there."
)
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), help="Write a report there."
)
def peers(
    scenario: str | None,
    repeat: int,
    servers: str,
    quick: bool,
    profile_name: str | None,
    arguments: str,
    command: str,
    json_file: Path | None,
    html_file: Path | None,
    **options: Any,
) -> None:
    """Run SCENARIO (or that of the profile, or chat) on several servers of this machine and print medians, ranges and ratios."""
    given = {name: value for name, value in options.items() if value is not None}
    writable(json_file, html_file)
    try:
        version = rookery.Version(tuple(shlex.split(command)) or rookery.THIS, tuple(shlex.split(arguments)))
        chosen = choose(all_peers(version), [name for name in servers.split(",") if name])
        plan = planned(scenario, profile_name, quick=quick, given=given)
        raise_files(plan.users + _SERVER_FILES, "a server", "raise that, or use fewer --users")
    except (PeerError, PlanError) as error:
        raise click.UsageError(str(error)) from None
    console = Console(stderr=True)

    def tell(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    campaign = Campaign(plan, partial(_run, tell), tell)
    with terminable():
        outcome = campaign.compare(chosen, repeat)
    runs = Runs(tuple(outcome.results))
    if json_file is not None:
        results.write(json_file, runs)
    if html_file is not None:
        from rookery.bench.html import report

        html_file.write_text(report(runs), "utf-8")
    wide = Console()
    show(wide if wide.is_terminal else Console(width=160), outcome)
    click.get_current_context().exit(0 if outcome.results else 1)


def planned(scenario: str | None, profile_name: str | None, *, quick: bool, given: Mapping[str, Any]) -> Plan:
    """What is run: options go before --quick, that before the profile, that before the defaults. Raises PlanError."""
    base = profile(profile_name) if profile_name else {}
    named = {"scenario": scenario} if scenario else {}
    chosen = {**_BASE, **base, **named}["scenario"]
    # Other servers do not believe in localhost.
    federated = _FEDERATED if chosen in scenarios() and find(chosen).federates else {}
    return layered({**_BASE, **federated, **base}, _QUICK if quick else {}, {**given, **named}, measured=True)


def show(console: Console, outcome: Outcome) -> None:
    """The table, and what a reader of it must know."""
    if outcome.results:
        console.print(servers_table(outcome.results, width=console.width))
    for line in (*summary(outcome.results), *_left_out(outcome)):
        console.print(line, style="yellow", markup=False, highlight=False)


def summary(runs: Sequence[Result]) -> list[str]:
    """Each doubt once, with the servers that it is about: those that differ in nothing but their figures are one."""
    found: dict[str, list[tuple[str, str]]] = {}
    for result in runs:
        for doubt in doubts(result):
            found.setdefault(FIGURE.sub("#", doubt), []).append((result.label, doubt))
    lines = []
    for told in found.values():
        more = f" (and {len(told) - 1} more runs)" if len(told) > 1 else ""
        labels = ", ".join(dict.fromkeys(label for label, _ in told))
        lines.append(f"{labels}: {told[0][1]}{more}")
    return [*([MIXED] if mixed(runs) else []), *lines]


def _left_out(outcome: Outcome) -> list[str]:
    return [
        f"{name} left out: {why}"
        for name, reasons in outcome.skipped.items()
        for why in dict.fromkeys(reasons)
    ]


def doubts(result: Result) -> list[str]:
    """Why the figures of a run may not be the server's, or not be all."""
    found = list(result.notes)
    if result.search is not None:
        answer = "" if result.search.rate else f"no rate kept {' and '.join(result.search.rules)}; "
        found.append(answer + result.search.limit)
    if result.driver.saturated:
        found.append(f"the driver was the limit: {result.driver.why}")
    if result.messages.lost:
        found.append(f"{number(result.messages.lost)} messages lost")
    for name, operation in result.operations.items():
        if operation.failed:
            told = ", ".join(f"{condition} {count}" for condition, count in sorted(operation.errors.items()))
            found.append(f"{number(operation.failed)} {name} operations failed: {told}")
    return found


def _run(tell: Callable[[str], None], plan: Plan) -> Result:
    try:
        return measure(plan, tell, quiet=True)
    except ERRORS as error:
        raise RunError(str(error)) from error
