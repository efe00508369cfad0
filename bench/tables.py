"""Tables for the terminal: one run, a comparison of two sets of runs, and several servers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rookery.bench.compare import Difference, Figure, Spread, figures, main_operation, values
from rookery.bench.result import Dead, Found, Result, Server
from rookery.bench.scenarios import find

#: Columns of text that a table of servers needs to have a row for each.
_WIDE: Final = 120
#: Figures in a sentence: doubts that differ in nothing else are the same.
FIGURE: Final = re.compile(r"\d+(?:[. ]\d+)*")
#: What a reader of figures of both must know.
MIXED: Final = (
    "durable and volatile servers do not do the same work: the ones have each message on disk before they accept it, "
    "the others lose messages with a crash"
)
_COLOURS: Final = {"better": "green", "worse": "bold red"}


def number(value: float | None) -> str:
    """A figure with three significant digits, and with thousands apart."""
    if value is None:
        return "-"
    magnitude = abs(value)
    if magnitude >= 100:
        return f"{value:,.0f}".replace(",", " ")
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}" if magnitude >= 1 else f"{value:.3f}"


def spread(value: Spread, unit: str = "") -> str:
    """`median (low-high) unit`; without the range when there is none."""
    shown = number(value.median)
    if value.low != value.high:
        shown += f" ({number(value.low)}-{number(value.high)})"
    return f"{shown} {unit}".rstrip()


def run_table(result: Result) -> RenderableType:
    """What a person wants to know after one run."""
    table = Table(
        title=headline(result),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in (
        "operation",
        "done",
        "per s",
        "failed",
        "p50 ms",
        "p90",
        "p99",
        "p99.9",
        "max",
    ):
        table.add_column(name, justify="left" if name == "operation" else "right")
    for name, operation in result.operations.items():
        latency = operation.latency_ms
        times = (latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max)
        shown = [number(value) if operation.count else "-" for value in times]
        failed = Text(number(operation.failed), style="bold red" if operation.failed else "")
        table.add_row(name, number(operation.count), number(operation.rate), failed, *shown)
    top: RenderableType = table if result.operations else Text(headline(result), style="italic")
    whole = Group(top, *(Text(line, style=style) for line, style in _lines(result)))
    return whole if result.search is None else Group(search_table(result.search), whole)


def headline(result: Result) -> str:
    """What was run: `chat: 1000 users, 2 000 per second, starttls, 15 s`."""
    plan = result.plan
    if not {"users", "rate", "transport"} <= plan.keys():
        return f"{result.scenario}, {result.seconds:.3g} s"
    pace = "closed loop" if find(result.scenario).closed_loop else ""
    pace = (
        "all at once" if plan.get("storm") else f"{number(plan['rate'])} per second" if plan["rate"] else pace
    )
    if not find(result.scenario).open_loop:
        pace = "silent"
    return f"{result.scenario}: {plan['users']} users, {pace}, {plan['transport']}, {result.seconds:.3g} s"


def search_table(found: Found) -> RenderableType:
    """The steps of a search, lowest rate first, and its answer."""
    table = Table(title="rates tried", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("rate", "ended /s", *found.rules, "server us", "driver"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for step in sorted(found.steps, key=lambda step: step.rate):
        values = [number(verdict.value) for verdict in step.verdicts]
        table.add_row(
            number(step.rate),
            number(step.passed),
            *values,
            number(step.server_cpu_us),
            f"{step.driver_busiest:.0%}",
            Text("kept", style="green") if step.kept else Text(step.why, style="red"),
        )
    rules = " and ".join(found.rules)
    answer = (
        Text(f"highest rate kept with {rules}: {number(found.rate)} per second", style="bold green")
        if found.rate
        else Text(f"no rate kept {rules}", style="bold red")
    )
    return Group(table, answer, Text(found.limit, style="yellow"))


def _lines(result: Result) -> list[tuple[str, str]]:
    lines = []
    each = result.server.pss_kib_per_connection if result.server is not None else None
    if not result.operations and each is not None:
        lines.append((f"memory per connection: {number(each)} KiB", "bold"))
    for name, operation in result.operations.items():
        if operation.errors:
            told = ", ".join(f"{condition} {count}" for condition, count in sorted(operation.errors.items()))
            lines.append((f"{name} failed: {told}", "red"))
    messages = result.messages
    if not result.operations:
        lines.append((f"connections: {result.connections}", ""))
    if messages.sent:
        bad = messages.lost or messages.duplicated or messages.reordered or messages.refused
        text = f"messages, warm-up included: {messages.sent} sent, {messages.delivered} delivered, {messages.lost} lost, "
        text += f"{messages.duplicated} duplicated, {messages.reordered} out of order"
        text += f", {messages.refused} refused" if messages.refused else ""
        lines.append((text, "bold red" if bad else ""))
    lines += [(_dead(dead), "") for dead in result.dead]
    if result.server is not None:
        lines.append((_server(result.server, result.seconds), ""))
    driver = result.driver
    text = (
        f"{number(driver.cpu_us_per_stanza)} us per stanza, " if driver.cpu_us_per_stanza is not None else ""
    )
    text += f"{driver.processes} process{'es' if driver.processes != 1 else ''}, the busiest at {driver.busiest:.0%} of a core"
    if result.plan.get("rate"):
        text += f", {number(driver.late_p99_ms)} ms late (p99)"
    lines.append((f"driver: {text}", ""))
    if driver.saturated:
        lines.append((f"THE DRIVER WAS THE LIMIT, not the server: {driver.why}", "bold red"))
    for verdict in result.slo:
        kept = "kept" if verdict.kept else "BROKEN"
        lines.append(
            (
                f"objective {verdict.rule}: {kept} ({number(verdict.value)})",
                "green" if verdict.kept else "bold red",
            )
        )
    lines += [(note, "yellow") for note in result.notes]
    return lines


def _dead(dead: Dead) -> str:
    """How often the server tried; what cannot be counted is left out."""
    tried = [
        f"{number(total)} {name} ({number(total / dead.domains)} a domain, at most {number(most)})"
        for name, total, most in (
            ("connections", dead.connections, dead.most_connections),
            ("questions to its DNS", dead.questions, dead.most_questions),
        )
        if total
    ]
    return f"dead of {dead.manner}: {dead.domains} domains, {' and '.join(tried) or 'never tried'}"


def _server(server: Server, seconds: float) -> str:
    text = f"server: {number(server.cpu_us_per_stanza)} us CPU per stanza, "
    if server.cpu_us_per_stanza is None:
        text = f"server: {number(server.cpu_s / seconds if seconds else 0.0)} cores in use, "
    text += f"{number(server.pss_kib / 1024)} MiB"
    if server.pss_kib_per_connection is not None:
        text += f", {number(server.pss_kib_per_connection)} KiB per connection"
    shares = sorted(server.processes, key=lambda process: -process.cpu_s)
    told = ", ".join(
        f"{process.name} {number(process.cpu_s)} s" for process in shares if process.cpu_s >= 0.005
    )
    return f"{text}; CPU: {told}" if told else text


def comparison_table(differences: Sequence[Difference], before: str, after: str) -> Table:
    """Figures of two sets of runs; the ratio is after / before."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure")
    for name in (before, after, "ratio", "95 % interval"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for found in differences:
        interval = "-"
        if found.low is not None and found.high is not None:
            interval = f"{number(found.low)}-{number(found.high)}"
        ratio = "-" if found.ratio is None else f"{found.ratio:.2f}x"
        table.add_row(
            found.figure.title,
            spread(found.before, found.figure.unit),
            spread(found.after, found.figure.unit),
            ratio,
            interval,
            Text(found.verdict, style=_COLOURS.get(found.verdict, "")),
        )
    return table


def by_label(runs: Sequence[Result]) -> dict[str, list[Result]]:
    """The runs of each server, in the order in which they first came."""
    sets: dict[str, list[Result]] = {}
    for run in runs:
        sets.setdefault(run.label or "-", []).append(run)
    return sets


def mixed(runs: Sequence[Result]) -> bool:
    """Whether some of the servers keep messages through a crash and others do not."""
    return len({run.plan["durable"] for run in runs if "durable" in run.plan}) > 1


def title(label: str, found: Sequence[Result], *, told: bool) -> str:
    """A server's name, and with `told` whether it is durable."""
    durable = found[0].plan.get("durable")
    return f"{label} ({'durable' if durable else 'volatile'})" if told and durable is not None else label


def server_figures(runs: Sequence[Result]) -> list[Figure]:
    """The columns of a table of servers."""
    leading = {main_operation(run) for run in runs}
    wanted = {"search.rate", "server.cpu_us", "lost", "errors", "server.pss_kib", "driver.cpu_us"}
    wanted |= {f"{name}.{part}" for name in leading for part in ("rate", "p50", "p99")}
    if any(run.scenario == "idle" for run in runs):
        wanted.add("server.pss_kib_per_connection")
    found = [figure for figure in figures(runs) if figure.name in wanted]
    # A column of zeros says less than the line that says so.
    return [figure for figure in found if figure.name not in ("lost", "errors") or any(values(figure, runs))]


def servers_table(runs: Sequence[Result], reference: str = "", *, width: int = _WIDE) -> Table:
    """Medians, ranges, and ratios to the `reference` (by default the first server): a row for each server, a column for each
    figure; the other way round where fewer than `width` columns of text are to be had."""
    sets = by_label(runs)
    reference = reference if reference in sets else next(iter(sets), "")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, caption=f"ratios to {reference}", caption_justify="left")
    columns = server_figures(runs)
    names = {label: title(label, found, told=mixed(runs)) for label, found in sets.items()}
    cells = {
        label: [_cell(figure, found, sets[reference]) for figure in columns] for label, found in sets.items()
    }
    if width < _WIDE:
        table.add_column("figure")
        for label, found in sets.items():
            table.add_column(
                f"{names[label]}\n{len(found)} run{'s' if len(found) > 1 else ''}",
                justify="right",
                no_wrap=True,
            )
        for place, figure in enumerate(columns):
            table.add_row(f"{figure.title}\n{figure.unit}", *(cells[label][place] for label in sets))
        return table
    table.add_column("server")
    table.add_column("runs", justify="right")
    for figure in columns:
        table.add_column(f"{figure.title}\n{figure.unit}", justify="right")
    for label, found in sets.items():
        table.add_row(names[label], str(len(found)), *cells[label])
    return table


def _cell(figure: Figure, found: Sequence[Result], reference: Sequence[Result]) -> Text:
    here, there = values(figure, found), values(figure, reference)
    if not here:
        return Text("-")
    median, base = Spread.of(here), Spread.of(there) if there else None
    cell = Text(number(median.median))
    if base is not None and base.median and found is not reference:
        cell.append(f"  {median.median / base.median:.2f}x", style="bold")
    if median.low != median.high:
        cell.append(f"\n{number(median.low)}-{number(median.high)}", style="dim")
    return cell
