"""Every SQL statement of the code, found in its modules: constants, and literals that are given to a connection.

`python -m tests.contracts.sql_statements FILE` records them, one a line: done once for each migration that is released, so that the
statements of that version can be tried on later schemas.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import rookery

_VERB = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\s", re.IGNORECASE)
_CALLS = {"fetch", "fetchrow", "fetchval", "execute", "executemany"}
#: A beginning such as FENCE, which others are put behind.
_BEGINNING = re.compile(r"WITH \w+ AS (MATERIALIZED )?\([^()]*\)\Z")


def statements() -> list[str]:
    """One line each, sorted."""
    return sorted(set(_found()))


def _found() -> Iterator[str]:
    for module in pkgutil.walk_packages(rookery.__path__, "rookery."):
        if module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        path = getattr(loaded, "__file__", None)
        texts = [value for value in vars(loaded).values() if isinstance(value, str)]
        if path:
            texts += _literals(ast.parse(Path(path).read_text("utf-8")))
        for text in texts:
            line = " ".join(re.sub(r"--[^\n]*", "", text).split())
            if _VERB.match(line) and "{" not in line and not _BEGINNING.match(line):
                yield line


def _literals(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CALLS:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("\n".join(statements()) + "\n", "utf-8")
