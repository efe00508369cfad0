"""Sources as house tests see them: each file is parsed and walked once in a process, whoever asks."""

from __future__ import annotations

import ast
import gc
from functools import cache


@cache
def parsed(text: str) -> ast.Module:
    """What a source says. It must not be changed."""
    tree = ast.parse(text)
    # Millions of nodes that stay: the collector shall not look at them over and over again.
    gc.freeze()
    return tree


@cache
def nodes(tree: ast.Module) -> tuple[ast.AST, ...]:
    """All of its nodes, as `ast.walk` gives them."""
    return tuple(ast.walk(tree))
