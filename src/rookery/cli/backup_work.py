"""The work of `rookery backup` and `rookery restore`: which database, which tools, what fits."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

from rookery.cli import EX_UNAVAILABLE, CommandError
from rookery.cli.options import run
from rookery.embedded import start_postgres
from rookery.embedded.binaries import tools
from rookery.shared import config
from rookery.shared.config import Config
from rookery.shared.db import migrate
from rookery.shared.db.api import Connection
from rookery.shared.db.bridge import open_database
from rookery.shared.xeps import upload
from rookery.up.plan import default_data_directory
from rookery.up.state import Running, read_running

_DUMPED_FROM: Final = re.compile(rb"^; +Dumped from database version: (\d+)", re.MULTILINE)
_STATEMENT: Final = 300.0
#: After a restore, ids of archives and queues begin above all that the cluster has given out since the backup.
_EPOCHS: Final = 4096
#: What belonged to processes and streams that are no more.
_AFTER: Final = (
    "DELETE FROM member",
    "DELETE FROM fence",
    "DELETE FROM session",
    "DELETE FROM handover",
    f"UPDATE lease SET incarnation = NULL, epoch = epoch + {_EPOCHS}",  # noqa: S608  a constant
)
_OURS: Final = "SELECT to_regclass('public.migration') IS NOT NULL"
_TABLES: Final = (
    "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
)
_ALIVE: Final = "SELECT count(*) FROM member WHERE expires > now()"


class Place(NamedTuple):
    """A database that can be reached, its major version; `home` is the data directory of a `rookery up`, if it is one's."""

    settings: config.Database
    major: int
    home: Path | None


def running(settings: Config, data: Path | None, url: str) -> Running | None:
    """The `rookery up` that the options mean, if it runs."""
    if url or (data is None and settings.database != config.Database()):
        return None
    return read_running(data or default_data_directory())


@contextmanager
def server(settings: Config, data: Path | None, url: str, *, make: bool) -> Iterator[Place]:
    """The database that the options mean: that of a URL, of a running `rookery up`, or of its data, whose Postgres is started for this.

    `make`: a data directory that is not there yet is made. Raises CommandError, DatabaseUnavailable, EmbeddedError.
    """
    database = settings.database
    if url or (data is None and database != config.Database()):
        yield _place(msgspec.structs.replace(database, url=url or database.url), None)
        return
    home = data or default_data_directory()
    up = read_running(home)
    if up is not None:
        yield _place(config.Database(url=up.database_url), home)
        return
    if not make and not (home / "postgres").is_dir():
        raise CommandError(f"there is no data in {home}: give --data, --database-url or --config")
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    postgres = start_postgres(home / "postgres")
    try:
        yield _place(config.Database(url=postgres.url), home)
    finally:
        postgres.stop()


def _place(database: config.Database, home: Path | None) -> Place:
    database = msgspec.structs.replace(database, statement_timeout=_STATEMENT)
    return Place(database, int(_value(database, "SHOW server_version_num")) // 10000, home)


def _value(database: config.Database, *statements: str) -> Any:
    """Run statements in one transaction; what the last one says."""

    async def work(conn: Connection) -> Any:
        async with conn.transaction():
            for statement in statements[:-1]:
                await conn.execute(statement)
            return await conn.fetchval(statements[-1])

    async def main() -> Any:
        async with open_database(database) as db:
            return await db.run(0, work)

    return run(main)


def schema(place: Place) -> int:
    """The newest migration of the database. Raises CommandError for a database that is not ours."""
    if not _value(place.settings, _OURS):
        raise CommandError("this is no database of Rookery: it has no schema of ours")
    return int(_value(place.settings, "SELECT coalesce(max(number), 0) FROM migration"))


def uploads(settings: Config, home: Path | None) -> list[Path]:
    """Where files of users are, as far as this machine knows."""
    files = settings.options(upload.Options)
    if files.s3_bucket:
        return []
    directory = files.directory
    folder = Path(directory) if directory else home / "uploads" if home is not None else None
    return [folder] if folder is not None else []


def tool(name: str, major: int) -> str:
    """`pg_dump` or `pg_restore` of at least this major version, the nearest one. Raises CommandError."""
    found = tools(name)
    fitting = [number for number in sorted(found) if number >= major]
    if not fitting:
        have = ", ".join(map(str, sorted(found))) or "none"
        raise CommandError(
            f"{name} of Postgres {major} or newer is needed, here is {have}: install postgresql-client-{major}, or pip install 'rookery[embedded]'"
        )
    return str(found[fitting[0]])


def _connection(database: config.Database) -> tuple[str, dict[str, str]]:
    """The URL without its password, which goes by the environment: arguments can be seen by everybody."""
    parts = urlsplit(database.url)
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    environment = dict(os.environ)
    if database.password or password:
        environment["PGPASSWORD"] = database.password or unquote(password)
    return urlunsplit(parts._replace(netloc=f"{name}{at}{host}")), environment


def _run(words: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise CommandError(f"{Path(words[0]).name} failed: {lines[0][:300] if lines else 'it says nothing'}")


def dump(place: Place, file: Path) -> None:
    """Write the database to a file that only this user may read. Raises CommandError, OSError."""
    schema(place)
    url, environment = _connection(place.settings)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    words = [
        tool("pg_dump", place.major),
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        f"--file={file}",
        f"--dbname={url}",
    ]
    _run(words, environment)


def restore(place: Place, file: Path, *, replace: bool) -> None:
    """Read a backup. Raises CommandError for what does not fit, before anything is changed."""
    reader = tool("pg_restore", place.major)
    listed = subprocess.run([reader, "--list", str(file)], capture_output=True, check=False)
    from_ = _DUMPED_FROM.search(listed.stdout)
    if listed.returncode or from_ is None or b" migration " not in listed.stdout:
        raise CommandError(
            f"{file} is no backup of Rookery, or one of a newer Postgres than {reader} can read"
        )
    if int(from_[1]) > place.major:
        raise CommandError(
            f"the backup is of Postgres {int(from_[1])}, this server is {place.major}: it must not be older"
        )
    if _value(place.settings, _OURS):
        if alive := _value(place.settings, _ALIVE):
            raise CommandError(f"{alive} processes of the cluster run: stop them first", EX_UNAVAILABLE)
        if not replace:
            raise CommandError("the database is not empty: --replace removes what is there")
    elif _value(place.settings, _TABLES):
        raise CommandError("the database belongs to something else: give an empty one")
    url, environment = _connection(place.settings)
    if replace:
        _value(place.settings, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "SELECT 1")
    words = [
        reader,
        "--no-owner",
        "--no-privileges",
        "--exit-on-error",
        "--single-transaction",
        f"--dbname={url}",
        str(file),
    ]
    _run(words, environment)
    _value(place.settings, *_AFTER, "SELECT 1")


def judge(place: Place) -> str:
    """What is to be done next. Raises SchemaError for a schema that this version cannot run on."""

    async def main() -> migrate.Status:
        async with open_database(place.settings) as db:
            return await migrate.status(db)

    found = run(main)
    if found.pending:
        return f": schema {found.version:04} is of an older version, run `rookery migrate` before the cluster"
    migrate.judge(found, migrate.load())
    return f": schema {found.version:04}"
