"""`python -m tests.cluster.faults [--pairs 200] [--interval 1] [KIND...]`: SIGKILL each kind of process under chat, print a table.

A kind is `edge`, `router`, `roster` (the process that hosts the workers), `nats` or `postgres`.
"""

from __future__ import annotations

import argparse
import signal
import sys

import trio
from tests.cluster.harness import Cluster, ClusterError
from tests.cluster.traffic import Traffic, Verdict

KINDS = ("edge", "router", "roster", "nats", "postgres")
_HEAD = "killed     new in   sent  lost  dup  order  bounced  reconn  iq  iq-err  iq-none  worst-msg  worst-iq  median"


async def strike(
    cluster: Cluster,
    kind: str,
    *,
    pairs: int,
    interval: float,
    before: float,
    after: float,
    pause: float = 0.0,
) -> tuple[float, Verdict]:
    """Run traffic, SIGKILL the first process of `kind` (or SIGSTOP it for `pause` seconds), run on.

    Returns the seconds until it was replaced (or went on) and the verdict.
    """
    accounts = await trio.to_thread.run_sync(cluster.add_users, 2 * pairs)
    traffic = Traffic(cluster, accounts, interval=interval)
    replaced = 0.0
    async with trio.open_nursery() as nursery:
        await traffic.run(nursery)
        await trio.sleep(before)
        began = trio.current_time()
        old = cluster.pids(kind)[0]
        if pause:
            cluster.send_signal(old, signal.SIGSTOP)
            await trio.sleep(pause)
            cluster.send_signal(old, signal.SIGCONT)
        else:
            cluster.kill(old)
            await trio.to_thread.run_sync(cluster.wait_replaced, kind, old, 60.0)
        replaced = trio.current_time() - began
        await trio.sleep(max(0.0, after - replaced))
        await traffic.stop()
    return replaced, traffic.verdict(began - 2 * interval)


def row(kind: str, replaced: float, found: Verdict) -> str:
    """A line of the table."""
    return (
        f"{kind:9}{replaced:8.2f}{found.sent:7}{found.lost:6}{found.duplicated:5}{found.reordered:7}{found.bounced:9}"
        f"{found.reconnects:8}{found.requests:5}{found.request_errors:7}{found.unanswered:9}"
        f"{found.worst_message:10.2f}{found.worst_answer:10.2f}{found.median:9.3f}"
    )


def main(arguments: list[str]) -> int:
    """Print the table; 1 when something was lost or not answered where nobody's own connection was killed."""
    options = argparse.ArgumentParser(prog="python -m tests.cluster.faults", description=__doc__)
    options.add_argument("--pairs", type=int, default=200)
    options.add_argument("--interval", type=float, default=1.0, help="seconds between messages of a pair")
    options.add_argument("--before", type=float, default=5.0)
    options.add_argument("--after", type=float, default=25.0)
    options.add_argument("--pause", type=float, default=0.0, help="SIGSTOP for so long instead of SIGKILL")
    options.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    chosen = options.parse_args(arguments)
    bad = 0
    print(_HEAD, flush=True)
    with Cluster(environment={"ROOKERY_LOG__LEVEL": "info"}) as cluster:
        for kind in chosen.kinds or KINDS:

            async def run(kind: str = kind) -> tuple[float, Verdict]:
                return await strike(
                    cluster,
                    kind,
                    pairs=chosen.pairs,
                    interval=chosen.interval,
                    before=chosen.before,
                    after=chosen.after,
                    pause=chosen.pause,
                )

            try:
                replaced, found = trio.run(run)
            except ClusterError as exc:
                print(f"{kind}: {exc}")
                return 1
            print(row(kind, replaced, found), flush=True)
            bad |= found.unanswered > 0 or (kind != "edge" and found.lost > 0)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
