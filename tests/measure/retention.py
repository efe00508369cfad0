"""What the message store costs by the day: inserts, pages, bytes and the end of a day, as it is and as it was in the table `message`.

Fills a Postgres of its own with rows of many days, then measures on it::

    python tests/measure/retention.py --rows 10000000 --before 2000000
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import trio

from rookery.embedded import start_postgres
from rookery.shared import config
from rookery.shared.db import migrate
from rookery.shared.db.api import Connection, Database
from rookery.shared.db.bridge import open_database
from rookery.shared.store import partitions, retention
from rookery.shared.store.archive import Filter, read_page
from rookery.shared.store.partitions import Partition
from rookery.shared.store.reader import delete_archived
from rookery.shared.store.rows import Row, make_row
from rookery.shared.store.sql import insert_rows
from rookery.shared.xmpp.stanza import Stanza

ME = "measure"
DAYS = 60
TICKS = os.sysconf("SC_CLK_TCK")
BODY = b"<body>%d The quick brown fox jumps over the lazy dog, and then it has to wait until the dog is awake again.</body>"
FILL = """
INSERT INTO archive (owner_id, id, stamp, day, mark, outgoing, peer, stanza)
SELECT i % $4 + 1, (1::bigint << 40) + $2 + i, to_timestamp($1::integer * 86400 + i % 86400), $1::integer, (i % 50)::integer, i % 2 = 0,
       'peer' || i % 50 || '@example.org', $3::bytea || i::text::bytea
FROM generate_series(1::bigint, $5::bigint) AS i"""
FILL_BEFORE = """
INSERT INTO message (account_id, id, stream, n, digest, peer, outgoing, archived, owed, stamp, stanza)
SELECT i % $4 + 1, (1::bigint << 40) + $2 + i, decode(md5((i % 5000)::text || $1::integer::text), 'hex'), i, decode(md5(i::text), 'hex'),
       'peer' || i % 50 || '@example.org', i % 2 = 0, true, false, to_timestamp($1::integer * 86400 + i % 86400), $3::bytea || i::text::bytea
FROM generate_series(1::bigint, $5::bigint) AS i"""
Work = Callable[[Connection], Awaitable[Any]]


class Layout(NamedTuple):
    """Where rows go, and how they are filled in."""

    name: str
    begins: str
    fill: str
    rows: int


def stanza(n: int) -> Stanza:
    return Stanza(
        "message", "chat", "peer@example.org", "user1@example.org/phone", f"id{n}", "", (),
        (("jabber:client", "body"),), BODY % n,
    )  # fmt: skip


def rows(rng: random.Random, accounts: int, first: int, count: int) -> list[Row]:
    """Rows as routers make them: of any account, many streams."""
    return [
        make_row(
            rng.randint(1, accounts), (3 << 40) + first + i, b"stream" + (i % 20).to_bytes(10, "big"), first + i, stanza(first + i),
            peer=f"peer{i % 50}@example.org", outgoing=i % 2 == 0, archived=True, owed=False, stamp=time.time(),
        )
        for i in range(count)
    ]  # fmt: skip


def spent(pid: int) -> float:
    """CPU seconds of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(one) for one in fields[11:13]) / TICKS


async def fill(db: Database, layout: Layout, accounts: int) -> None:
    today = (await db.run(0, partitions.now))["archive"]
    packed = b"." * 60 + make_row(1, 1, b"", 1, stanza(10**6), peer="", outgoing=False, archived=True, owed=False, stamp=0).stanza  # fmt: skip
    each = layout.rows // DAYS
    for n, day in enumerate(range(today - DAYS + 1, today + 1)):
        if layout.begins != "NULL" and day < today:
            await db.run(0, lambda conn, day=day: partitions.add(conn, Partition("archive", day, day + 1)))  # type: ignore[misc]
        elif layout.begins != "NULL":
            await db.run(0, partitions.make)
        await db.run(
            0, lambda conn, n=n, day=day: conn.execute(layout.fill, day, n * each, packed, accounts, each)
        )  # type: ignore[misc]
    await db.run(0, lambda conn: conn.execute("VACUUM ANALYZE"))


