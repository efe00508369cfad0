"""What a storm of logins costs those who are logged in: chat alone, beside a storm without a limit, and beside one with the limit of the settings.

Starts two clusters of two edges, one after the other; `rookery bench` plays both loads::

    python -m tests.measure.login_storm --rate 1000 --seconds 10

Printed: the p99 of the chat, how many logins were done and how long they took. `chrt -r 5` keeps a busy machine away from cluster and chat.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.cluster.harness import Cluster

CHATTERS: Final = 40
#: As good as none.
_UNLIMITED: Final = 100_000


def _plain() -> None:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Storm:
    """One cluster and its loads."""

    def __init__(self, cluster: Cluster, users: int) -> None:
        self._cluster = cluster
        names = [(f"user{number:06d}", "localhost") for number in range(CHATTERS + users)]
        self._prefix = cluster.import_users(names)[0][1].removesuffix("user000000")
        self._users = users

    def _bench(self, scenario: str, edge: int, *options: str) -> tuple[subprocess.Popen[str], Path]:
        port = self._cluster.processes("edge")[edge]["ports"]["c2s"]
        out = self._cluster.home / f"{scenario}-{time.monotonic()}.json"
        command = [sys.executable, "-m", "rookery", "bench", "run", scenario, "--quiet", "--json", str(out)]
        command += ["--target", f"127.0.0.1:{port}", "--user", "user%06d"]
        command += ["--password", f"{self._prefix}user%06d", *options]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "text": True}
        preexec = _plain if scenario == "login" else None
        return subprocess.Popen(command, preexec_fn=preexec, **quiet), out

    def chat(self, seconds: float) -> tuple[subprocess.Popen[str], Path]:
        """Sixty messages a second."""
        return self._bench(
            "chat", 0, "--users", str(CHATTERS), "--rate", "60", "--warmup", "3", "--duration", str(seconds)
        )

    def logins(self, rate: float, seconds: float) -> tuple[subprocess.Popen[str], Path]:
        """So many logins a second, at the edge of those who talk."""
        return self._bench(
            "login", 0, "--users", str(self._users), "--first-user", str(CHATTERS), "--rate", str(rate),
            "--warmup", "0", "--duration", str(seconds), "--drain", "30", "--timeout", "60",
        )  # fmt: skip


def _told(out: Path, operation: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out.read_text())["operations"][operation]
    return found


def measure(limit: int, rate: float, seconds: float) -> None:
    """Alone, then beside the storm."""
    environment = {
        "ROOKERY_LIMITS__EXEMPT_NETS": "127.0.0.0/8",
        "ROOKERY_LIMITS__LOGINS_PER_SECOND": str(limit),
    }
    with Cluster(edges=2, routers=1, workers=1, domains=("localhost",), environment=environment) as cluster:
        storm = Storm(cluster, int(rate * 2))
        alone, out = storm.chat(seconds)
        alone.wait()
        before = float(_told(out, "chat")["latency_ms"]["p99"])
        chat, out = storm.chat(seconds)
        time.sleep(4)
        logins, logged = storm.logins(rate, seconds)
        chat.wait()
        logins.wait()
        during = float(_told(out, "chat")["latency_ms"]["p99"])
        login = _told(logged, "login")
        print(
            f"logins_per_second = {limit}: chat p99 {before:.0f} -> {during:.0f} ms ({during / before:.2f}x); {login['count']} logins of "
            f"{rate * seconds:.0f}, p50 {login['latency_ms']['p50']:.0f}, p99 {login['latency_ms']['p99']:.0f} ms, errors {login['errors']}",
            flush=True,
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(
        "--limit", type=int, default=200, help="limits.logins_per_second of the second cluster"
    )
    arguments = parser.parse_args()
    for limit in (_UNLIMITED, arguments.limit):
        measure(limit, arguments.rate, arguments.seconds)


if __name__ == "__main__":
    main()
