"""The composition root: a configuration and some kinds in, a running process out. It imports whatever the table of kinds names.

A process answers on its admin port from its first moment, waits for Postgres and NATS as long as it takes, serves, and on SIGTERM
gives away what it holds. SIGHUP lets an edge read its certificates again.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from rookery import __version__, _compiled, front, notifying
from rookery.front import Front
from rookery.reloading import Source, renew, reread, value_files, watch
from rookery.shared import collector, settings
from rookery.shared.bus.kinds import KINDS, Kind, built, labelled
from rookery.shared.cluster.about import here
from rookery.shared.cluster.api import Service
from rookery.shared.cluster.node import EXIT_FAILED, ClusterNode, NodeFailed, new_incarnation, open_node
from rookery.shared.config import Config
from rookery.shared.db import migrate
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.db.bridge import open_database
from rookery.shared.net.guard import Guard
from rookery.shared.observe import levels, log, metrics
from rookery.shared.observe.admin import Health, Port, serve_admin
from rookery.shared.observe.history import History
from rookery.shared.observe.http import ListenError
from rookery.shared.pace import Naps
from rookery.telling import about, questions

if TYPE_CHECKING:
    from rookery.up.zygote import ChildSpec

_log = structlog.get_logger()
#: Told to whoever started this process: {"say": "hello", "incarnation"}, then {"say": "ready", "incarnation", "ports"}.
Report = Callable[[Mapping[str, Any]], None]
#: Without these an edge is of no use to clients: it is not ready while nobody at all holds partitions of one. A part of them may be on its
#: way to another holder, and then every edge serves the rest: /readyz tells it, and stays 200.
_SERVED: Final = tuple(
    [row.kind for row in built() if row.needed or (row.by_default and not row.serves and not row.by_domain)]
)
_LACKS: Final = (errno.EADDRINUSE, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOSPC)
_POLL: Final = 0.02
#: Commands of administrators; only where an account worker runs are they imported.
_COMMANDS: Final = "rookery.admin.adhoc.commands"
_ANNOUNCEMENTS: Final = "rookery.admin.adhoc.announcements"
#: Signals so soon after the first one are taken for the same.
_REPEATED: Final = 0.2
#: An edge that listens says ready after so long even when some partitions have no holder: they may come later, and items wait for them.
_PATIENCE: Final = 10.0


def preload() -> None:
    """Import what the processes of a cluster need, before they are forked."""
    for row in built():
        import_module(row.service.partition(":")[0])
    front.preload()
    import_module(_COMMANDS)
    import_module(_ANNOUNCEMENTS)


def run_child(spec: ChildSpec, report: Report) -> None:
    """Run one child of `rookery up` (see `up.zygote`)."""
    run_process(settings.loads(spec.config), tuple(labelled(name) for name in spec.kinds), report)


def run_process(
    config: Config, kinds: Sequence[Kind], report: Report | None = None, source: Source | None = None
) -> None:
    """Run one process until SIGTERM. Ends with SystemExit: 0, or EXIT_FAILED when it is to be started anew.

    `source` reads the configuration again, for SIGHUP.
    """
    if Kind.EDGE in kinds and len(kinds) > 1:
        raise ValueError("an edge shares its process with no other kind: the mirror is the second copy")
    _raise_file_limit()
    code = 0
    try:
        trio.run(_Process(config, tuple(kinds), report or _log_report, source).run, instruments=[Naps()])
    except* (NodeFailed, migrate.SchemaError, ListenError, settings.SettingsError) as group:
        code = EXIT_FAILED
        for error in leaves(group):
            _log.critical("process_stops", reason=str(error))
    except* OSError as group:
        code = EXIT_FAILED
        for error in leaves(group):
            # What the machine lacks is told by its words; of the rest we want to know where it came from.
            trace = None if isinstance(error, OSError) and error.errno in _LACKS else error
            _log.critical("process_stops", reason=f"{type(error).__name__}: {error}", exc_info=trace)
    except* Exception:
        code = 1
        _log.exception("process_failed")
    sys.exit(code)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The single errors in a group."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def _log_report(message: Mapping[str, Any]) -> None:
    if message["say"] == "ready":
        _log.info("process_ready", **message["ports"])


def _raise_file_limit() -> None:
    """A connection needs a file descriptor: take all that we may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        pass  # a hard limit above what this kernel allows: keep the soft one


