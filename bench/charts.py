"""Charts as inline SVG: lines over time, a distribution, bars with ranges. Colours are CSS classes of the page around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 720
HEIGHT: Final = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 28, 12, 30
_BARS: Final = 60


class Line(NamedTuple):
    """One line of a chart; a value of None is a gap. `colour` is a CSS class: a, b, c, d or warn."""

    name: str
    colour: str
    points: Sequence[tuple[float, float | None]]


class Bar(NamedTuple):
    """One bar: a median with its range."""

    label: str
    value: float
    low: float
    high: float
    text: str


def ticks(high: float, wanted: int = 4) -> list[float]:
    """Round numbers from 0 to at least `high`: 1, 2 or 5 times a power of ten apart."""
    if high <= 0 or not math.isfinite(high):
        return [0.0, 1.0]
    rough = high / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    count = math.ceil(high / step - 1e-9)
    return [round(step * index, 12) for index in range(count + 1)]


def powers(low: float, high: float) -> list[float]:
    """Powers of ten from at most `low` to at least `high`; both positive."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def short(value: float) -> str:
    """A number for an axis: 1500000 is 1.5M, 20000 is 20k, 0.05 stays."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.4g}{letter}"
    return f"{value:.4g}"


def span(ms: float) -> str:
    """A latency for an axis: 0.05 is 50 us, 20 is 20 ms, 2000 is 2 s."""
    if ms >= 1000:
        return f"{ms / 1000:.3g} s"
    return f"{ms:.3g} ms" if ms >= 1 else f"{ms * 1000:.3g} us"


def line_chart(title: str, unit: str, lines: Sequence[Line]) -> str:
    """Values over seconds, from zero up; "" when there is nothing to draw."""
    drawn = [line for line in lines if any(value is not None for _, value in line.points)]
    if not drawn:
        return ""
    times = [at for line in drawn for at, _ in line.points]
    marks = ticks(max(value for line in drawn for _, value in line.points if value is not None))
    x = _scale(min(times), max(max(times), min(times) + 1), _LEFT, WIDTH - _RIGHT)
    y = _scale(0, marks[-1], HEIGHT - _BOTTOM, _TOP)
    parts = [_grid_y(mark, y(mark), short(mark)) for mark in marks]
    parts += [_label_x(x(at), f"{at:g} s") for at in _seconds(min(times), max(times))]
    if min(times) < 0 <= max(times):
        edge = x(0) - x(min(times))
        parts.append(f'<rect class="warmup" x="{_LEFT}" y="{_TOP}" width="{edge:.1f}" height="{_plot()}"/>')
        parts.append(f'<text class="hint" x="{_LEFT + 4}" y="{_TOP + 12}">warm-up</text>')
    for line in drawn:
        parts.append(_path(line, x, y))
        parts += [
            f'<circle class="dot {line.colour}" cx="{x(at):.1f}" cy="{y(value):.1f}" r="5">'
            f"<title>{escape(line.name)}, {at:g} s: {short(value)} {escape(unit)}</title></circle>"
            for at, value in line.points
            if value is not None
        ]
    legend = "".join(f'<span class="key {line.colour}">{escape(line.name)}</span>' for line in drawn)
    return _figure(title, unit, legend, "".join(parts))


def distribution(title: str, recorded: Sequence[tuple[int, int]], marks: Sequence[tuple[str, float]]) -> str:
    """How often each latency occurred, (microseconds, count); `marks` are named latencies in milliseconds.

    The axis is logarithmic, and so are the bars' heights: the few slow ones are what matters.
    """
    cells = [(max(us, 1) / 1000, count) for us, count in recorded if count > 0]
    if not cells:
        return ""
    axis = powers(cells[0][0], cells[-1][0])
    x = _scale(math.log10(axis[0]), math.log10(axis[-1]), _LEFT, WIDTH - _RIGHT)
    width = (WIDTH - _LEFT - _RIGHT) / _BARS
    bars = [0] * _BARS
    for ms, count in cells:
        bars[min(int((x(math.log10(ms)) - _LEFT) / width), _BARS - 1)] += count
    rows = powers(1, max(bars))
    y = _scale(-0.3, math.log10(rows[-1]), HEIGHT - _BOTTOM, _TOP)
    parts = [_grid_y(row, y(math.log10(row)), short(row)) for row in rows]
    parts += [_label_x(x(math.log10(ms)), span(ms)) for ms in axis]
    for index, count in enumerate(bars):
        if count:
            top = y(math.log10(count))
            from_ms = 10 ** (
                math.log10(axis[0]) + index / _BARS * (math.log10(axis[-1]) - math.log10(axis[0]))
            )
            parts.append(
                f'<rect class="bar a" x="{_LEFT + index * width + 0.5:.1f}" y="{top:.1f}" width="{width - 1:.1f}" '
                f'height="{HEIGHT - _BOTTOM - top:.1f}"><title>from {span(from_ms)}: {count}</title></rect>'
            )
    for number, (name, ms) in enumerate(marks):
        at = x(math.log10(max(ms, axis[0])))
        parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>')
        parts.append(
            f'<text class="hint" x="{at + 3:.1f}" y="{_TOP + 10 + 12 * number}">{escape(name)} {span(ms)}</text>'
        )
    return _figure(title, "operations, both axes logarithmic", "", "".join(parts))


def bar_chart(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars from zero with their ranges; "" when there are none."""
    if not bars:
        return ""
    left, row = 130, 30
    height = row * len(bars) + 8
    x = _scale(0, max(bar.high for bar in bars) or 1, left, WIDTH - 210)
    parts = []
    for index, bar in enumerate(bars):
        top = 4 + index * row
        middle = top + row / 2
        parts.append(f'<text class="name" x="{left - 8}" y="{middle + 4:.1f}">{escape(bar.label)}</text>')
        parts.append(
            f'<rect class="bar a" x="{left}" y="{top + 5}" width="{x(bar.value) - left:.1f}" height="{row - 10}"/>'
        )
        if bar.low != bar.high:
            parts.append(
                f'<line class="range" x1="{x(bar.low):.1f}" x2="{x(bar.high):.1f}" y1="{middle}" y2="{middle}"/>'
            )
        at = x(max(bar.value, bar.high)) + 8
        parts.append(f'<text class="value" x="{at:.1f}" y="{middle + 4:.1f}">{escape(bar.text)}</text>')
    return _figure(title, unit, "", "".join(parts), height)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    factor = (end - start) / (high - low)
    return lambda value: start + (value - low) * factor


def _seconds(first: float, last: float) -> list[float]:
    step = ticks(max(last - first, 1), 6)[1]
    return [step * index for index in range(math.ceil(first / step), math.floor(last / step) + 1)]


def _plot() -> int:
    return HEIGHT - _TOP - _BOTTOM


def _grid_y(_mark: float, y: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="axis end" x="{_LEFT - 6}" y="{y + 4:.1f}">{text}</text>'
    )


def _label_x(x: float, text: str) -> str:
    return f'<text class="axis middle" x="{x:.1f}" y="{HEIGHT - 8}">{text}</text>'


def _path(line: Line, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    steps = []
    pen = "M"
    for at, value in line.points:
        if value is None:
            pen = "M"
            continue
        steps.append(f"{pen}{x(at):.1f} {y(value):.1f}")
        pen = "L"
    return f'<path class="line {line.colour}" d="{"".join(steps)}"/>'


def _figure(title: str, unit: str, legend: str, content: str, height: int = HEIGHT) -> str:
    return (
        f'<figure><figcaption><b>{escape(title)}</b> <span class="unit">{escape(unit)}</span>{legend}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">{content}</svg></figure>'
    )
