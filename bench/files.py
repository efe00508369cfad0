"""Open files: each connection is one, on both sides."""

from __future__ import annotations

import resource

from rookery.bench.plan import PlanError


def raise_files(need: int, who: str, remedy: str) -> None:
    """Let this process, and those that it starts, open `need` files.

    Raises PlanError when that is not allowed: `who` needs them, `remedy` is what can be done.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= need:
        return
    try:
        # Only root may go beyond the hard limit.
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, max(hard, need)))
    except (OSError, ValueError):
        raise PlanError(
            f"{who} needs {need} open files, and {hard} are allowed (ulimit -Hn): {remedy}"
        ) from None
