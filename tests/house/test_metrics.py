"""Every metric of the table is fed by somebody, and everybody feeds only what is in the table."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from tests.house.sources import nodes, parsed

from rookery.shared.observe import metrics

ROOT = Path(__file__).parent.parent.parent
#: What feeds a metric, or binds a child of it.
FEEDS = {"inc", "dec", "set", "observe", "labels", "sample", "time", "set_function"}
TABLE = sorted(
    name for name, value in vars(metrics).items() if name.isupper() and type(value).__module__ != "builtins"
    and (hasattr(value, "labels") or isinstance(value, metrics.Sampled))
)  # fmt: skip


@cache
def fed() -> set[str]:
    """Names on which some module calls one of FEEDS."""
    found = set()
    for folder in ("edge", "router", "workers", "shared", "src/rookery"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in nodes(parsed(path.read_text("utf-8"))):
                if isinstance(node, ast.Attribute) and node.attr in FEEDS:
                    of = node.value
                    found.add(
                        of.id
                        if isinstance(of, ast.Name)
                        else of.attr
                        if isinstance(of, ast.Attribute)
                        else ""
                    )
    return found


def test_the_table_is_what_the_module_defines() -> None:
    assert len(TABLE) == len(metrics.TABLE) > 20


@pytest.mark.parametrize("name", TABLE)
def test_no_metric_is_dead(name: str) -> None:
    assert name in fed()
