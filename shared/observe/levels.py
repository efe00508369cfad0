"""Levels of single modules, while a process runs: a module that has one logs through a logger of its own, so all others pay nothing for it.

Modules are named as they lie in the tree (`edge.login`, `workers.s2s`); a name counts for all below it, the longest first.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

LEVELS: Final = ("debug", "info", "warning", "error")
_ROOT: Final = "rookery."
#: What loggers of modules are called.
_NAMES: Final = ("_log", "log")
#: Modules that have a level of their own now.
_set: set[str] = set()


def parse(lines: Sequence[str]) -> dict[str, str]:
    """`MODULE=LEVEL` of each line. Raises ValueError."""
    found = {}
    for line in lines:
        name, _, level = line.partition("=")
        name = name.strip().removeprefix(_ROOT)
        if not name or level.strip() not in LEVELS:
            raise ValueError(f"{line!r} is not MODULE=LEVEL, with one of {', '.join(LEVELS)}")
        found[name] = level.strip()
    return found


def level_of(module: str, levels: Mapping[str, str]) -> str:
    """The level of a module, "" for that of all."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if found := levels.get(".".join(parts[:end])):
            return found
    return ""


def apply(levels: Mapping[str, str]) -> list[str]:
    """Give modules that are loaded these levels, and all others that of all; returns the names that no module has."""
    unknown = set(levels)
    for full, module in list(sys.modules.items()):
        if not full.startswith(_ROOT):
            continue
        name = full.removeprefix(_ROOT)
        unknown -= {one for one in unknown if name == one or name.startswith(f"{one}.")}
        wanted = level_of(name, levels)
        if not wanted and full not in _set:
            continue
        for attribute in _NAMES:
            if hasattr(getattr(module, attribute, None), "bind"):
                setattr(module, attribute, _logger(wanted))
        if wanted:
            _set.add(full)
        else:
            _set.discard(full)
    return sorted(unknown)


def _logger(level: str) -> Any:
    if not level:
        return structlog.get_logger()
    number = getattr(logging, level.upper())
    return structlog.wrap_logger(
        None, wrapper_class=structlog.make_filtering_bound_logger(number), logger_factory_args=()
    )
