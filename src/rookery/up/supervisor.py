"""`rookery up` from its first line to its last: servers, schema, domains, certificates, children, and the way down."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import trio

from rookery import _compiled
from rookery.embedded.child import Lock, Scratch
from rookery.shared.bus.kinds import ACCOUNTS, SERVICES
from rookery.shared.bus.messages import DomainsChanged, Item, Left
from rookery.shared.bus.nats import NatsBus
from rookery.shared.bus.reach import reach
from rookery.shared.db import migrate
from rookery.shared.db.api import Connection
from rookery.shared.db.bridge import open_database
from rookery.shared.net.guard import Guard
from rookery.shared.observe import metrics
from rookery.shared.observe.admin import BODY_BYTES, Health
from rookery.shared.observe.http import HttpLimits, serve_http
from rookery.shared.settings import with_servers
from rookery.up import admin
from rookery.up.certificates import Authority
from rookery.up.children import Child, Children
from rookery.up.plan import Plan, UpError, check_ports, child_specs, open_data_directory, told_as_one_line
from rookery.up.servers import Servers
from rookery.up.state import CLUSTER, Running, write_running, write_whole
from rookery.up.zygote import Target
from rookery.workers.account import store

_log = structlog.get_logger()
_READY_SECONDS: Final = 60.0
#: How long a NATS that was named may take for its first answer.
_NATS_SECONDS: Final = 5.0
#: A child is killed so long after its own limit for a drain.
_GRACE: Final = 5.0
#: Signals so soon after the first one are taken for the same.
_REPEATED: Final = 0.2

Say = Callable[[str], None]


def run(plan: Plan, target: Target, say: Say, welcome: Callable[[Supervisor, float], None]) -> None:
    """Run the cluster until a signal stops it. `target` runs one child; `welcome` is called once all is ready.

    Raises UpError, EmbeddedError, SchemaError, DatabaseUnavailable. Call it in the main thread of a process that has no other.
    """
    started = time.monotonic()
    check_ports(plan.config, plan.admin_port)
    scratch = Scratch("up") if plan.data is None else None
    data = scratch.path if scratch is not None else open_data_directory(plan.data or Path())
    with told_as_one_line(data):
        _run_in(
            data, plan, target, say, lambda cluster: welcome(cluster, time.monotonic() - started), scratch
        )


def _run_in(
    data: Path,
    plan: Plan,
    target: Target,
    say: Say,
    welcome: Callable[[Supervisor], None],
    scratch: Scratch | None,
) -> None:
    if scratch is not None:
        data.chmod(0o711)  # the account of Postgres passes through; everything in it has a mode of its own
    lock = Lock(data / "up.lock")
    if not lock.acquire(wait=False):
        raise UpError(f"a cluster runs on {data} already: see `rookery status`, or choose another --data")
    servers = Servers(
        data, nats=not plan.nats_url, postgres=not plan.database_url, ephemeral=plan.data is None
    )
    # SIGTERM must take the way of Ctrl-C also before the loop listens to it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    children: Children | None = None
    try:
        children = Children(target)
        say(f"starting in {data}" + (", removed at the end" if scratch else ""))
        if plan.nats_url:
            _reach_nats(plan)
        servers.start()
        supervisor = Supervisor(plan, data, servers, children)
        trio.run(supervisor.run, lambda: welcome(supervisor))
    finally:
        if children is not None:
            children.close()
        servers.stop()
        for path in (plan.ready_file, data / CLUSTER):
            if path is not None:
                path.unlink(missing_ok=True)
        if scratch is not None:
            scratch.remove()
            shutil.rmtree(data, ignore_errors=True)
        lock.release()


def _reach_nats(plan: Plan) -> None:
    """Raise UpError when the NATS that was named does not answer: children would wait for it without an end."""
    config = with_servers(plan.config, plan.nats_url, "").bus
    trouble = trio.run(reach, config, _NATS_SECONDS)
    if trouble:
        raise UpError(f"NATS cannot be reached: {trouble}: start it, or mend --nats-url", unreachable=True)


class Supervisor:
    """The running cluster."""

    def __init__(self, plan: Plan, data: Path, servers: Servers, children: Children) -> None:
        self.plan = plan
        self.data = data
        self.domains: list[str] = []
        self.servers = servers
        self.children = children
        self.admin_port = 0
        metrics.only("up")
        metrics.COMPILED.set(_compiled.state == "compiled")
        base = plan.config
        self._nats_url = servers.nats.url if servers.nats else plan.nats_url or base.bus.url
        self._database_url = (
            servers.postgres.url if servers.postgres else plan.database_url or base.database.url
        )
        config = with_servers(base, self._nats_url, self._database_url)
        self._database = msgspec.structs.replace(config.database, pool_max=1)
        # With certificates of his own the user needs no authority of ours.
        self._authority = None if base.tls.directory else Authority(data / "tls")
        self._health = Health()
        self._bus = NatsBus(f"up-{secrets.token_hex(6)}", config.bus)
        self._domains_changed = trio.Event()

    @property
    def ca_file(self) -> str:
        """What clients shall trust; "" with certificates of the user's own."""
        return str(self._authority.ca_file) if self._authority else ""

    async def run(self, welcome: Callable[[], None]) -> None:
        """Run until a signal."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._signals, signals, nursery.cancel_scope)
                await self._prepare()
                await self._start(nursery)
                with trio.move_on_after(_READY_SECONDS) as limit:
                    await self.children.ready.wait()
                if limit.cancelled_caught:
                    late = [child.name for child in self.children.all.values() if child.state != "ready"]
                    raise UpError(
                        f"not ready after {_READY_SECONDS:.0f} s: {', '.join(late)}: the lines above may say why"
                    )
                self.children.changed = self._write_again
                self._write()
                welcome()

    async def _prepare(self) -> None:
        """Schema, domains and certificates."""
        migrate.judge(await migrate.up(self._database), migrate.load())
        registration = {"open": True, "closed": False, None: None}[self.plan.registration]

        async def seed(conn: Connection) -> list[store.Domain]:
            known = await store.domains(conn)
            names = self.plan.domains or (() if known else ("localhost",))
            for name in names:
                if await store.put_domain(conn, name, registration=registration):
                    for kind in SERVICES:
                        await store.host_service(conn, name, kind)
            if not names and registration is not None:
                for domain in known:
                    await store.put_domain(conn, domain.name, registration=registration)
            return await store.domains(conn)

        async with open_database(self._database) as db:
            found = await db.run(0, seed)
        # Those that were asked for come first: they are what is shown.
        others = [one.name for one in found if one.kind == ACCOUNTS and one.name not in self.plan.domains]
        self.domains = [*self.plan.domains, *others]
        self._certify([one.name for one in found])

    def _certify(self, domains: Sequence[str]) -> None:
        for domain in domains if self._authority else ():
            assert self._authority is not None
            self._authority.ensure(domain)

    async def _start(self, nursery: trio.Nursery) -> None:
        tls = str(self._authority.directory) if self._authority else ""
        specs = child_specs(self.plan, self._nats_url, self._database_url, tls, str(self.data / "uploads"))
        self.children.left = lambda incarnation: self._bus.announce(Left(incarnation))
        nursery.start_soon(self.children.run, specs)
        nursery.start_soon(self.servers.watch, lambda: self.children.changed())
        nursery.start_soon(self._bus.run)
        nursery.start_soon(self._follow_domains)
        nursery.start_soon(self._health.watch_loop)
        self._bus.on_control = self._heard
        self._health.checks["nats"] = lambda: self._bus.connected
        self._health.checks["processes"] = lambda: all(c.state == "ready" for c in self.children.all.values())
        settings = self.plan.config.admin

        def children() -> Iterable[Child]:
            return self.children.all.values()

        guard = Guard(settings)
        nursery.start_soon(guard.watch, self.plan.config.tls.reload_interval)
        serve = partial(
            serve_http,
            settings.host,
            self.plan.admin_port,
            admin.routes(self._health, children, self.status, guard, settings.metrics_token),
            limits=HttpLimits(body_bytes=BODY_BYTES),
            otherwise=admin.passing(children, guard) if settings.api else None,
            guard=guard,
        )
        self.admin_port = await nursery.start(serve)

    # --- what the outside sees ------------------------------------------------------------------------------------------

    def processes(self) -> list[dict[str, Any]]:
        """The processes that are ready, as the ready file lists them."""
        found: list[dict[str, Any]] = [
            {"kinds": list(child.spec.kinds), "pid": child.pid, "ports": child.ports}
            for child in self.children.all.values()
            if child.state == "ready"
        ]
        return found + [
            {"kinds": [kind], "pid": pid, "ports": {kind: port}} for kind, pid, port in self.servers.running()
        ]

    def status(self) -> dict[str, Any]:
        """What `/status` answers: every process with its state, without secrets."""
        processes = [
            {
                "name": child.name,
                "kinds": list(child.spec.kinds),
                "pid": child.pid,
                "state": child.state,
                "incarnation": child.incarnation,
                "ports": child.ports,
                "uptime": round(trio.current_time() - child.since, 1) if child.pid else 0.0,
                "deaths": child.deaths,
            }
            for child in self.children.all.values()
        ]
        servers = [
            {"kinds": [kind], "pid": pid, "ports": {kind: port}} for kind, pid, port in self.servers.running()
        ]
        return {"data": str(self.data), "domains": self.domains, "processes": processes, "servers": servers}

    def _write_again(self) -> None:
        # A disk that is full now must not end a cluster that serves.
        try:
            self._write()
        except OSError as error:
            _log.error("state_not_written", data=str(self.data), error=str(error))

    def _write(self) -> None:
        running = Running(
            pid=os.getpid(),
            database_url=self._database_url,
            nats_url=self._nats_url,
            prefix=self.plan.config.bus.prefix,
            admin_port=self.admin_port,
            domains=tuple(self.domains),
        )
        write_running(self.data, running)
        if self.plan.ready_file is not None:
            content = {
                "domains": self.domains,
                "ca_file": self.ca_file,
                "admin_port": self.admin_port,
                "processes": self.processes(),
            }
            write_whole(self.plan.ready_file, content, 0o644)

    # --- domains that come while we run ---------------------------------------------------------------------------------

    def _heard(self, item: Item) -> None:
        if isinstance(item, DomainsChanged):
            self._domains_changed.set()

    async def _follow_domains(self) -> None:
        """Make a certificate for a domain that was added; edges read the directory again by themselves."""
        while True:
            await self._domains_changed.wait()
            self._domains_changed = trio.Event()
            async with open_database(self._database) as db:
                try:
                    found = await db.run(0, store.domains)
                except Exception as error:
                    _log.error("domains_not_read", error=str(error))
                    continue
            self.domains = [domain.name for domain in found if domain.kind == ACCOUNTS]
            try:
                self._certify([domain.name for domain in found])
            except OSError as error:
                _log.error("certificate_not_made", data=str(self.data), error=str(error))
            self._write_again()

    # --- the way down -----------------------------------------------------------------------------------------------------

    async def _signals(self, signals: Any, scope: trio.CancelScope) -> None:  # trio has no public type for it
        async for number in signals:
            if number == signal.SIGHUP:
                await self.children.reload()
                continue
            break
        self._health.draining = True
        self.children.changed = lambda: None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._second, signals, nursery.cancel_scope)
            if self.children.all:
                await self.children.stop(self.plan.config.cluster.drain_limit + _GRACE)
            nursery.cancel_scope.cancel()
        scope.cancel()

    async def _second(self, signals: Any, scope: trio.CancelScope) -> None:
        # `timeout` and others signal us and then our group: a repetition at once is not an impatient person.
        earliest = trio.current_time() + _REPEATED
        async for number in signals:
            if number != signal.SIGHUP and trio.current_time() > earliest:
                _log.warning("stopping_at_once")
                scope.cancel()
