"""The cluster: processes, partitions, live rates, the last lines of the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rookery.admin import cluster_work
from rookery.admin.web.charts import Chart, chart, short
from rookery.admin.web.visit import Moved, Page, Shown, Visit
from rookery.shared.observe.history import added

_CHARTS: Final = (
    ("sessions", "Sessions", ""),
    ("stanzas_in", "Stanzas from clients", "/s"),
    ("stanzas_out", "Stanzas to clients", "/s"),
    ("logins", "Logins", "/s"),
    ("auth_failures", "Failed logins", "/s"),
    ("bus_items", "Items between processes", "/s"),
    ("s2s_stanzas", "Stanzas of other servers", "/s"),
    ("cpu", "Cores busy", ""),
    ("memory", "Memory", "B"),
)
#: Lines that are shown.
_LINES: Final = 200


async def _overview(visit: Visit) -> Shown:
    found = await cluster_work.status(visit.desk)
    names = [one["incarnation"] for one in found["processes"] if one["state"] != "silent"]
    histories = await visit.desk.cluster.ask_processes(names, "history")
    series = added(histories.values())
    charts: list[Chart] = [chart(title, series[name], unit) for name, title, unit in _CHARTS]
    for one in found["processes"]:
        one["cpu"], one["memory"] = _load(histories.get(one["incarnation"], {}))
    return Shown(
        "cluster.html",
        {"found": found, "charts": charts, "live": visit.asked("live") == "1", "levels": cluster_work.LEVELS},
    )


def _load(history: Mapping[str, Any]) -> tuple[str, str]:
    """Cores and memory of one process, as it has said last."""
    alone = added([dict(history)])
    cpu = alone["cpu"][-1][1] if alone["cpu"] else None
    memory = alone["memory"][-1][1] if alone["memory"] else None
    return "" if cpu is None else f"{cpu:.2f}", "" if memory is None else f"{short(memory)}B"


async def _drain(visit: Visit) -> Moved:
    await cluster_work.drain(visit.desk, visit.fields["incarnation"])
    return Moved("", "drain")


async def _level(visit: Visit) -> Moved:
    await cluster_work.log_level(visit.desk, visit.given("level"), visit.given("incarnation"))
    return Moved("", "level")


async def _log(visit: Visit) -> Shown:
    level, text, process = visit.asked("level") or "info", visit.asked("text"), visit.asked("process")
    found = await cluster_work.status(visit.desk)
    names = [one["incarnation"] for one in found["processes"] if one["state"] != "silent"]
    asked = {"level": level if level in cluster_work.LEVELS else "info", "text": text, "limit": _LINES}
    answers = await visit.desk.cluster.ask_processes(
        [name for name in names if process in ("", name)], "log", asked
    )
    lines = [_line(fields) for answer in answers.values() for fields in answer]
    lines.sort(key=lambda line: str(line["at"]))
    return Shown(
        "log.html",
        {
            "lines": lines[-_LINES:],
            "names": names,
            "process": process,
            "level": level,
            "text": text,
            "levels": cluster_work.LEVELS,
        },
    )


def _line(fields: Mapping[str, Any]) -> dict[str, object]:
    rest = {
        name: value
        for name, value in fields.items()
        if name not in ("ts", "level", "event", "kind", "incarnation")
    }
    return {
        "at": fields.get("ts", ""),
        "level": fields.get("level", ""),
        "event": fields.get("event", ""),
        "kind": fields.get("kind", ""),
        "rest": "  ".join(f"{name}={value}" for name, value in rest.items()),
    }


PAGES: Final = (
    Page("GET", "/admin/", "overview", "cluster", _overview),
    Page("POST", "/admin/processes/{incarnation}/drain", "cluster.drain", "cluster", _drain),
    Page("POST", "/admin/log-level", "cluster.log_level", "cluster", _level),
    Page("GET", "/admin/log", "log", "cluster", _log),
)
