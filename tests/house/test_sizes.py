"""Sizes and habits of modules. The lists of exceptions may only shrink: an entry that is no longer needed is an error too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.house.sources import nodes, parsed

ROOT = Path(__file__).parents[2]
CODE: Final = ("edge", "router", "workers", "shared", "bench", "src/rookery")
MODULE_LINES: Final = 400
FUNCTION_LINES: Final = 60

#: Modules that are longer, and functions that are; a name goes away with its reason.
LONG_MODULES: Final = {
    "shared/bus/messages.py",  # one table of items
}
LONG_FUNCTIONS: Final[set[str]] = set()
#: Modules that talk to a person at a terminal.
SPEAKERS: Final = ("src/rookery/cli/", "bench/cli", "bench/run.py")


def modules() -> Iterator[tuple[str, str]]:
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            # Links from src/rookery lead to folders that are looked at by themselves.
            if not any(parent.is_symlink() for parent in path.parents):
                yield str(path.relative_to(ROOT)), path.read_text("utf-8")


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in nodes(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_modules_are_short() -> None:
    long = {name for name, text in modules() if text.count("\n") > MODULE_LINES}
    assert long == LONG_MODULES


def test_functions_are_short() -> None:
    long = {
        f"{name}:{function.name}"
        for name, text in modules()
        for function in functions(parsed(text))
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES
    }
    assert long == LONG_FUNCTIONS


def test_nothing_prints_but_the_command_line() -> None:
    for name, text in modules():
        calls = {
            node.func.id
            for node in nodes(parsed(text))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "print" not in calls, name
        if not name.startswith(SPEAKERS):
            assert "click.echo" not in text, name


def test_every_module_says_what_it_is() -> None:
    for name, text in modules():
        assert ast.get_docstring(parsed(text)), name


def test_the_face_of_a_folder_says_what_it_is() -> None:
    faceless = {name for name, text in modules() if (ast.get_docstring(parsed(text)) or ".") == "."}
    assert faceless == set()


def test_nothing_cites_a_list_that_is_not_here() -> None:
    """Codes such as those of a catalogue in brackets; faults have their table in docs/faults.md."""
    code = re.compile(r"\((?:[A-EG-Z]\d{1,3})\)|\btest_[a-z]\d{2,3}_")
    for path in [*(ROOT / "tests").rglob("*.py"), *(ROOT / name for name, _ in modules())]:
        assert not code.search(path.read_text("utf-8")), path


def test_no_note_of_unfinished_work() -> None:
    for name, text in modules():
        for word in ("TODO", "FIXME", "XXX", "HACK"):
            assert word not in text, f"{name}: {word}"
