"""The report of one run or of several: one HTML file, charts inside, nothing loaded from elsewhere, light and dark.

The first thing on the page answers "is it ok?"; then the figures, the charts, and how to repeat it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final, Literal, NamedTuple

from rookery.bench.charts import Bar, Line, bar_chart, distribution, line_chart
from rookery.bench.compare import Figure, Spread, main_operation, values
from rookery.bench.histogram import Histogram
from rookery.bench.result import Result, Runs
from rookery.bench.tables import (
    FIGURE,
    MIXED,
    by_label,
    headline,
    mixed,
    number,
    server_figures,
    spread,
    title,
)

_STYLE: Final = Path(__file__).with_name("report.css")
#: Failed operations up to this share are a doubt; more are a failure.
_FEW: Final = 0.001

#: Reasons that the page of several runs begins with.
_REASONS: Final = 8

Level = Literal["ok", "doubt", "bad"]
_WORDS: Final[dict[Level, str]] = {"ok": "OK", "doubt": "Look closer", "bad": "Not OK"}


class Judgement(NamedTuple):
    """Whether a run is fine, and why not."""

    level: Level
    reasons: tuple[str, ...]


def judge(result: Result) -> Judgement:
    """What a person should think of a run: broken objectives, lost messages and failures first, doubts after."""
    bad = [
        f"objective {verdict.rule} broken: {number(verdict.value)}"
        for verdict in result.slo
        if not verdict.kept
    ]
    if result.search is not None and not result.search.rate:
        bad.append(f"no rate kept {' and '.join(result.search.rules)}")
    doubts = list(result.notes)
    messages = result.messages
    for count, text in (
        (messages.lost, "lost"),
        (messages.duplicated, "duplicated"),
        (messages.reordered, "out of order"),
    ):
        if count:
            bad.append(f"{number(count)} messages {text}")
    for name, operation in result.operations.items():
        told = f"{number(operation.failed)} of {number(operation.count + operation.failed)} {name} operations failed"
        if operation.failed > _FEW * operation.count:
            bad.append(told)
        elif operation.failed:
            doubts.append(told)
    if not any(operation.count for operation in result.operations.values()) and not result.connections:
        bad.append("nothing was done")
    if result.driver.saturated:
        doubts.append(f"the load generator was the limit, not the server: {result.driver.why}")
    level: Level = "bad" if bad else "doubt" if doubts else "ok"
    return Judgement(level, (*bad, *doubts))


def report(runs: Runs) -> str:
    """The page."""
    found = runs.runs
    if not found:
        body, title = "<h1>No run</h1><p>The file has no results.</p>", "No run"
    elif len(found) == 1:
        title = _title(found[0])
        body = f"<h1>{escape(title)}</h1><p>{escape(headline(found[0]))}</p>{_run(found[0])}"
    else:
        title = f"{found[0].scenario}: {len(by_label(found))} servers, {len(found)} runs"
        if len(by_label(found)) == 1:
            title = f"{_title(found[0])}, {len(found)} runs"
        body = f"<h1>{escape(title)}</h1>{_servers(found)}"
        body += "".join(
            f"<details><summary>{_badge(judge(run).level)} {escape(run.label or run.scenario)}, run {index}"
            f"</summary>{_run(run)}</details>"
            for index, run in _numbered(found)
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE.read_text('utf-8')}</style></head><body><main>{body}"
        "</main></body></html>\n"
    )


def _title(result: Result) -> str:
    target = result.label or result.environment.target or str(result.plan.get("target", ""))
    return f"{result.scenario} on {target}" if target else result.scenario


def _numbered(runs: Iterable[Result]) -> list[tuple[int, Result]]:
    counts: dict[str, int] = {}
    numbered = []
    for run in runs:
        counts[run.label] = counts.get(run.label, 0) + 1
        numbered.append((counts[run.label], run))
    return numbered


def _badge(level: Level) -> str:
    return f'<span class="badge {level}">{_WORDS[level]}</span>'


def _run(result: Result) -> str:
    judgement = judge(result)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in judgement.reasons)
    said = (
        f"<ul>{reasons}</ul>"
        if reasons
        else "<p>Every operation succeeded, and the figures are the server's.</p>"
    )
    return (
        f'<section class="verdict {judgement.level}">{_badge(judgement.level)}{said}</section>'
        f"{_cards(result)}{_search(result)}{_charts(result)}{_operations(result)}{_objectives(result)}{_processes(result)}"
        f"{_pairs('Plan', result.plan)}{_pairs('Environment', _environment(result))}"
    )


def _cards(result: Result) -> str:
    cards: list[tuple[str, str, str]] = []
    server = result.server
    each = server.pss_kib_per_connection if server is not None else None
    if not result.operations and each is not None:
        # Where nothing is done this is the question.
        cards.append(
            ("memory per connection", f"{number(each)} KiB", f"{number(result.connections)} connections")
        )
    if result.search is not None:
        rate = f"{number(result.search.rate)} per second"
        cards.append(("highest rate kept", rate, " and ".join(result.search.rules)))
    name = main_operation(result)
    if name:
        operation = result.operations[name]
        cards.append(
            (
                f"{name}s per second",
                number(operation.rate),
                f"{number(operation.count)} in {result.seconds:g} s",
            )
        )
        latency = operation.latency_ms
        cards.append(
            ("median latency", f"{number(latency.p50)} ms", f"99 of 100 within {number(latency.p99)} ms")
        )
    if result.messages.sent:
        messages = result.messages
        cards.append(("lost messages", number(messages.lost), f"of {number(messages.sent)} sent"))
    if server is not None:
        if server.cpu_us_per_stanza is not None:
            busy = server.cpu_s / result.seconds if result.seconds else 0.0
            cards.append(
                (
                    "server CPU per stanza",
                    f"{number(server.cpu_us_per_stanza)} us",
                    f"{busy:.2f} cores in use",
                )
            )
        per = server.pss_kib_per_connection
        told = (
            f"{number(per)} KiB per connection"
            if per is not None
            else f"{number(result.connections)} connections"
        )
        cards.append(("server memory", f"{number(server.pss_kib / 1024)} MiB", told))
    driver = result.driver
    told = f"busiest process at {driver.busiest:.0%} of a core"
    cards.append(("driver CPU per stanza", f"{number(driver.cpu_us_per_stanza)} us", told))
    shown = "".join(
        f'<div class="card"><span>{escape(label)}</span><b>{escape(value)}</b><small>{escape(more)}</small></div>'
        for label, value, more in cards
    )
    return f'<section class="cards">{shown}</section>'


def _charts(result: Result) -> str:
    series = result.series
    charts = [
        line_chart(
            "Throughput",
            "per second",
            [
                Line("sent", "b", [(point.t, point.sent) for point in series]),
                Line("delivered", "a", [(point.t, point.delivered) for point in series]),
                Line(
                    "failed",
                    "warn",
                    [(point.t, point.errors) for point in series if any(p.errors for p in series)],
                ),
            ],
        ),
        line_chart(
            "Latency",
            "ms",
            [
                Line("99th percentile", "b", [(point.t, point.p99 or None) for point in series]),
                Line("median", "a", [(point.t, point.p50 or None) for point in series]),
            ],
        ),
    ]
    name = main_operation(result)
    if name and result.operations[name].histogram:
        operation = result.operations[name]
        latency = operation.latency_ms
        marks = [("p50", latency.p50), ("p99", latency.p99), ("p99.9", latency.p99_9)]
        recorded = Histogram.decode(operation.histogram).recorded()
        charts.append(distribution(f"Latencies of {name}", recorded, marks))
    charts.append(
        line_chart(
            "CPU",
            "cores in use",
            [
                Line("server", "a", [(point.t, point.server_cpu) for point in series]),
                Line("driver", "b", [(point.t, point.driver_cpu) for point in series]),
            ],
        )
    )
    return f'<section class="charts">{"".join(charts)}</section>'


def _operations(result: Result) -> str:
    rows = []
    for name, operation in result.operations.items():
        latency = operation.latency_ms
        errors = ", ".join(f"{condition} {count}" for condition, count in sorted(operation.errors.items()))
        times = (latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max)
        shown = [number(value) if operation.count else "-" for value in times]
        rows.append((name, number(operation.count), number(operation.rate), *shown, errors or "none"))
    heads = ("operation", "done", "per second", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "failed")
    return _table("Operations", heads, rows)


def _search(result: Result) -> str:
    if result.search is None:
        return ""
    rows = [
        (
            number(step.rate),
            number(step.passed),
            *(number(verdict.value) for verdict in step.verdicts),
            f"{step.driver_busiest:.0%}",
            step.why or "kept",
        )
        for step in sorted(result.search.steps, key=lambda step: step.rate)
    ]
    heads = ("rate", "ended per second", *result.search.rules, "driver", "verdict")
    limit = f"<p>{escape(result.search.limit)}. All else on this page is of the run at {number(result.plan.get('rate'))} per second.</p>"
    return _table("Rates tried", heads, rows) + limit


def _objectives(result: Result) -> str:
    rows = [
        (verdict.rule, number(verdict.value), "kept" if verdict.kept else "BROKEN") for verdict in result.slo
    ]
    return _table("Objectives", ("rule", "measured", "verdict"), rows)


def _processes(result: Result) -> str:
    if result.server is None:
        return ""
    total = result.server.cpu_s or 1.0
    rows = [
        (
            process.name,
            str(process.pid),
            f"{process.cpu_s:.2f}",
            f"{process.cpu_s / total:.0%}",
            number(process.pss_kib),
        )
        for process in sorted(result.server.processes, key=lambda process: -process.cpu_s)
    ]
    return _table("Server processes", ("process", "pid", "CPU s", "share", "memory KiB"), rows)


def _environment(result: Result) -> dict[str, object]:
    environment = result.environment
    return {
        "started": result.started,
        "target": environment.target or "does not tell (XEP-0092)",
        "cpu": f"{environment.cpu}, {environment.cores} cores",
        "kernel": environment.kernel,
        "open files": environment.ulimit,
        "python": environment.python,
        **environment.versions,
    }


def _pairs(title: str, pairs: dict[str, object]) -> str:
    rows = [(key, str(value)) for key, value in pairs.items() if value not in ("", None, [], ())]
    if not rows:
        return ""
    return f"<details><summary>{escape(title)}</summary>{_table('', ('', ''), rows)}</details>"


def _servers(runs: Sequence[Result]) -> str:
    sets, columns = by_label(runs), server_figures(runs)
    sets = {title(label, found, told=mixed(runs)): found for label, found in sets.items()}
    rows = [
        (label, str(len(found)), *(_cell(figure, found) for figure in columns))
        for label, found in sets.items()
    ]
    heads = ("server", "runs", *(f"{figure.title}\n{figure.unit}".strip() for figure in columns))
    settings = [
        (label, str(found[0].plan["settings"]))
        for label, found in sets.items()
        if "settings" in found[0].plan
    ]
    warning = f"<p>{escape(MIXED)}.</p>" if mixed(runs) else ""
    return (
        f'{_overall(runs)}{warning}<section class="charts">{"".join(_bars(figure, sets) for figure in columns)}</section>'
        f"{_table('Medians (ranges)', heads, rows)}{_table('Settings', ('server', 'how it ran'), settings)}<h2>Runs</h2>"
    )


def _overall(runs: Sequence[Result]) -> str:
    """The worst judgement, and each reason once with the servers that it is about."""
    judged = [(run.label, judge(run)) for run in runs]
    levels = {judgement.level for _, judgement in judged}
    worst: Level = "bad" if "bad" in levels else "doubt" if "doubt" in levels else "ok"
    reasons: dict[str, tuple[str, dict[str, None]]] = {}
    for label, judgement in judged:
        for reason in judgement.reasons:
            # The same but for its figures is the same doubt; those of the first run stand for all.
            reasons.setdefault(FIGURE.sub("#", reason), (reason, {}))[1][label] = None
    lines = [
        f"<li>{escape(', '.join(labels))}: {escape(why)}</li>"
        for why, labels in list(reasons.values())[:_REASONS]
    ]
    if len(reasons) > _REASONS:
        lines.append(f"<li>and {len(reasons) - _REASONS} more: see the runs</li>")
    said = f"<ul>{''.join(lines)}</ul>" if lines else "<p>Every operation of every run succeeded.</p>"
    return f'<section class="verdict {worst}">{_badge(worst)}{said}</section>'


def _bars(figure: Figure, sets: dict[str, list[Result]]) -> str:
    bars = []
    for label, found in sets.items():
        if measured := values(figure, found):
            all_of = Spread.of(measured)
            bars.append(Bar(label, all_of.median, all_of.low, all_of.high, spread(all_of)))
    better = "more is better" if figure.higher_is_better else "less is better"
    return bar_chart(figure.title, f"{figure.unit}, {better}".lstrip(", "), bars)


def _cell(figure: Figure, found: Sequence[Result]) -> str:
    measured = values(figure, found)
    if not measured:
        return "-"
    of_all = Spread.of(measured)
    return (
        number(of_all.median)
        if of_all.low == of_all.high
        else f"{number(of_all.median)}\n{number(of_all.low)}-{number(of_all.high)}"
    )


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads) if any(heads) else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    return f'{heading}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
