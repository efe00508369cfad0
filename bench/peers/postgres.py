"""Postgres for the archives of other servers: the binaries and settings that `rookery up` uses, commits synced to disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rookery.bench.peers.machine import account
from rookery.bench.peers.peer import PeerError, Site
from rookery.bench.server import Root
from rookery.embedded.binaries import find_postgres
from rookery.embedded.child import tail
from rookery.embedded.cluster import USER
from rookery.embedded.postgres import Postgres, start_postgres


@dataclass(frozen=True, slots=True)
class Archive:
    """A database for one server."""

    database: str
    user: str
    port: int
    #: Folder of the unix socket, which costs less than TCP; "" when there is none that the server's account may use.
    socket: str
    roots: tuple[Root, ...]
    password: str = field(repr=False)
    #: Runs SQL in the database and returns what it prints.
    query: Callable[[str], str] = field(repr=False)

    def prove(self, table: str) -> None:
        """Raises PeerError when the archive is empty: a server that only logs errors must not look cheap."""
        if self.query(f"SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1) AS found") != "1":  # noqa: S608  our word
            raise PeerError(
                f"it archived nothing in {table}: the figures would be those of a server without archive"
            )


@contextmanager
def archive(
    site: Site, database: str, *, wanted: bool, schema: Path | None = None
) -> Iterator[Archive | None]:
    """Run Postgres in the site's folder with a database until the end of the block; None when it is not wanted.

    A new database gets the tables of `schema`. Raises EmbeddedError, PeerError.
    """
    if not wanted:
        yield None
        return
    folder = site.folder.parent / f"{site.folder.name}-postgres"
    new = not (folder / "data" / "PG_VERSION").exists()
    postgres = start_postgres(folder)
    try:
        if new:
            _sql(postgres, folder, "postgres", ["-c", f"CREATE DATABASE {database}"])
            if schema is not None:
                _sql(postgres, folder, database, ["-f", str(schema)])
        socket = str(postgres.data) if (postgres.data / f".s.PGSQL.{postgres.port}").exists() else ""
        roots = (Root(postgres.pid, "postgres", ("postgres",)),)
        query = partial(_query, postgres, folder, database)
        yield Archive(database, USER, postgres.port, socket, roots, postgres.password, query)
    finally:
        postgres.stop()


def _query(postgres: Postgres, folder: Path, database: str, statement: str) -> str:
    return _sql(postgres, folder, database, ["-c", statement])


def _sql(postgres: Postgres, folder: Path, database: str, arguments: list[str]) -> str:
    log = folder / "psql.log"
    argv = [str(find_postgres(account()).bin / "psql"), "-XqAtv", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]
    argv += ["-p", str(postgres.port), "-U", USER, "-d", database, *arguments]
    with log.open("wb") as errors:
        done = subprocess.run(
            argv,
            env={"PATH": os.defpath, "PGPASSWORD": postgres.password, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            stderr=errors,
            check=False,
        )
    if done.returncode:
        raise PeerError(f"psql ended with code {done.returncode}: {tail(log)}")
    return done.stdout.strip()