async def inserts(db: Database, accounts: int, batches: int, size: int) -> str:
    rng = random.Random(1)
    made = [rows(rng, accounts, n * size, size) for n in range(batches)]
    pid = await db.run(0, lambda conn: conn.fetchval("SELECT pg_backend_pid()"))
    await db.run(0, lambda conn: conn.execute("CHECKPOINT"))
    for warm in range(batches // 10):
        await db.run(0, lambda conn, warm=warm: insert_rows(conn, ME, made[warm]))  # type: ignore[misc]
    wal = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"
    before = spent(pid), await db.run(0, lambda conn: conn.fetchval(wal)), time.perf_counter()
    for batch in made[batches // 10 :]:
        await db.run(0, lambda conn, batch=batch: insert_rows(conn, ME, batch))  # type: ignore[misc]
    after = spent(pid), await db.run(0, lambda conn: conn.fetchval(wal)), time.perf_counter()
    count = (batches - batches // 10) * size
    return (
        f"{(after[0] - before[0]) / count * 1e6:.1f} us CPU of Postgres a row, {(after[2] - before[2]) / count * 1e6:.1f} us in all, "
        f"{float(after[1] - before[1]) / count:.0f} bytes of WAL"
    )


async def timed(db: Database, work: Work) -> float:
    """Milliseconds of one unit of work."""
    started = time.perf_counter()
    await db.run(0, work)
    return (time.perf_counter() - started) * 1000


async def pages(db: Database, layout: Layout, accounts: int, count: int) -> str:
    rng = random.Random(2)
    out = []
    pid = await db.run(0, lambda conn: conn.fetchval("SELECT pg_backend_pid()"))
    for name, how in (
        ("catch-up", {}),
        ("last page", {"backwards": True}),
        ("with a peer", {"backwards": True}),
    ):
        took = []
        began = spent(pid)
        for _ in range(count):
            owner = rng.randint(1, accounts)
            after = (1 << 40) + rng.randint(layout.rows // 2, layout.rows) if name == "catch-up" else 0
            wanted = Filter(
                after=after, peer=f"peer{rng.randint(0, 49)}@example.org" if name == "with a peer" else ""
            )

            async def work(
                conn: Connection, owner: int = owner, wanted: Filter = wanted, how: Any = how
            ) -> object:
                return await read_page(conn, owner, wanted, max_rows=100, max_bytes=196_608, **how)

            took.append(await timed(db, work))
        cuts = statistics.quantiles(took, n=100)
        out.append(
            f"{name} p50 {cuts[49]:.1f} p99 {cuts[98]:.1f} ms, {(spent(pid) - began) / count * 1000:.1f} ms CPU of Postgres"
        )
    return "; ".join(out)


async def size(db: Database, table: str) -> tuple[int, int]:
    """(bytes, rows) of a partitioned table, with its indexes."""
    query = f"SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM pg_partition_tree('{table}') WHERE isleaf"
    found: int = await db.run(0, lambda conn: conn.fetchval(query))
    return found, await db.run(0, lambda conn: conn.fetchval(f"SELECT count(*) FROM {table}"))


async def end_of_a_day(db: Database, layout: Layout) -> str:
    today = (await db.run(0, partitions.now))["archive"]
    if layout.begins != "NULL":
        one = Partition("archive", today - DAYS + 1, today - DAYS + 2)
        took = [await timed(db, lambda conn: retention.drop(conn, ME, one))]
        return f"{took[0]:.0f} ms of the database for {layout.rows // DAYS} rows"
    before = (today - DAYS + 2) * 86_400.0
    began, gone = time.perf_counter(), 0
    while done := await db.run(0, lambda conn: delete_archived(conn, ME, before, 500)):
        gone += done
    return f"{(time.perf_counter() - began) * 1000:.0f} ms of the database for {gone} rows, and a second of pause for each 500; vacuum comes later"


async def measure(url: str, args: argparse.Namespace) -> None:
    settings = config.Database(url=url, pool_max=1, statement_timeout=3600.0)
    await migrate.up(settings)
    async with open_database(settings) as db:
        await db.run(0, lambda conn: conn.execute("INSERT INTO domain (name) VALUES ('example.org')"))
        await db.run(0, lambda conn: conn.execute("INSERT INTO fence (incarnation) VALUES ($1)", ME))
        for layout in (
            Layout("message", "NULL", FILL_BEFORE, args.before),
            Layout("archive", "'-infinity'", FILL, args.rows),
        ):
            if not layout.rows:
                continue
            await db.run(
                0, lambda conn, at=layout.begins: conn.execute(f"UPDATE installation SET archive_from = {at}")
            )  # type: ignore[misc]
            started = time.perf_counter()
            await fill(db, layout, args.accounts)
            print(
                f"{layout.name}: {layout.rows} rows of {DAYS} days, {args.accounts} accounts, filled in {time.perf_counter() - started:.0f} s"
            )
            used, count = await size(db, layout.name)
            print(f"  on disk: {used / count:.0f} bytes a row with indexes", flush=True)
            print(f"  pages of 100: {await pages(db, layout, args.accounts, args.pages)}", flush=True)
            print(f"  commits of 64: {await inserts(db, args.accounts, args.batches, 64)}", flush=True)
            if layout.name == "archive":
                used, count = await size(db, "taken")
                print(f"  uids, for a day: {used / max(1, count):.0f} bytes each", flush=True)
            print(f"  end of a day: {await end_of_a_day(db, layout)}", flush=True)
            await db.run(0, lambda conn: conn.execute("TRUNCATE message"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the archive")
    parser.add_argument("--before", type=int, default=2_000_000, help="rows of the table message")
    parser.add_argument("--accounts", type=int, default=5000)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--folder", help="where the data goes, on a disk")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        os.chmod(folder, 0o711)
        server = start_postgres(Path(folder, "postgres"))
        try:
            trio.run(measure, server.url, args)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
