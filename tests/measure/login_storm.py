"""What a storm of logins costs those who are logged in: chat alone, beside a storm without a limit, and beside one with the limit of the settings.

Starts two clusters of two edges, one after the other. `rookery bench` plays the chat; the storm comes from raw sockets, whose SCRAM keys are computed
before, over plain TCP, so that what is tested is the server's admission (`tests/measure/storm_clients.py`)::

    python -m tests.measure.login_storm --logins 10000 --seconds 10

Printed for each: the p99 of the chat before and during, in paired runs; how many logins were asked for in which time, done, refused; CPU. Cluster, chat and
storm share the cores of this machine: the storm's processes are made `--nice`, since in production they are other people's. Where others use the machine, too,
begin with `chrt -r 5` (the storm's processes give that up).
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

import psutil
from tests.cluster.harness import Cluster
from tests.measure.storm_clients import Keys

CHATTERS: Final = 40
PASSWORD: Final = "a storm of logins"
SALT: Final = "storm-salt"
ITERATIONS: Final = 4096
#: As good as none.
_UNLIMITED: Final = 100_000
_DRIVERS: Final = 2
#: The storm begins so long after the measured part of the chat.
_LEAD: Final = 1.0
WARMUP: Final = 3


def _file(users: int) -> str:
    """Accounts that have the same keys (XEP-0227 section 4.3): nothing is derived when they are imported."""
    keys = Keys.of(PASSWORD, SALT.encode(), ITERATIONS)
    parts = {
        "iter-count": str(ITERATIONS),
        "salt": SALT.encode(),
        "server-key": keys.server,
        "stored-key": keys.stored,
    }
    inner = "".join(
        f"<{name}>{value if isinstance(value, str) else base64.b64encode(value).decode()}</{name}>"
        for name, value in parts.items()
    )
    scram = f"<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-256'>{inner}</scram-credentials>"
    people = "".join(f"<user name='storm{number:06d}'>{scram}</user>" for number in range(users))
    return f"<server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'>{people}</host></server-data>"


class Storm:
    """One cluster and its loads."""

    def __init__(self, cluster: Cluster, users: int, nice: int) -> None:
        self._cluster = cluster
        names = [(f"user{number:06d}", "localhost") for number in range(CHATTERS)]
        self._prefix = cluster.import_users(names)[0][1].removesuffix("user000000")
        path = cluster.home / "storm.xml"
        path.write_text(_file(users))
        cluster.cli("import", "xep0227", str(path))
        self._nice = nice

    def chat(self, seconds: float) -> tuple[subprocess.Popen[str], Path]:
        """Sixty messages a second, by the first edge."""
        port = self._cluster.processes("edge")[0]["ports"]["c2s"]
        out = self._cluster.home / f"chat-{time.monotonic()}.json"
        command = [sys.executable, "-m", "rookery", "bench", "run", "chat", "--quiet", "--json", str(out)]
        command += [
            "--target",
            f"127.0.0.1:{port}",
            "--user",
            "user%06d",
            "--password",
            f"{self._prefix}user%06d",
        ]
        command += [
            "--users",
            str(CHATTERS),
            "--rate",
            "60",
            "--warmup",
            str(WARMUP),
            "--duration",
            str(seconds),
        ]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "text": True}
        return subprocess.Popen(command, **quiet), out

    def logins(self, count: int, seconds: float) -> list[subprocess.Popen[str]]:
        """All of them at all edges, also at that of those who talk."""
        ports = ",".join(str(edge["ports"]["c2s"]) for edge in self._cluster.processes("edge"))
        share = count // _DRIVERS
        return [
            subprocess.Popen(
                [
                    "chrt", "-o", "0", "nice", "-n", str(self._nice), sys.executable, "-m", "tests.measure.storm_clients", "--ports", ports,
                    "--first", str(number * share), "--count", str(share), "--seconds", str(seconds), "--prefix", "storm",
                    "--password", PASSWORD, "--salt", SALT, "--iterations", str(ITERATIONS),
                ],
                stdout=subprocess.PIPE, text=True,
            )
            for number in range(_DRIVERS)
        ]  # fmt: skip

    def cpu(self) -> dict[str, float]:
        """Seconds of each kind of process so far."""
        used: dict[str, float] = {}
        for process in self._cluster.ready()["processes"]:
            times = psutil.Process(process["pid"]).cpu_times()
            name = ",".join(process["kinds"])[:12]
            used[name] = used.get(name, 0.0) + times.user + times.system
        return used


def lags(cluster: Cluster) -> list[str]:
    """The latest that each process has woken up within the last minute, in ms."""
    found = []
    for process in cluster.ready()["processes"]:
        port = process["ports"].get("admin")
        if port is None:
            continue
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            match = re.search(
                r"^rookery_loop_lag_max_seconds ([\d.e-]+)", answer.read().decode(), re.MULTILINE
            )
        found.append(f"{process['kinds'][0]} {1000 * float(match[1]):.0f}" if match else "?")
    return found


def _p99(out: Path) -> float:
    return float(json.loads(out.read_text())["operations"]["chat"]["latency_ms"]["p99"])


def _told(drivers: list[subprocess.Popen[str]]) -> dict[str, Any]:
    """Of all drivers together."""
    answers = [json.loads(driver.communicate()[0]) for driver in drivers]
    ended: dict[str, int] = {}
    for answer in answers:
        for name, number in answer["ended"].items():
            ended[name] = ended.get(name, 0) + number
    return {
        "asked": sum(one["asked"] for one in answers),
        "in_seconds": max(one["asking_seconds"] for one in answers),
        "p50": statistics.median(one["p50"] or 0 for one in answers),
        "p99": max(one["p99"] or 0 for one in answers),
        "driver_cpu": round(sum(one["cpu"] for one in answers), 1),
        **dict(sorted(ended.items())),
    }


def measure(limit: int, arguments: argparse.Namespace) -> None:
    """Alone, then beside the storm, as often as asked for; medians."""
    seconds, logins = arguments.seconds, arguments.logins
    environment = {
        "ROOKERY_LIMITS__EXEMPT_NETS": "127.0.0.0/8",
        "ROOKERY_LIMITS__LOGINS_PER_SECOND": str(limit),
        "ROOKERY_EDGE__ALLOW_PLAINTEXT": "true",
        "ROOKERY_EDGE__HOST": '["127.0.0.1"]',
        **dict(pair.split("=", 1) for pair in arguments.set),
    }
    with Cluster(edges=2, routers=1, workers=1, domains=("localhost",), environment=environment) as cluster:
        storm = Storm(cluster, logins * arguments.rounds, arguments.nice)
        pairs = []
        for _ in range(arguments.rounds):
            alone, out = storm.chat(seconds)
            alone.wait()
            before = _p99(out)
            chat, out = storm.chat(seconds + 2 * _LEAD)
            time.sleep(WARMUP + _LEAD + 1)
            used = storm.cpu()
            drivers = storm.logins(logins, seconds)
            chat.wait()
            after = storm.cpu()
            told = _told(drivers)
            pairs.append((before, _p99(out)))
            spent = {name: round(value - used.get(name, 0.0), 1) for name, value in after.items()}
            print(f"  chat p99 {before:.0f} -> {pairs[-1][1]:.0f} ms; {told}; CPU s {spent}; lag ms {lags(cluster)}; load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
            time.sleep(arguments.rest)
        before, during = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"logins_per_second = {limit}: chat p99 {before:.1f} -> {during:.1f} ms ({during / before:.2f}x), medians of {len(pairs)}", flush=True)  # fmt: skip


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--logins", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rest", type=float, default=5.0)
    parser.add_argument("--nice", type=int, default=10)
    parser.add_argument("--limit", type=int, nargs="+", default=[_UNLIMITED, 200], help="limits.logins_per_second of each cluster")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="VARIABLE=VALUE")
    arguments = parser.parse_args()
    for limit in arguments.limit:
        measure(limit, arguments)


if __name__ == "__main__":
    main()
