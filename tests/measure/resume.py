"""A resume storm: sessions on one edge that is killed go on at the others. How long for 99 %, and what that costs the database.

Starts a cluster of its own. Clients log in again with PLAIN, as after any broken connection; that costs the edges one PBKDF2 each,
with the least iterations here. `--together` clients at most are under way at once::

    python -m tests.measure.resume --sessions 500
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from functools import partial

import asyncpg
import trio
from tests.cluster.harness import Cluster
from tests.cluster.managed import Device, Refused


async def transactions(cluster: Cluster) -> int:
    """Transactions that Postgres has committed: each statement of this server is one."""
    state = json.loads((cluster.data / "cluster.json").read_text())
    script = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    return await trio.to_thread.run_sync(lambda: asyncio.run(_value(state["database_url"], script)))


async def _value(url: str, query: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


async def storm(cluster: Cluster, sessions: int, together: int) -> None:
    """Measure once and print."""
    edges = [(edge["pid"], edge["ports"]["c2s"]) for edge in cluster.processes("edge")]
    (pid, port), others = edges[0], [port for _, port in edges[1:]]
    accounts = await trio.to_thread.run_sync(cluster.add_users, sessions)
    devices = [Device(*account) for account in accounts]
    limit = trio.CapacityLimiter(together)
    times: list[float] = []
    failures: list[str] = []
    logins: list[float] = []

    async def begin(one: Device) -> None:
        async with limit:
            since = time.perf_counter()
            await one.login(port)
            logins.append(time.perf_counter() - since)
            await one.send("<presence/>")
            await one.pump(partial(one.has, 1))

    async def again(index: int, killed: float) -> None:
        one = devices[index]
        one.cut()
        async with limit:
            for _ in range(20):
                try:
                    await one.resume(others[index % len(others)])
                    times.append(time.perf_counter() - killed)
                    return
                except Refused as refused:
                    failures.append(str(refused))
                    return
                except (OSError, EOFError, trio.BrokenResourceError):
                    one.cut()
                    await trio.sleep(0.1)
            failures.append("no answer")

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for one in devices:
            nursery.start_soon(begin, one)
    took = time.perf_counter() - began
    print(f"{sessions} sessions in {took:.1f} s ({sessions / took:.0f}/s)")
    quiet = await transactions(cluster)
    await trio.sleep(5)
    before = await transactions(cluster)
    rate = (before - quiet) / 5
    cluster.kill(pid)
    killed = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for index in range(sessions):
            nursery.start_soon(again, index, killed)
    await trio.sleep(3)
    spent = await transactions(cluster) - before - rate * (time.perf_counter() - killed)
    times.sort()
    if times:
        marks = {name: times[min(len(times) - 1, int(len(times) * share))] for name, share in MARKS.items()}
        print(
            "resumed after the kill:", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in marks.items())
        )
    print(f"resumed {len(times)}, failed {len(failures)} {failures[:3]}")
    print(
        f"transactions above the {rate:.0f}/s of an idle cluster: {spent:.0f}, {spent / sessions:.3f} a resumption"
    )


MARKS = {"50 %": 0.5, "90 %": 0.9, "99 %": 0.99, "all": 1.0}


def main() -> None:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--together", type=int, default=100)
    parser.add_argument("--edges", type=int, default=3)
    arguments = parser.parse_args()
    environment = {
        "ROOKERY_EDGE__ALLOW_PLAINTEXT": "true",
        "ROOKERY_EDGE__HOST": "127.0.0.1",
        "ROOKERY_ACCOUNT__ITERATIONS": "4096",
    }
    with Cluster(edges=arguments.edges, environment=environment) as cluster:
        trio.run(storm, cluster, arguments.sessions, arguments.together)


if __name__ == "__main__":
    main()
