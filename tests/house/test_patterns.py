"""Regular expressions that every Python from 3.11.0 on reads alike."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.house.sources import nodes, parsed

ROOT = Path(__file__).parents[2]
#: A possessive group, `(...)*+`. Before Python 3.11.5 one with possessive parts inside does not match what it should (cpython issue 106052).
POSSESSIVE_GROUP = re.compile(r"\)[*+?]\+")
#: What is no group: escaped characters and sets.
SINGLE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]", re.DOTALL)


def patterns(tree: ast.Module) -> list[str]:
    """What `re.compile` and its like are given as a constant."""
    return [
        constant.value.decode("latin-1") if isinstance(constant.value, bytes) else constant.value
        for node in nodes(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.")
        for constant in node.args[:1]
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str | bytes)
    ]


def possessive(pattern: str) -> bool:
    return POSSESSIVE_GROUP.search(SINGLE.sub("x", pattern)) is not None


def test_no_possessive_groups() -> None:
    files = [
        path
        for part in ("bench", "edge", "router", "shared", "workers", "src", "scripts")
        for path in (ROOT / part).rglob("*.py")
    ]
    seen = [(path, pattern) for path in files for pattern in patterns(parsed(path.read_text("utf-8")))]
    assert len(seen) > 50
    assert possessive(r"<(?:a++|'[^']*+')*+>")
    assert not possessive(r"<[()*+]+\)*+(?:a++)*>")
    assert [(str(path), pattern) for path, pattern in seen if possessive(pattern)] == []