class _Process:
    def __init__(
        self, config: Config, kinds: tuple[Kind, ...], report: Report, source: Source | None
    ) -> None:
        self._config = config
        self._source = source
        self._kinds = kinds
        self._report = report
        self._health = Health()
        self._incarnation = new_incarnation(kinds)
        self._services: list[Service] = []
        self._node: ClusterNode | None = None
        self._guard = Guard(config.admin)
        self._front = Front(config.admin, self._guard)
        self._history = History()
        #: Asked for by an operator; 0 for what the configuration says.
        self._asked_rate = 0
        self._drained: trio.CancelScope | None = None

    async def run(self) -> None:
        config, names = self._config, "+".join(kind.label for kind in self._kinds)
        at, form, to = config.log.level, config.log.format, config.log.to
        log.configure(level=at, form=form, kind=names, incarnation=self._incarnation, to=to)
        metrics.only(*(kind.label for kind in self._kinds))
        metrics.BUILD_INFO.labels(__version__, names).set(1)
        metrics.COMPILED.set(_compiled.state == "compiled")
        self._report({"say": "hello", "incarnation": self._incarnation})
        self._health.checks["started"] = lambda: self._node is not None
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
                nursery.start_soon(self._signals, signals, nursery.cancel_scope)
                served = Port(
                    config.admin.host,
                    config.admin.port,
                    self._guard.may_read,
                    self._front if config.admin.api and Kind.ACCOUNT in self._kinds else None,
                    self._guard,
                )
                nursery.start_soon(self._guard.watch, config.tls.reload_interval)
                if self._source is not None:
                    files = value_files(os.environ)
                    nursery.start_soon(watch, files, config.tls.reload_interval, self._reload)
                port = await nursery.start(serve_admin, self._health, served)
                node = await self._join(stack)
                node.about = about(port, here(config.cluster))
                nursery.start_soon(self._announce, node, port)
                nursery.start_soon(collector.run)
                nursery.start_soon(self._history.run)
                await node.run(*self._services)
                nursery.cancel_scope.cancel()

    async def _join(self, stack: AsyncExitStack) -> ClusterNode:
        """Database, schema and bus, each awaited for as long as it takes; then the services."""
        db = None
        if self._kinds != (Kind.EDGE,):
            db = await stack.enter_async_context(open_database(self._config.database))
            while True:
                try:
                    await migrate.check(db)
                except DatabaseUnavailable as error:
                    _log.warning("waiting_for_database", error=str(error))
                    await trio.sleep(1)
                else:
                    break
        node = await stack.enter_async_context(
            open_node(self._config, self._kinds, db, incarnation=self._incarnation)
        )
        self._services = [make(kind, node) for kind in self._kinds]
        node.orders.drain = self._drain_asked
        node.orders.log_level = self._log_level
        node.orders.questions.update(questions(node, self._history))
        node.orders.questions["drain"] = self._drain_told
        node.orders.questions["undrain"] = self._undrain
        node.orders.questions["reload"] = lambda _: self._reload()
        node.orders.questions["log_modules"] = lambda detail: levels.apply(levels.parse(detail["modules"]))
        if Kind.ACCOUNT in self._kinds:
            self._front.open(node)
            node.orders.command = import_module(_COMMANDS).Commands(node)
            node.orders.announce = import_module(_ANNOUNCEMENTS).Announcements(node)
        self._watch(node)
        levels.apply(levels.parse(self._config.log.modules))
        self._node = node
        collector.set_up()
        return node

    def _drain_asked(self, rate: int) -> None:
        self._asked_rate = rate
        os.kill(os.getpid(), signal.SIGTERM)

    @property
    def _drain_rate(self) -> int:
        return self._asked_rate or self._config.cluster.drain_rate

    def _undrain(self, detail: Mapping[str, Any]) -> dict[str, object]:
        """Let clients in again. Raises ValueError when there is no drain, or it has come too far."""
        if self._drained is None or self._node is None:
            raise ValueError("it does not drain")
        if self._node.draining or not all(hasattr(service, "undrain") for service in self._services):
            raise ValueError("it has begun to give its partitions away: it ends, and is started anew")
        self._drained.cancel()
        return self._drain_told(detail)

    def _reload(self) -> dict[str, object]:
        """Read certificates and the configuration again; tells what has changed, and what waits for a restart."""
        self._guard.reload()
        log.reopen()
        for service in self._services:
            if (reload := getattr(service, "reload", None)) is not None:
                reload()
        merged, errors = reread(self._config, self._source)
        self._config = merged.config
        if self._node is not None:
            self._node.config = merged.config
            renew(merged.config, self._node)
        self._guard.renew(merged.config.admin)
        if "log.level" in merged.live:
            self._log_level(merged.config.log.level)
        if "log.modules" in merged.live:
            levels.apply(levels.parse(merged.config.log.modules))
        for service in self._services:
            if (configured := getattr(service, "configured", None)) is not None:
                configured(merged.config)
        return {"live": merged.live, "restart": merged.restart, "errors": errors}

    def _connections(self) -> int:
        return sum(getattr(service, "connections", 0) for service in self._services)

    def _drain_told(self, detail: Mapping[str, Any]) -> dict[str, object]:
        """How far a drain is."""
        return {
            "draining": self._health.draining,
            "connections": self._connections(),
            "rate": self._drain_rate if self._health.draining else 0,
        }

    def _log_level(self, level: str) -> None:
        if level in ("debug", "info", "warning", "error"):
            log.level(level)
            _log.info("log_level", level=level)

    def _watch(self, node: ClusterNode) -> None:
        """Readiness and the metrics that are read from the node's own totals."""
        checks = self._health.checks
        checks["nats"] = lambda: node.bus.connected
        if self._kinds == (Kind.EDGE,):
            checks.update({kind.label: partial(_served, node, kind) for kind in _SERVED})
            self._health.missing = partial(_missing, node)
        for service in self._services:
            if hasattr(service, "ready"):
                checks["listeners"] = partial(getattr, service, "ready")
        if node.db is not None:
            checks["database"] = lambda: node.db.healthy
            checks["partitions"] = lambda: (state := node.readiness()).settled and not state.acquiring
            metrics.DB_HEALTHY.sample(lambda: float(node.db.healthy))
        stats = node.bus.stats
        metrics.BUS_ITEMS.sample(lambda: stats.items_in, "in")
        metrics.BUS_ITEMS.sample(lambda: stats.items_out, "out")
        metrics.BUS_ITEMS.sample(lambda: stats.items_local, "local")
        metrics.BUS_BATCHES.sample(lambda: stats.batches_in, "in")
        metrics.BUS_BATCHES.sample(lambda: stats.batches_out, "out")
        metrics.BUS_DROPPED.sample(lambda: stats.expired, "expired")
        metrics.BUS_DROPPED.sample(lambda: stats.unsendable, "unsendable")
        for kind in self._kinds:
            if kind is not Kind.EDGE:
                metrics.LEASE_HELD.sample(partial(_held, node, kind.label), kind.label)

    async def _announce(self, node: ClusterNode, admin_port: int) -> None:
        """Report once that this process is ready, with its ports."""
        limit = trio.current_time() + (_PATIENCE if self._kinds == (Kind.EDGE,) else float("inf"))
        # (it depends on three modules that announce nothing)
        while not self._ready(node, patient=trio.current_time() < limit):  # noqa: ASYNC110
            await trio.sleep(_POLL)
        ports = {**_listening(self._services), "admin": admin_port}
        self._report({"say": "ready", "incarnation": self._incarnation, "ports": ports})
        notifying.ready(f"serving, admin port {admin_port}")

    def _ready(self, node: ClusterNode, *, patient: bool) -> bool:
        state = node.readiness()
        # Our own kinds must have a holder for every partition, us or another; an edge needs those that it logs in with.
        edge = self._kinds == (Kind.EDGE,)
        needed = tuple(row.kind for row in built() if row.needed) if edge else self._kinds
        if edge and not (_listening(self._services) and patient):
            return bool(_listening(self._services))
        return state.ready and all(state.known.get(kind.label, 0) == node.partitions for kind in needed)

    async def _signals(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        async for number in signals:
            if number == signal.SIGHUP:
                self._reload()
                continue
            if self._health.draining or self._node is None:
                break  # asked twice, or there is nothing to drain yet
            self._health.draining = True
            async with trio.open_nursery() as nursery:
                self._drained = trio.CancelScope()
                nursery.start_soon(self._drain, self._node, nursery.cancel_scope)
                nursery.start_soon(_second, signals, nursery.cancel_scope)
            if self._health.draining:
                break
        scope.cancel()

    async def _drain(self, node: ClusterNode, done: trio.CancelScope) -> None:
        assert self._drained is not None
        seconds = self._config.cluster.drain_limit
        if self._drain_rate:
            seconds += self._connections() / self._drain_rate
        _log.info("draining", connections=self._connections(), rate=self._drain_rate)
        notifying.stopping(seconds)
        with trio.move_on_after(seconds) as limit:
            with self._drained:
                for service in self._services:
                    if hasattr(service, "drain_rate"):
                        service.drain_rate = self._drain_rate
                    if (drain := getattr(service, "drain", None)) is not None:
                        await drain(seconds - 0.2 * self._config.cluster.drain_limit)
            if self._drained.cancelled_caught:
                self._kept()
                done.cancel()
                return
            await node.drain()
        _log.info("drained", complete=not limit.cancelled_caught)
        done.cancel()

    def _kept(self) -> None:
        """The drain was called off: clients are let in again."""
        for service in self._services:
            service.undrain()  # type: ignore[attr-defined]
        self._health.draining = False
        self._drained = None
        self._asked_rate = 0
        _log.info("drain_cancelled", connections=self._connections())


async def _second(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    # `timeout` and others signal us and then our group: a repetition at once is not an impatient person.
    earliest = trio.current_time() + _REPEATED
    async for number in signals:
        if number != signal.SIGHUP and trio.current_time() > earliest:
            scope.cancel()


def make(kind: Kind, node: ClusterNode) -> Service:
    """The service of a kind. Raises ValueError for one that this version does not have."""
    if not KINDS[kind].built:
        raise ValueError(f"this version has no {kind.label} process")
    module, _, name = KINDS[kind].service.partition(":")
    service: Service = getattr(import_module(module), name)(node)
    return service


def _served(node: ClusterNode, kind: Kind) -> bool:
    return node.map.count().get(kind, 0) > 0


def _missing(node: ClusterNode) -> dict[str, int]:
    """Partitions without a known holder, by kind."""
    known = node.map.count()
    return {kind.label: n for kind in _SERVED if (n := node.partitions - known.get(kind, 0))}


def _held(node: ClusterNode, label: str) -> int:
    return node.readiness().held.get(label, 0)


def _listening(services: Iterable[Service]) -> dict[str, int]:
    ports: dict[str, int] = {}
    for service in services:
        ports |= getattr(service, "ports", {})
    return ports
