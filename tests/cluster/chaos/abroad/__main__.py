"""`python -m tests.cluster.chaos.abroad --peer prosody --minutes 5`: see `docs/faults.md`."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
from functools import partial
from pathlib import Path

from tests.cluster.chaos.abroad.faults import ALL, chosen
from tests.cluster.chaos.abroad.run import PEERS, AbroadRunner, grounds
from tests.cluster.chaos.runner import Settings
from tests.cluster.chaos.telling import render


def main(arguments: list[str]) -> int:
    """Run, print the table, return 0 only when all that must be zero is."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.chaos.abroad", description=__doc__)
    parser.add_argument("--peer", choices=PEERS, default="rookery")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="repeats a run's dice")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument(
        "--faults", default="all", help="names or ids, with commas; all; abroad; -name for all but that"
    )
    parser.add_argument("--injections", type=int, default=0, help="end after so many faults")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--rate", type=float, default=60.0, help="messages a second of all clients together")
    parser.add_argument("--gap", type=float, nargs=2, default=(1.0, 4.0), help="seconds between two faults")
    parser.add_argument("--edges", type=int, default=2)
    parser.add_argument("--routers", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--log", type=Path, help="keep the servers' logs in this folder")
    parser.add_argument("--list", action="store_true", help="list the faults")
    options = parser.parse_args(arguments)
    if options.list:
        for fault in ALL:
            print(f"{fault.id}  {fault.name:<14} {fault.what}")
        return 0
    try:
        faults = [] if options.faults == "none" else chosen(options.faults)
    except ValueError as exc:
        parser.error(str(exc))
    settings = Settings(
        seed=options.seed,
        seconds=options.minutes * 60,
        pairs=options.pairs,
        rate=options.rate,
        edges=options.edges,
        routers=options.routers,
        workers=options.workers,
        gap=tuple(options.gap),
        injections=options.injections,
        rooms=0,
    )
    print(
        f"seed {settings.seed}, {len(faults)} sorts of faults, {settings.pairs} pairs, with {options.peer}",
        flush=True,
    )
    with grounds(options.peer, settings) as made:
        try:
            runner = AbroadRunner(made, settings, faults, partial(print, flush=True))
            report = runner.run()
        finally:
            if options.log is not None:
                options.log.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(made.first.home / "log", options.log / "first.log")
                if made.second is not None:
                    shutil.copyfile(made.second.home / "log", options.log / "second.log")
                if made.prosody is not None:
                    shutil.copyfile(made.prosody.log, options.log / "prosody.log")
    print(render(report, settings))
    if made.prosody is not None:
        print("\nthe other server's own (told apart)")
        for name, messages in runner.ledger.excused._asdict().items():
            print(f"  {name:<38}{len(messages):>8}")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
