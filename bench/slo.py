"""Service level objectives of a run: `chat.p99<50ms`, `lost==0`, `server.cpu_us<60`; a broken one makes the exit code 3.

A rule is FIGURE OPERATOR VALUE. Figures: `OPERATION.p50|p90|p99|p99_9|max|mean` (values may end in us, ms or s; plain
numbers are milliseconds), `OPERATION.rate|count|errors`, `errors` (all operations), `sent`, `delivered`, `lost`,
`duplicated`, `reordered`, `refused`, `connections`, `search.rate`, `server.cpu_us|cpu_s|pss_kib|pss_kib_per_connection`, `driver.cpu_us|busiest|late_p99`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Final

from msgspec import Struct

from rookery.bench.plan import Plan
from rookery.bench.result import Messages, Result, Verdict
from rookery.bench.scenarios import find

EXIT_BROKEN: Final = 3
_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_RULE: Final = re.compile(
    r"\s*([a-z][\w.-]*)\s*(<=|>=|==|!=|<|>)\s*(\d+(?:\.\d+)?)\s*(us|ms|s|%)?\s*", re.ASCII
)
#: What a value's unit makes of it, in the unit of the figure (milliseconds; a share).
_LATENCY_UNITS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "": 1.0}
_LATENCIES: Final = ("p50", "p90", "p99", "p99_9", "max", "mean")
_COUNTS: Final = ("rate", "count", "errors")
_MESSAGES: Final = Messages.__struct_fields__
_SERVER: Final = {
    "cpu_us": "cpu_us_per_stanza",
    "cpu_s": "cpu_s",
    "pss_kib": "pss_kib",
    "pss_kib_per_connection": "pss_kib_per_connection",
}
_DRIVER: Final = {"cpu_us": "cpu_us_per_stanza", "busiest": "busiest", "late_p99": "late_p99_ms"}


class SloError(ValueError):
    """A rule cannot be read: the text says what is wrong and what would be right."""


class Rule(Struct, frozen=True):
    """One objective as it was written, and what it compares (latencies in milliseconds)."""

    text: str
    figure: str
    sign: str
    bound: float


def parse(text: str) -> Rule:
    """The rule that a person wrote. Raises SloError."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise SloError(f"{text!r} is no rule: write FIGURE OPERATOR VALUE, like chat.p99<50ms or lost==0")
    figure, sign, number, unit = found[1], found[2], float(found[3]), found[4] or ""
    if not _known(figure):
        raise SloError(
            f"{text!r}: no figure {figure!r}; there are OPERATION.{'|'.join((*_LATENCIES, *_COUNTS))}, errors, "
            f"{', '.join(_MESSAGES)}, connections, search.rate, server.{'|'.join(_SERVER)}, driver.{'|'.join(_DRIVER)}"
        )
    latency = figure.rpartition(".")[2] in _LATENCIES or figure == "driver.late_p99"
    if latency:
        if unit not in _LATENCY_UNITS:
            raise SloError(f"{text!r}: a latency is in us, ms or s")
        number *= _LATENCY_UNITS[unit]
    elif unit == "%" and figure == "driver.busiest":
        number /= 100
    elif unit:
        raise SloError(f"{text!r}: {figure} has no unit, leave {unit!r} out")
    return Rule(text.strip(), figure, sign, number)


def possible(rule: Rule, plan: Plan, *, server: bool) -> None:
    """Refuse a rule about what a run of this plan will not have; `server` says that its processes are measured. Raises SloError."""
    scenario, figure = find(plan.scenario), rule.figure
    subject = figure.rpartition(".")[0]
    if subject == "server" and not server:
        raise SloError(f"{rule.text}: name the server's processes by --server-pids or --ready-file")
    if figure == "search.rate":
        if not plan.search:
            raise SloError(f"{rule.text}: only a --search finds a rate")
    elif subject not in ("", "server", "driver") and subject not in scenario.measures():
        near = get_close_matches(subject, scenario.measures(), 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise SloError(
            f"{rule.text}: {plan.scenario} has no {subject}: {meant}it has {', '.join(scenario.measures())}"
        )
    elif figure in _MESSAGES and not scenario.numbers_messages():
        raise SloError(f"{rule.text}: {plan.scenario} numbers no messages, so none can be {figure}")


def judge(rules: Sequence[Rule], result: Result) -> tuple[Verdict, ...]:
    """What each rule says about a run; a figure that the run does not have breaks the rule: an unknown is no success."""
    verdicts = []
    for rule in rules:
        value = measure(rule.figure, result)
        kept = value is not None and _OPERATORS[rule.sign](value, rule.bound)
        verdicts.append(Verdict(rule.text, value, kept))
    return tuple(verdicts)


def measure(figure: str, result: Result) -> float | None:
    """The value of a figure (latencies in milliseconds); None when this run does not have it."""
    if figure in _MESSAGES:
        return float(getattr(result.messages, figure))
    if figure == "connections":
        return float(result.connections)
    if figure == "search.rate":
        return None if result.search is None else result.search.rate
    if figure == "errors":
        return float(sum(operation.failed for operation in result.operations.values()))
    subject, _, name = figure.rpartition(".")
    if subject == "server":
        value = getattr(result.server, _SERVER[name]) if result.server is not None else None
        return None if value is None else float(value)
    if subject == "driver":
        value = getattr(result.driver, _DRIVER[name])
        return None if value is None else float(value)
    operation = result.operations.get(subject)
    if operation is None:
        return None
    if name in _LATENCIES:
        return float(getattr(operation.latency_ms, name)) if operation.count else None
    return float(operation.failed if name == "errors" else getattr(operation, name))


def _known(figure: str) -> bool:
    if figure in (*_MESSAGES, "connections", "errors"):
        return True
    subject, _, name = figure.rpartition(".")
    if subject in ("server", "driver"):
        return name in (_SERVER if subject == "server" else _DRIVER)
    return bool(subject) and name in (*_LATENCIES, *_COUNTS)
