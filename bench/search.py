"""The highest rate that keeps an objective: doubled until it breaks, then bisected (geometrically) down to 5 %.

Each step is a run of its own, open loop, with logins, warm-up and window. It counts as kept when every rule is kept, nothing was
lost or refused, no operation failed, and as much ended in the window as the rate asks for. A step that breaks by a little is
run again before it counts: one pause of the machine must not halve the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from rookery.bench import slo
from rookery.bench.assemble import public
from rookery.bench.interrupt import Interrupted
from rookery.bench.plan import Plan
from rookery.bench.result import Found, Result, Step
from rookery.bench.scenarios import find

#: The answer is at most this much lower than a rate that breaks.
PRECISION: Final = 0.05
#: Who delivers less than this share of what was intended does not keep up; the window's edges cut off a little.
KEEPS_UP: Final = 0.97
#: Less than this share needs no second look.
PLAIN: Final = 0.9
#: Rates that come at random: so many standard deviations fewer are still chance.
_CHANCE: Final = 4.0
#: A window with fewer operations says nothing of percentiles.
_FEW: Final = 20.0
_HIGHEST: Final = 10_000_000.0
_LOWEST_SHARE: Final = 1 / 1024


class SearchError(Exception):
    """The search has no sense: one line that says why."""


class Hunt:
    """Which rate to try next; pure. `rate` is None when the answer is known: `low`, the highest kept, 0 for none."""

    def __init__(self, start: float, precision: float = PRECISION, *, lowest: float = 0.0) -> None:
        self.rate: float | None = start
        self.low = 0.0
        #: The lowest rate that broke.
        self.high = math.inf
        self._precision = precision
        self._lowest = min(start, max(start * _LOWEST_SHARE, lowest))
        self._doubted = False

    def tell(self, *, kept: bool, plain: bool = True) -> None:
        """What became of `rate`; one that broke, but not plainly, is tried once more."""
        assert self.rate is not None
        if not kept and not plain and not self._doubted:
            self._doubted = True
            return
        self._doubted = False
        if kept:
            self.low = self.rate
        else:
            self.high = self.rate
        self.rate = self._following()

    def _following(self) -> float | None:
        if self.high == math.inf:
            return min(2 * self.low, _HIGHEST) if self.low < _HIGHEST else None
        if not self.low:
            lower = rounded(self.high / 2)
            return lower if self._lowest <= lower < self.high else None
        if self.high <= self.low * (1 + self._precision):
            return None
        middle = rounded(math.sqrt(self.low * self.high))
        return middle if self.low < middle < self.high else None


def rounded(rate: float) -> float:
    """Three significant digits."""
    return round(rate, 2 - math.floor(math.log10(rate)))


def search(plan: Plan, run: Callable[[Plan], Result], tell: Callable[[str], None]) -> Result:
    """The run at the highest rate kept (at the lowest tried when none was), with all steps; `tell` gets a line for each.

    Raises SearchError when no rate can be judged, slo.SloError, and what `run` raises.
    """
    rules = [slo.parse(text) for text in plan.search]
    hunt = Hunt(plan.rate or max(10.0, plan.users), lowest=_FEW / plan.duration)
    steps = list[Step]()
    best: Result | None = None
    least: Result | None = None
    while hunt.rate is not None:
        rate = hunt.rate
        register = plan.register and not steps
        try:
            made = run(replace(plan, rate=rate, register=register, search=(), slo=()))
        except KeyboardInterrupt as stop:
            if best is None:
                raise  # at most a part of a step, which is no answer
            limit = f"interrupted at {rate:g} per second: the server may keep more"
            raise Interrupted(_answer(plan, best, hunt, steps, limit)) from stop
        if not steps:
            _check(made, rules)
        step = judge(made, rules, rate)
        steps.append(step)
        tell(said(step))
        hunt.tell(kept=step.kept, plain=step.passed < PLAIN * _expected(made, rate))
        if step.kept:
            best = made
        elif least is None or rate <= steps_rate(least):
            least = made
    shown = best or least
    assert shown is not None
    return _answer(plan, shown, hunt, steps, _limit(steps, hunt))


def _answer(plan: Plan, shown: Result, hunt: Hunt, steps: Sequence[Step], limit: str) -> Result:
    found = Found(plan.search, hunt.low, tuple(steps), limit)
    kept = {**public(plan), "rate": steps_rate(shown)}
    shown = replace(shown, plan={**shown.plan, **kept}, search=found)
    return replace(shown, slo=slo.judge([slo.parse(text) for text in plan.slo], shown))


def steps_rate(result: Result) -> float:
    """The rate of a step's run."""
    return float(result.plan["rate"])


