"""Sources as house tests see them: each file is parsed once in a process, whoever asks."""

from __future__ import annotations

import ast
from functools import cache


@cache
def parsed(text: str) -> ast.Module:
    """What a source says. It must not be changed."""
    return ast.parse(text)
