"""One /metrics of many processes: expositions in the text format, merged by family, with a label `process`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SAMPLE: Final = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? ([0-9.eE+-]+|NaN|[+-]Inf)( [0-9]+)?\Z")


def merge(expositions: Mapping[str, str]) -> str:
    """`expositions` are texts by process name. Metadata of a family is kept once; broken lines are left out."""
    heads: dict[str, dict[str, str]] = {}
    samples: dict[str, list[str]] = {}
    for process, text in expositions.items():
        label = process.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        family = ""
        for line in text.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                _, keyword, family, _ = (*line.split(" ", 3), "")[:4]
                heads.setdefault(family, {}).setdefault(keyword, line)
                samples.setdefault(family, [])
            elif match := _SAMPLE.match(line):
                owner = family if match[1].startswith(family) else match[1]
                labels = f'process="{label}"' + (f",{match[2]}" if match[2] else "")
                samples.setdefault(owner, []).append(f"{match[1]}{{{labels}}} {match[3]}")
    lines: list[str] = []
    for family, found in samples.items():
        lines += heads.get(family, {}).values()
        lines += found
    return "\n".join(lines) + "\n"
