"""What operators do to processes: see them, drain one, change what they log; and what the whole cluster counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rookery.admin import processes, sessions
from rookery.admin.desk import Desk
from rookery.admin.errors import Invalid, NotFound
from rookery.shared.bus.messages import DrainProcess, SetLogLevel
from rookery.shared.db.api import Connection
from rookery.shared.observe import levels

LEVELS: Final = ("debug", "info", "warning", "error")
_COUNTS: Final = """
SELECT d.name, d.kind, count(a.id) AS users, count(a.id) FILTER (WHERE a.disabled) AS disabled
FROM domain d LEFT JOIN account a ON a.domain = d.name GROUP BY d.name, d.kind ORDER BY d.name"""


async def status(desk: Desk) -> dict[str, Any]:
    """Processes with the partitions that they hold, and what is missing."""
    return await processes.gather(desk.config, desk.db, heard=await desk.heard())


async def drain(desk: Desk, incarnation: str, rate: int = 0) -> None:
    """Ask one process to give away what it holds and to end; whoever started it starts it anew. Raises NotFound.

    An edge ends at most `rate` connections a second; 0 is what the configuration says.
    """
    await _known(desk, incarnation)
    desk.cluster.bus.post_to(incarnation, DrainProcess(rate))
    await desk.tell([desk.audit("cluster drain", incarnation, rate=rate or None)])


async def drain_status(desk: Desk, incarnation: str) -> dict[str, Any]:
    """How far the drain of a process is: {draining, connections, rate}. Raises NotFound, Unreachable."""
    await _known(desk, incarnation)
    found: dict[str, Any] = await desk.cluster.ask_process(incarnation, "drain")
    return found


async def undrain(desk: Desk, incarnation: str) -> dict[str, Any]:
    """Call the drain of an edge off: it lets clients in again. Raises NotFound, Unreachable, and Invalid when it is too late."""
    await _known(desk, incarnation)
    found: dict[str, Any] = await desk.cluster.ask_process(incarnation, "undrain")
    await desk.tell([desk.audit("cluster undrain", incarnation)])
    return found


async def reload(desk: Desk, incarnation: str = "") -> dict[str, dict[str, Any]]:
    """Let one process, or all, read their configuration and certificates again: {process: {live, restart, errors}}. Raises NotFound.

    `live` are settings that have changed, `restart` those that differ and wait for a restart.
    """
    if incarnation:
        await _known(desk, incarnation)
        names = [incarnation]
    else:
        names = [one["incarnation"] for one in (await status(desk))["processes"] if one["state"] != "silent"]
    answers = await desk.cluster.ask_processes(names, "reload")
    await desk.tell([desk.audit("cluster reload", incarnation or "all")])
    silent = {"live": [], "restart": [], "errors": ["it does not answer, or its version cannot do that"]}
    return {name: answers.get(name, silent) for name in names}


async def log_modules(desk: Desk, modules: Sequence[str], incarnation: str = "") -> dict[str, list[str]]:
    """Give single modules levels of their own, in place of those that they had, until a process ends: {process: names that it has no module of}.

    `modules` are `MODULE=LEVEL`; none gives all the level of all. Raises Invalid, NotFound.
    """
    try:
        levels.parse(modules)
    except ValueError as error:
        raise Invalid(str(error)) from None
    if incarnation:
        await _known(desk, incarnation)
        names = [incarnation]
    else:
        names = [one["incarnation"] for one in (await status(desk))["processes"] if one["state"] != "silent"]
    found = await desk.cluster.ask_processes(names, "log_modules", {"modules": [*modules]})
    await desk.tell([desk.audit("cluster log-modules", incarnation or "all", modules=" ".join(modules))])
    return found


async def log_level(desk: Desk, level: str, incarnation: str = "") -> None:
    """Let one process, or all, write lines of this level until it ends. Raises Invalid, NotFound."""
    if level not in LEVELS:
        raise Invalid(f"there is no level {level!r}: choose from {', '.join(LEVELS)}")
    names = (
        [incarnation] if incarnation else [one["incarnation"] for one in (await status(desk))["processes"]]
    )
    if incarnation:
        await _known(desk, incarnation)
    for name in names:
        desk.cluster.bus.post_to(name, SetLogLevel(level))
    await desk.tell([desk.audit("cluster log-level", incarnation or "all", level=level)])


async def _known(desk: Desk, incarnation: str) -> None:
    found = await status(desk)
    if not any(one["incarnation"] == incarnation and one["state"] != "silent" for one in found["processes"]):
        raise NotFound(f"there is no process {incarnation}: see what runs")


async def statistics(desk: Desk, domain: str = "") -> dict[str, Any]:
    """Users and sessions, of a hosted domain or of all. Raises NotFound, Unreachable."""

    async def work(conn: Connection) -> list[Any]:
        return await conn.fetch(_COUNTS)

    rows = [row for row in await desk.run(work) if domain in ("", row["name"])]
    if domain and not rows:
        raise NotFound(f"{domain} is not hosted here")
    return {
        "users": sum(row["users"] for row in rows),
        "disabled": sum(row["disabled"] for row in rows),
        "sessions": await sessions.counted(desk.cluster, domain),
        "domains": [{"name": row["name"], "kind": row["kind"], "users": row["users"]} for row in rows],
    }
