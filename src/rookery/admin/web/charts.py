"""Small lines over time, as the numbers that a template draws with SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

WIDTH: Final = 240
HEIGHT: Final = 56


class Chart(NamedTuple):
    """One line: `points` and `area` are coordinates, `now` and `most` are for people."""

    title: str
    now: str
    most: str
    points: str
    area: str


def chart(title: str, series: Sequence[tuple[int, float]], unit: str = "") -> Chart:
    """A chart of (time, value), from the first time to the last one."""
    if not series:
        return Chart(title, "no value", "", "", "")
    top = max(value for _, value in series) or 1.0
    first, last = series[0][0], series[-1][0]
    span = max(1, last - first)
    coordinates = [
        f"{(at - first) / span * WIDTH:.1f},{HEIGHT - 2 - value / top * (HEIGHT - 6):.1f}"
        for at, value in series
    ]
    line = " ".join(coordinates)
    area = f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}" if len(series) > 1 else ""
    most = short(max(value for _, value in series))
    return Chart(title, f"{short(series[-1][1])}{unit}", f"{most}{unit}", line, area)


def short(value: float) -> str:
    """A number for people: 1234567 is 1.2M, 0.25 stays."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):.3g}{letter}"
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"
