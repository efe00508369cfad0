"""`python -m tests.cluster.chaos --seed 1 --minutes 10 --faults all --pairs 20`: see `docs/faults.md`."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.cluster.chaos.faults import OUTSIDE
from tests.cluster.chaos.outside import Outside
from tests.cluster.chaos.rows import ROWS, run_rows
from tests.cluster.chaos.runner import Runner, Settings
from tests.cluster.chaos.table import ALL, chosen
from tests.cluster.chaos.telling import as_json, render
from tests.cluster.harness import Cluster


def main(arguments: list[str]) -> int:
    """Run, print the table, return 0 only when all that must be zero is."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="repeats a run's dice")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument(
        "--faults", default="all", help="names or ids, with commas; all; net; -name for all but that; none"
    )
    parser.add_argument("--injections", type=int, default=0, help="end after so many faults")
    parser.add_argument("--rows", help="the fault table: all, or ids with commas; each in a run of its own")
    parser.add_argument("--jobs", type=int, default=1, help="rows of the table side by side")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--rate", type=float, default=80.0, help="messages a second of all clients together")
    parser.add_argument("--gap", type=float, nargs=2, default=(1.0, 4.0), help="seconds between two faults")
    parser.add_argument(
        "--no-sm", action="store_true", help="without stream management: only order and requests count"
    )
    parser.add_argument("--rooms", type=int, default=6, help="rooms that all clients are in; 0 for none")
    parser.add_argument("--publishers", type=int, default=4, help="clients who publish to nodes; 0 for none")
    parser.add_argument(
        "--overlap",
        type=int,
        nargs="?",
        const=3,
        default=1,
        help="faults begin while others are there: so many at once (3)",
    )
    parser.add_argument("--edges", type=int, default=3)
    parser.add_argument("--routers", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--log", type=Path, help="keep the cluster's log there")
    parser.add_argument("--list", action="store_true", help="list the faults")
    options = parser.parse_args(arguments)
    if options.list:
        for fault in ALL:
            print(f"{fault.id}  {fault.name:<14} {fault.what}")
        return 0
    try:
        if options.rows:
            rows = ROWS if options.rows == "all" else options.rows.split(",")
            return run_rows(rows, options.injections or 20, options.jobs, options.seed)
        faults = chosen(options.faults, overlap=options.overlap > 1)
    except ValueError as exc:
        parser.error(str(exc))
    settings = Settings(
        seed=options.seed,
        seconds=options.minutes * 60,
        pairs=options.pairs,
        rate=options.rate,
        managed=not options.no_sm,
        edges=options.edges,
        routers=options.routers,
        workers=options.workers,
        gap=tuple(options.gap),
        injections=options.injections,
        rooms=options.rooms,
        publishers=options.publishers,
        overlap=options.overlap,
    )
    print(f"seed {settings.seed}, {len(faults)} sorts of faults, {settings.pairs} pairs", flush=True)
    with ExitStack() as stack:
        outside = stack.enter_context(Outside()) if any(f.servers == OUTSIDE for f in faults) else None
        cluster = stack.enter_context(
            Cluster(
                edges=settings.edges,
                routers=settings.routers,
                workers=settings.workers,
                options=["--allow-plaintext", *(outside.options if outside is not None else ())],
            )
        )
        try:
            say = partial(print, flush=True)
            report = Runner(cluster, settings, faults, say, outside).run()
        finally:
            if options.log is not None:
                shutil.copyfile(cluster.home / "log", options.log)
    print(render(report, settings))
    if options.json is not None:
        options.json.write_text(as_json(report, settings))
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
