"""Real servers for tests that ask for them: one Postgres and one NATS for a whole run, started when first needed.

* `database_url`, `database_settings`: a fresh migrated database for each test; `database`: the same, opened.
* `nats_url` with `bus_prefix`: the shared NATS and a prefix that nobody else has.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
import trio
from tests.examples import DEFAULT, STEPS

# Tests look into modules and replace their parts, so they run the sources; ROOKERY_COMPILED=1 has them run what was compiled.
os.environ.setdefault("ROOKERY_COMPILED", "0")

from rookery.embedded import Nats, Postgres, start_nats, start_postgres
from rookery.shared import config
from rookery.shared.db import migrate
from rookery.shared.db.api import Connection, Database
from rookery.shared.db.bridge import open_database

# As the processes themselves: a traceback with the locals of every frame takes seconds, and the cluster under test stands still meanwhile.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

_LINES = structlog.get_config()


@pytest.fixture(autouse=True)
def _lines_go_where_tests_look() -> None:
    """Commands that run inside a test's process say where lines go, for all that comes after."""
    structlog.configure(**_LINES)


# How long an example takes depends on what else the machine does; pytest's own time limit finds what hangs.
hypothesis.settings.register_profile(
    "rookery", deadline=None, max_examples=DEFAULT, stateful_step_count=STEPS
)
hypothesis.settings.load_profile("rookery")

#: What takes minutes begins first, so that no worker of xdist waits for the other's last file.
_LONG = ("cluster/test_compiled", "cluster/", "stories/", "contracts/")
#: It would wait for what `test_compiled` makes: that takes as long as many others.
_LATER = "cluster/test_image"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        if f"tests/{_LATER}" in item.nodeid:
            return len(_LONG) - 1
        return next((n for n, part in enumerate(_LONG) if f"tests/{part}" in item.nodeid), len(_LONG))

    items.sort(key=turn)


_TEMPLATE = "migrated_template"
_numbers = itertools.count(1)
_MEMORY = Path("/dev/shm")
_MEMORY_NEEDED = 2 * 1024**3


def scratch_directory() -> Path:
    """The name of a new directory, in memory where there is plenty: making and dropping databases is 8 times as fast there.

    Every account may pass it, which pytest's own `tmp_path` does not allow; whoever makes it removes it.
    """
    in_memory = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_NEEDED
    base = _MEMORY if in_memory else Path(tempfile.gettempdir())
    return base / f"rookery-test-{secrets.token_hex(6)}"


def run_sql(url: str, *statements: str) -> None:
    """Run statements one by one, outside any trio loop."""

    async def work(conn: Connection) -> None:
        for statement in statements:
            await conn.execute(statement)

    async def main() -> None:
        async with open_database(config.Database(url=url, statement_timeout=60.0)) as db:
            await db.run(0, work)

    trio.run(main)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The Postgres of this test run."""
    home = scratch_directory()
    server = start_postgres(home, ephemeral=True)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def nats_server() -> Iterator[Nats]:
    """The NATS of this test run."""
    server = start_nats()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def nats_url(nats_server: Nats) -> str:
    """Where the NATS of this test run is, with its token."""
    return nats_server.url


@pytest.fixture
def bus_prefix() -> str:
    """A bus prefix that no other test uses."""
    return f"t{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def _migrated(postgres_server: Postgres) -> Postgres:
    run_sql(postgres_server.url, f"CREATE DATABASE {_TEMPLATE}")
    trio.run(migrate.up, config.Database(url=postgres_server.url_of(_TEMPLATE)))
    return postgres_server


@pytest.fixture
def empty_database_url(postgres_server: Postgres) -> Iterator[str]:
    """A fresh database without any table, dropped afterwards."""
    name = f"empty_{next(_numbers)}"
    run_sql(postgres_server.url, f"CREATE DATABASE {name}")
    yield postgres_server.url_of(name)
    run_sql(postgres_server.url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(_migrated: Postgres) -> Iterator[str]:
    """A fresh database with the current schema, dropped afterwards."""
    name = f"test_{next(_numbers)}"
    run_sql(_migrated.url, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
    yield _migrated.url_of(name)
    run_sql(_migrated.url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_settings(database_url: str) -> config.Database:
    """Settings for `database_url`."""
    return config.Database(url=database_url)


@pytest.fixture
async def database(database_settings: config.Database) -> AsyncIterator[Database]:
    """The test's own database, opened."""
    async with open_database(database_settings) as db:
        yield db


@pytest.fixture(params=["archive", "message"])
async def each_layout(database: Database, request: pytest.FixtureRequest) -> str:
    """Once with rows in the tables of ADR 0015, once in `message`, where they go until the migration `archive_switch`."""
    layout: str = request.param
    if layout == "message":
        await database.run(0, lambda conn: conn.execute("UPDATE installation SET archive_from = NULL"))
    return layout
