"""Verbs about processes, and what the cluster counts."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from rookery.admin import cluster_work, names, rebalancing
from rookery.admin.desk import Desk
from rookery.admin.verb import Given, Nothing, Taken, Verb

Incarnation = Annotated[
    str,
    Meta(
        description="One life of one process, as the list of processes tells it", min_length=1, max_length=64
    ),
]


class Process(Given, frozen=True, kw_only=True):
    """A process: `partitions` are those that it holds, by kind; "silent" is one that does not answer but still holds some."""

    incarnation: str
    name: str
    kinds: list[str]
    host: str
    pid: int | None
    ports: dict[str, Any]
    uptime: int | None
    release: str
    code: str
    zone: str
    state: str
    load: int
    version: int | None
    partitions: dict[str, int]


class Held(Given, frozen=True, kw_only=True):
    """How many partitions of a kind have a holder that lives, and how many there are."""

    held: int
    total: int


class Processes(Given, frozen=True, kw_only=True):
    """The processes of the cluster; `missing` is what clients lack, a line each."""

    items: list[Process]
    missing: list[str]


class Partitions(Given, frozen=True, kw_only=True):
    """Partitions by kind."""

    kinds: dict[str, Held]


class OfProcess(Taken, frozen=True, kw_only=True):
    """A process."""

    incarnation: Incarnation


class DrainIt(OfProcess, frozen=True, kw_only=True):
    """A process, and how many connections a second its edge ends; 0 is what the configuration says."""

    rate: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class Draining(Given, frozen=True, kw_only=True):
    """How far a drain is; `connections` are left."""

    draining: bool
    connections: int
    rate: int


class Rebalance(Taken, frozen=True, kw_only=True):
    """How many connections a second move, of all edges together, and how many percent above the mean an edge may have."""

    rate: Annotated[int, Meta(ge=1, le=1_000_000)] = 50
    tolerance: Annotated[int, Meta(ge=0, le=1000)] = rebalancing.TOLERANCE
    dry_run: bool = False


class EdgeShare(Given, frozen=True, kw_only=True):
    """An edge: `left` connections are still to go, `rate` a second."""

    process: str
    connections: int
    left: int
    rate: int


class Rebalancing(Given, frozen=True, kw_only=True):
    """How far it is."""

    items: list[EdgeShare]


class ReloadIt(Taken, frozen=True, kw_only=True):
    """Which process; all without one."""

    incarnation: Incarnation | None = None


class Reread(Given, frozen=True, kw_only=True):
    """What a process has read: settings that count now, and those that wait for a restart."""

    process: str
    live: list[str]
    restart: list[str]
    errors: list[str]


class Reloaded(Given, frozen=True, kw_only=True):
    """What each process has read."""

    items: list[Reread]


class SetLevel(Taken, frozen=True, kw_only=True):
    """Which lines are written, by one process or by all, until it ends."""

    level: Literal["debug", "info", "warning", "error"]
    incarnation: Incarnation | None = None


class SetModules(Taken, frozen=True, kw_only=True):
    """Levels of single parts (`workers.s2s=debug`) in place of those they had, of one process or of all, until it ends."""

    modules: Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=50)]
    incarnation: Incarnation | None = None


class Statistics(Given, frozen=True, kw_only=True):
    """What there is of users and sessions."""

    users: int
    disabled: int
    sessions: int
    domains: list[DomainCount]


class DomainCount(Given, frozen=True, kw_only=True):
    """Users of one domain."""

    name: str
    kind: str
    users: int


class OfStatistics(Taken, frozen=True, kw_only=True):
    """Of which domain."""

    domain: Annotated[str, Meta(description="Only of this domain", max_length=1023)] = ""


async def _processes(desk: Desk, taken: Nothing) -> Processes:
    found = await cluster_work.status(desk)
    return Processes(items=[Process(**one) for one in found["processes"]], missing=found["missing"])


async def _partitions(desk: Desk, taken: Nothing) -> Partitions:
    found = await cluster_work.status(desk)
    return Partitions(kinds={kind: Held(**count) for kind, count in found["partitions"].items()})


async def _drain(desk: Desk, taken: DrainIt) -> None:
    await cluster_work.drain(desk, taken.incarnation, taken.rate)


async def _drain_status(desk: Desk, taken: OfProcess) -> Draining:
    return Draining(**await cluster_work.drain_status(desk, taken.incarnation))


async def _undrain(desk: Desk, taken: OfProcess) -> Draining:
    return Draining(**await cluster_work.undrain(desk, taken.incarnation))


def _shares(found: dict[str, dict[str, int]]) -> Rebalancing:
    return Rebalancing(items=[EdgeShare(process=name, **told) for name, told in sorted(found.items())])


async def _rebalance(desk: Desk, taken: Rebalance) -> Rebalancing:
    return _shares(await rebalancing.rebalance(desk, taken.rate, taken.tolerance, taken.dry_run))


async def _rebalancing(desk: Desk, taken: Nothing) -> Rebalancing:
    return _shares(await rebalancing.progress(desk))


async def _stay(desk: Desk, taken: Nothing) -> Rebalancing:
    return _shares(await rebalancing.stop(desk))


async def _reload(desk: Desk, taken: ReloadIt) -> Reloaded:
    found = await cluster_work.reload(desk, taken.incarnation or "")
    return Reloaded(items=[Reread(process=name, **told) for name, told in found.items()])


async def _log_modules(desk: Desk, taken: SetModules) -> None:
    await cluster_work.log_modules(desk, taken.modules, taken.incarnation or "")


async def _log_level(desk: Desk, taken: SetLevel) -> None:
    await cluster_work.log_level(desk, taken.level, taken.incarnation or "")


async def _statistics(desk: Desk, taken: OfStatistics) -> Statistics:
    found = await cluster_work.statistics(desk, names.domain(taken.domain) if taken.domain else "")
    return Statistics(
        users=found["users"],
        disabled=found["disabled"],
        sessions=found["sessions"],
        domains=[DomainCount(**row) for row in found["domains"]],
    )


VERBS: Final = (
    Verb(
        "statistics.get",
        "read",
        "GET",
        "/v1/statistics",
        OfStatistics,
        Statistics,
        _statistics,
        "Count users and sessions",
        errors=(404, 503),
    ),
    Verb(
        "cluster.processes",
        "cluster",
        "GET",
        "/v1/cluster/processes",
        Nothing,
        Processes,
        _processes,
        "List the processes of the cluster",
    ),
    Verb(
        "cluster.partitions",
        "cluster",
        "GET",
        "/v1/cluster/partitions",
        Nothing,
        Partitions,
        _partitions,
        "Count the partitions that have a holder",
    ),
    Verb(
        "cluster.drain",
        "cluster",
        "POST",
        "/v1/cluster/processes/{incarnation}/drain",
        DrainIt,
        None,
        _drain,
        "Let a process give away what it holds and end",
        errors=(404,),
    ),
    Verb(
        "cluster.draining",
        "cluster",
        "GET",
        "/v1/cluster/processes/{incarnation}/drain",
        OfProcess,
        Draining,
        _drain_status,
        "Tell how far the drain of a process is",
        errors=(404, 503),
    ),
    Verb(
        "cluster.undrain",
        "cluster",
        "DELETE",
        "/v1/cluster/processes/{incarnation}/drain",
        OfProcess,
        Draining,
        _undrain,
        "Call the drain of an edge off",
        errors=(404, 503),
    ),
    Verb(
        "cluster.rebalance",
        "cluster",
        "POST",
        "/v1/cluster/rebalance",
        Rebalance,
        Rebalancing,
        _rebalance,
        "Let edges with many connections give some to those with few",
        errors=(503,),
    ),
    Verb(
        "cluster.rebalancing",
        "cluster",
        "GET",
        "/v1/cluster/rebalance",
        Nothing,
        Rebalancing,
        _rebalancing,
        "Tell how far the edges are with that",
        errors=(503,),
    ),
    Verb(
        "cluster.stay",
        "cluster",
        "DELETE",
        "/v1/cluster/rebalance",
        Nothing,
        Rebalancing,
        _stay,
        "Let edges give nothing more away",
        errors=(503,),
    ),
    Verb(
        "cluster.reload",
        "cluster",
        "POST",
        "/v1/cluster/reload",
        ReloadIt,
        Reloaded,
        _reload,
        "Let processes read their configuration again",
        errors=(404,),
    ),
    Verb(
        "cluster.log_level",
        "cluster",
        "PUT",
        "/v1/cluster/log-level",
        SetLevel,
        None,
        _log_level,
        "Change which lines are logged",
        errors=(404,),
    ),
    Verb(
        "cluster.log_modules",
        "cluster",
        "PUT",
        "/v1/cluster/log-modules",
        SetModules,
        None,
        _log_modules,
        "Change which lines single parts log",
        errors=(404,),
    ),
)
