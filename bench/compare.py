"""Two sets of runs side by side: medians, ranges, and how sure the difference is.

With one run on each side a ratio is all there is; from three on each side it gets a 95 % interval (bootstrap), which is narrow
by chance when runs are few. So the verdict is that of an exact test of ranks (Wilcoxon, Mann and Whitney): a difference counts
as shown when fewer than one in twenty ways to deal the same values to two sides would set them as far apart. Three runs on each
side cannot show that, four can.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import comb
from statistics import median
from typing import Final, Literal

from msgspec import Struct

from rookery.bench.result import Result
from rookery.bench.slo import measure

_RESAMPLES: Final = 4000
_CONFIDENCE: Final = 0.95
#: Ways to deal values to two sides of which all are looked at; of more, so many at random.
_DEALS: Final = 5000
#: Fewer runs than this have no interval: two values resampled are still two values.
_ENOUGH: Final = 3

Verdict = Literal["better", "worse", "no difference shown", "too few runs", "same"]


class Figure(Struct, frozen=True):
    """One figure of a run: its name as in SLO rules, a title for people, the unit that is shown, and which way is good."""

    name: str
    title: str
    unit: str
    higher_is_better: bool = False
    #: What the measured value is multiplied with to be in that unit.
    scale: float = 1.0


class Spread(Struct, frozen=True):
    """Median and range of several values."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(float(median(values)), min(values), max(values), len(values))


class Difference(Struct, frozen=True):
    """One figure on both sides; `ratio` is after / before."""

    figure: Figure
    before: Spread
    after: Spread
    #: None when the median before is zero.
    ratio: float | None
    low: float | None
    high: float | None
    verdict: Verdict


def main_operation(result: Result) -> str:
    """The operation that the scenario is about: the one of its name, or the most frequent; "" when nothing was done."""
    if result.scenario in result.operations:
        return result.scenario
    counts = {name: operation.count for name, operation in result.operations.items()}
    return max(counts, key=lambda name: counts[name], default="")


def figures(results: Iterable[Result]) -> list[Figure]:
    """The figures that the runs have, the most telling first."""
    runs = list(results)
    leading = list(dict.fromkeys(name for run in runs if (name := main_operation(run))))
    others = dict.fromkeys(name for run in runs for name in run.operations if name not in leading)
    found = [
        Figure("search.rate", "highest rate kept", "/s", higher_is_better=True),
        Figure("server.cpu_us", "server CPU", "us/stanza"),
        *(figure for name in leading for figure in _operation(name)),
        Figure("lost", "lost", ""),
        Figure("duplicated", "duplicated", ""),
        Figure("reordered", "reordered", ""),
        Figure("refused", "refused", ""),
        Figure("errors", "errors", ""),
        Figure("server.pss_kib", "server memory", "MiB", scale=1 / 1024),
        Figure("server.pss_kib_per_connection", "memory", "KiB/connection"),
        Figure("driver.cpu_us", "driver CPU", "us/stanza"),
        *(figure for name in others for figure in _operation(name)),
    ]
    return [figure for figure in found if any(measure(figure.name, run) is not None for run in runs)]


def values(figure: Figure, runs: Iterable[Result]) -> list[float]:
    """The figure, in its unit, of each run that has it."""
    return [value * figure.scale for run in runs if (value := measure(figure.name, run)) is not None]


def compare(before: Sequence[Result], after: Sequence[Result], *, seed: int = 1) -> list[Difference]:
    """Every figure that both sides have."""
    differences = []
    for figure in figures([*before, *after]):
        left, right = values(figure, before), values(figure, after)
        if left and right:
            differences.append(difference(figure, left, right, seed=seed))
    return differences


def difference(
    figure: Figure, before: Sequence[float], after: Sequence[float], *, seed: int = 1
) -> Difference:
    """What the values of one figure say."""
    left, right = Spread.of(before), Spread.of(after)
    ratio = right.median / left.median if left.median else None
    low = high = None
    if min(len(before), len(after)) >= _ENOUGH and all(before):
        low, high = interval(before, after, seed=seed)
    return Difference(figure, left, right, ratio, low, high, _verdict(figure, before, after, seed))


def interval(before: Sequence[float], after: Sequence[float], *, seed: int = 1) -> tuple[float, float]:
    """Bounds of the ratio of medians, after / before, in 95 % of resamples. `before` must have no zero."""
    dice = random.Random(seed)
    ratios = sorted(
        median(dice.choices(after, k=len(after))) / median(dice.choices(before, k=len(before)))
        for _ in range(_RESAMPLES)
    )
    edge = (1 - _CONFIDENCE) / 2
    return ratios[int(edge * _RESAMPLES)], ratios[int((1 - edge) * _RESAMPLES) - 1]


def chance(before: Sequence[float], after: Sequence[float], *, seed: int = 1) -> float:
    """How often values dealt at random to sides of these sizes have mean ranks at least as far apart (two-sided)."""
    pooled, size = sorted((*before, *after)), len(after)
    ranks = {value: bisect_left(pooled, value) + bisect_right(pooled, value) for value in pooled}
    values = [ranks[value] for value in pooled]
    expected = sum(values) * size / len(values)
    distance = abs(sum(ranks[value] for value in after) - expected) - 1e-9
    if comb(len(values), size) <= _DEALS:
        deals = [sum(deal) for deal in combinations(values, size)]
    else:
        dice = random.Random(seed)
        deals = [sum(dice.sample(values, size)) for _ in range(_DEALS)]
    return sum(abs(deal - expected) >= distance for deal in deals) / len(deals)


def _verdict(figure: Figure, before: Sequence[float], after: Sequence[float], seed: int) -> Verdict:
    if set(before) == set(after) and len(set(before)) == 1:
        return "same"
    if 2 / comb(len(before) + len(after), len(after)) > 1 - _CONFIDENCE:
        return "too few runs"
    if chance(before, after, seed=seed) > 1 - _CONFIDENCE:
        return "no difference shown"
    higher = sum(sum(two > one for one in before) - sum(two < one for one in before) for two in after) > 0
    return "better" if higher == figure.higher_is_better else "worse"


def _operation(name: str) -> list[Figure]:
    return [
        Figure(f"{name}.rate", f"{name} rate", "/s", higher_is_better=True),
        Figure(f"{name}.p50", f"{name} p50", "ms"),
        Figure(f"{name}.p99", f"{name} p99", "ms"),
        Figure(f"{name}.p99_9", f"{name} p99.9", "ms"),
    ]
