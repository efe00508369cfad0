"""What can be run. A scenario is one file here that ends in `SCENARIO = ItsClass`; nothing else has to be edited."""

from __future__ import annotations

import pkgutil
from difflib import get_close_matches
from functools import cache
from importlib import import_module

from rookery.bench.plan import PlanError
from rookery.bench.scenarios._scenario import Scenario


@cache
def scenarios() -> dict[str, type[Scenario]]:
    """All scenarios by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_")
    return {name: import_module(f"{__name__}.{name}").SCENARIO for name in names}


def find(name: str) -> type[Scenario]:
    """The scenario of that name. Raises PlanError."""
    known = scenarios()
    if name in known:
        return known[name]
    near = get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise PlanError(f"no scenario {name!r}: {meant}there are {', '.join(known)}")
