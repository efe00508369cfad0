"""Forms that mypyc compiles into something else than Python runs; none may be in a module of the compiled message path."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Iterator
from pathlib import Path

from tests.house.sources import nodes, parsed

ROOT = Path(__file__).parents[2]
NAMES = runpy.run_path(str(ROOT / "scripts" / "compile.py"))["names"]()


def trees() -> Iterator[tuple[str, ast.Module]]:
    for name in NAMES:
        path = ROOT.joinpath(*name.split(".")[1:]).with_suffix(".py")
        yield name, parsed(path.read_text("utf-8"))


def cleared(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, int]]:
    """(attribute, line) of what is set to None."""
    for node in ast.walk(function):
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute)):
            continue
        if isinstance(node.value, ast.Constant) and node.value.value is None:
            yield ast.unparse(node.targets[0]), node.lineno


def test_what_was_set_to_none_is_not_read_again() -> None:
    """For mypy it stays None until it is assigned in the same function, for mypyc that is a fact; a call may have changed it."""
    found = [
        f"{name}:{node.lineno} {attribute}"
        for name, tree in trees()
        for function in nodes(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for attribute, line in cleared(function)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.lineno > line
        if ast.unparse(node) == attribute
    ]
    assert found == []


def test_nothing_is_swapped_for_none_in_one_statement() -> None:
    """`old, self.x = self.x, None`, where x was just compared with None: mypyc takes the value on the right for None, too."""
    found = [
        f"{name}:{node.lineno}"
        for name, tree in trees()
        for node in nodes(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and isinstance(node.value, ast.Tuple)
        if any(isinstance(one, ast.Constant) and one.value is None for one in node.value.elts)
        if {ast.unparse(one) for one in node.targets[0].elts} & {ast.unparse(one) for one in node.value.elts}
    ]
    assert found == []


def test_no_constant_is_a_tuple_of_numbers() -> None:
    """`X: Final = (0.05, 1.0)`: mypyc loses its value."""
    found = [
        f"{name}:{node.lineno}"
        for name, tree in trees()
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.value, ast.Tuple)
        and any(isinstance(one, ast.Constant) and isinstance(one.value, float) for one in node.value.elts)
    ]
    assert found == []


def open_to_all(cls: ast.ClassDef) -> bool:
    """Whether anybody may build on it: it says so, or it is none of the classes that mypyc makes its own."""
    if any("allow_interpreted_subclasses=True" in ast.unparse(decorator) for decorator in cls.decorator_list):
        return True
    return any(
        ast.unparse(base).partition("[")[0] in ("NamedTuple", "Protocol", "Enum", "IntEnum")
        for base in cls.bases
    )


def test_nothing_that_python_runs_builds_on_a_compiled_class() -> None:
    """An instance of such a class cannot be made: "interpreted classes cannot inherit from compiled"."""
    closed = {
        (name, node.name)
        for name, tree in trees()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not open_to_all(node)
    }
    assert ("rookery.shared.xmpp.errors", "StanzaError") in closed
    found = []
    for package in ("edge", "router", "workers", "shared", "bench"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if ".".join(("rookery", *path.relative_to(ROOT).with_suffix("").parts)) in NAMES:
                continue
            tree = parsed(path.read_text("utf-8"))
            known = {
                alias.asname or alias.name: (node.module, alias.name)
                for node in nodes(tree)
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            found += [
                f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                for node in nodes(tree)
                if isinstance(node, ast.ClassDef)
                and any(known.get(ast.unparse(base)) in closed for base in node.bases)
            ]
    assert found == []
