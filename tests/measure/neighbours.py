"""What bad neighbours cost good ones: the latencies of twenty healthy domains alone, and beside each kind of misbehaviour.

Starts a cluster of its own; `rookery bench run s2s` plays the healthy domains, threads of this script the bad ones, from other addresses, so that
limits hold for them and not for the load::

    python -m tests.measure.neighbours                          all of them
    python -m tests.measure.neighbours --kinds dialback,slow --seconds 20

For each: p99 of what goes out and what comes in against that of the run before it without neighbours, memory of the process that has the streams
before and after, what the neighbours did, and how often their domains were tried.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil  # type: ignore[import-untyped]
from tests.cluster.harness import Cluster
from tests.measure.bad_servers import DOMAIN, TARGETS, Crowd, Listening, free_port, server_context

from rookery.bench.remotes.authority import Authority

_NICE: Final = 15
_CERTIFIED: Final = ("*.big.example", "loop.example", "endless.example", "slow.example", "other.invalid")


class Site:
    """The cluster, the healthy domains' place, and the authority of all."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self.ca = folder / "ca.pem"
        authority = Authority.make()
        authority.write(self.ca)
        self.identities = {name: authority.issue(folder, name) for name in _CERTIFIED}
        self.listen = free_port()
        self.stalling, self.deaf = (
            Listening(),
            Listening(server_context(self.identities["slow.example"])),
        )
        routes = [
            f"*=127.0.0.1:{self.listen}",
            f"slow.example=127.0.0.1:{self.deaf.port}",
            "dead.example=127.0.0.1:1",
            *(f"{name}=127.0.0.1:{self.stalling.port}" for name in TARGETS),
        ]
        self.port = free_port()
        self.cluster = Cluster(
            edges=1,
            routers=1,
            workers=1,
            domains=(DOMAIN,),
            options=("--registration", "open", "--s2s-port", str(self.port), "--s2s-tls-port", "0"),
            environment={
                "ROOKERY_S2S__ENABLED": "on",
                "ROOKERY_S2S__CA_FILE": str(self.ca),
                "ROOKERY_S2S__ROUTES": ",".join(routes),
                "ROOKERY_S2S__DIALBACK_DOMAINS": "*.storm.example",
                "ROOKERY_LIMITS__EXEMPT_NETS": "127.0.0.1/32",
            },
        )
        self.runs = 0

    @property
    def worker(self) -> psutil.Process:
        """The process that has the streams."""
        return psutil.Process(self.cluster.pids("s2s")[0])

    def load(self) -> tuple[float, float, str]:
        """Sixty messages a second with twenty domains: p99 out and in, in ms, and what went wrong."""
        edge = self.cluster.processes("edge")[0]["ports"]
        out = self.folder / f"{self.runs}.json"
        command = [
            "nice",
            "-n",
            str(-_NICE),
            sys.executable,
            "-m",
            "rookery",
            "bench",
            "run",
            "s2s",
            "--quiet",
            "--ca",
            str(self.ca),
        ]
        command += ["--target", f"127.0.0.1:{edge['c2s']}", "--s2s-target", f"127.0.0.1:{self.port}"]
        command += ["--dns", "", "--listen", f"127.0.0.1:{self.listen}", "--users", "40", "--remotes", "20"]
        command += ["--ways", "in,out", "--rate", "60", "--warmup", "5", "--drain", "5", "--json", str(out)]
        command += ["--duration", str(self.seconds), *([] if self.runs else ["--register"])]
        self.runs += 1
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not out.exists():
            raise RuntimeError(done.stdout + done.stderr)
        said = re.search(r"messages, warm-up included: (.*)", done.stdout)
        found = json.loads(out.read_text())["operations"]
        p99 = [float(found[way]["latency_ms"]["p99"]) for way in ("out", "in")]
        return p99[0], p99[1], said[1] if said else done.stdout

    def close(self) -> None:
        """The end."""
        for one in (self.stalling, self.deaf):
            one.close()
        self.cluster.stop()


def beside(site: Site, kind: str, play: Callable[[Crowd], list[Callable[[], None]]]) -> None:
    """One kind of neighbour: alone, then beside it."""
    alone = site.load()
    before = site.worker.memory_info().rss >> 20
    tried = site.stalling.came
    crowd = Crowd(site.port, site.cluster.processes("edge")[0]["ports"]["c2s"], site.identities)
    crowd.account = site.cluster.add_users(1)[0]
    threads = [threading.Thread(target=_other, args=(one,), daemon=True) for one in play(crowd)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    there = site.load()
    after = site.worker.memory_info().rss >> 20
    crowd.stop.set()
    for thread in threads:
        thread.join(10)
    print(
        f"{kind}: p99 out {alone[0]:.0f} -> {there[0]:.0f} ms ({there[0] / alone[0]:.2f}x), in {alone[1]:.0f} -> {there[1]:.0f} ms "
        f"({there[1] / alone[1]:.2f}x); memory {before} -> {after} MiB; {there[2]}\n    they: {dict(crowd.counts)}; "
        f"stalling servers were connected to {site.stalling.came - tried} times",
        flush=True,
    )


def _other(act: Callable[[], None]) -> None:
    """As on another machine: also where `chrt` keeps the rest of a busy one away from the cluster and the load."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    act()


KINDS: Final[dict[str, Callable[[Crowd], list[Callable[[], None]]]]] = {
    "subdomains": lambda crowd: [crowd.subdomains],
    "dialback": lambda crowd: [crowd.forge for _ in range(8)] + [crowd.question for _ in range(8)],
    "errors": lambda crowd: [crowd.errors for _ in range(4)],
    "endless": lambda crowd: [crowd.endless for _ in range(10)] + [crowd.preface for _ in range(10)],
    "slow": lambda crowd: [crowd.write_to_the_slow],
}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        site = Site(Path(folder), arguments.seconds)
        # (they would be on other machines: what they compute is not to count)
        os.nice(_NICE)
        try:
            for kind in arguments.kinds.split(","):
                beside(site, kind, KINDS[kind])
        finally:
            site.close()


if __name__ == "__main__":
    main()
