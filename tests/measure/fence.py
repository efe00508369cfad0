"""What the fence of a write costs: none, the row FOR SHARE as it is, and a shared advisory lock.

Small commits from several connections at once on a Postgres of its own::

    python tests/measure/fence.py --seconds 5
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import trio

from rookery.embedded import start_postgres
from rookery.shared import config
from rookery.shared.db import migrate
from rookery.shared.db.api import Connection, Database
from rookery.shared.db.bridge import open_database

WRITE = " INSERT INTO measured SELECT 1 FROM fence_ok"
WAYS = {
    "no fence": "WITH fence_ok AS MATERIALIZED (SELECT 1 WHERE $1::text <> '')" + WRITE,
    "row FOR SHARE": "WITH fence_ok AS MATERIALIZED (SELECT 1 FROM fence WHERE incarnation = $1 AND open FOR SHARE)"
    + WRITE,
    "advisory lock": "WITH fence_ok AS MATERIALIZED (SELECT 1 FROM fence, pg_advisory_xact_lock_shared(hashtext($1)) WHERE incarnation = $1 AND open)"
    + WRITE,
}
WAL = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8"


async def measure(url: str, seconds: float, connections: int) -> None:
    settings = config.Database(url=url, pool_max=connections)
    await migrate.up(settings)
    async with open_database(settings) as db:
        await db.run(0, lambda conn: conn.execute("INSERT INTO fence (incarnation) VALUES ('measure')"))
        await db.run(0, lambda conn: conn.execute("CREATE TABLE measured (n integer)"))
        for _ in range(2):  # the first round warms up
            for name, statement in WAYS.items():
                await one(db, name, statement, seconds, connections)


async def one(db: Database, name: str, statement: str, seconds: float, connections: int) -> None:
    done = 0
    used = 0.0
    before = await db.run(0, lambda conn: conn.fetchval(WAL))
    end = time.monotonic() + seconds

    async def write(conn: Connection) -> float:
        nonlocal done
        pid = await conn.fetchval("SELECT pg_backend_pid()")
        began = spent(pid)
        # A lazy commit: the price of the lock is not to drown in that of the disk.
        await conn.execute("SET synchronous_commit = off")
        while time.monotonic() < end:
            await conn.execute(statement, "measure")
            done += 1
        return spent(pid) - began

    async def client() -> None:
        nonlocal used
        used += await db.run(0, write)

    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(client)
    after = await db.run(0, lambda conn: conn.fetchval(WAL))
    print(
        f"{name:14} {done / seconds:7.0f} statements/s {used / done * 1e6:6.1f} us CPU {(after - before) / done:6.0f} bytes of WAL",
        flush=True,
    )


def spent(pid: int) -> float:
    """CPU seconds of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(one) for one in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o711)
        server = start_postgres(Path(folder, "postgres"))
        try:
            trio.run(measure, server.url, args.seconds, args.connections)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