def judge(result: Result, rules: Sequence[slo.Rule], rate: float) -> Step:
    """What a run at a rate says."""
    verdicts = slo.judge(rules, result)
    passed = result.ended / result.seconds if result.seconds else 0.0
    why = [f"{verdict.rule}: {_value(verdict.value)}" for verdict in verdicts if not verdict.kept]
    expected = _expected(result, rate)
    chance = _CHANCE * math.sqrt(expected / result.seconds) if result.seconds and _random(result) else 0.0
    if passed < KEEPS_UP * expected - chance:
        why.append(f"{passed / expected:.0%} of what was asked for")
    for name, operation in result.operations.items():
        why += [f"{name} {condition} {count}" for condition, count in sorted(operation.errors.items())]
    if result.messages.lost:
        why.append(f"{result.messages.lost} lost")
    server = result.server
    return Step(
        rate=rate,
        kept=not why,
        passed=round(passed, 2),
        verdicts=verdicts,
        why=", ".join(why),
        server_cpu_us=server.cpu_us_per_stanza if server is not None else None,
        driver_busiest=result.driver.busiest,
        driver_limit=result.driver.why,
    )


def said(step: Step) -> str:
    """A step in one line."""
    told = ", ".join(f"{verdict.rule} {_value(verdict.value)}" for verdict in step.verdicts)
    if not step.kept:
        told = step.why
    doubt = f"; the driver: {step.driver_limit}" if step.driver_limit else ""
    return f"{step.rate:g} per second {'kept' if step.kept else 'BROKEN'}: {told}{doubt}"


def _value(value: float | None) -> str:
    return "unknown" if value is None else f"{value:g}"


def _expected(result: Result, rate: float) -> float:
    """Endings a second that a rate asks for, in that scenario."""
    return rate * find(result.scenario).endings(result.plan)


def _random(result: Result) -> bool:
    return result.plan.get("arrivals") == "poisson" or find(result.scenario).several


def _check(first: Result, rules: Sequence[slo.Rule]) -> None:
    """Without users, or with a rule about what this run does not have, no rate would be kept."""
    if not first.connections and find(first.scenario).online:
        raise SearchError("; ".join(("no user is connected", *first.notes)))
    for note in first.notes:
        if "could not be prepared" in note:
            raise SearchError(f"{note}; a search needs all of them")
    for rule in rules:
        subject = rule.figure.rpartition(".")[0]
        if subject == "server" and first.server is None:
            raise SearchError(f"{rule.text}: name the server's processes by --server-pids or --ready-file")
        if subject not in ("", "server", "driver") and subject not in first.operations:
            raise SearchError(f"{rule.text}: this run has no {subject}, but {', '.join(first.operations)}")


def _limit(steps: Sequence[Step], hunt: Hunt) -> str:
    """What is to be said of the answer."""
    broken = [step for step in steps if step.rate == hunt.high and not step.kept]
    if not broken:
        return f"{hunt.low:g}: the highest that can be asked for was kept"
    last = broken[-1]
    if not hunt.low:
        return f"the lowest that was tried, {last.rate:g}: {last.why}"
    if last.driver_limit:
        return f"next, at {last.rate:g} the driver was at its limit, the server may keep more: {last.driver_limit}"
    return f"next, at {last.rate:g}: {last.why}"
