"""Run a real cluster for a test: `rookery up` with N processes of each kind, in a directory of its own, on free ports.

`Cluster` is used from synchronous fixtures; what it starts it stops, also when the parent process died on the way.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil  # type: ignore[import-untyped]
from tests.stories.client import Endpoint, Mode, tls_context

START_LIMIT = 60.0
_LIBC = ctypes.CDLL(None)
_PORTS: dict[Mode, str] = {
    "plain": "c2s",
    "starttls": "c2s",
    "tls": "c2s_tls",
    "websocket": "http",
    "bosh": "http",
}


def end_with_parent() -> None:
    """In a child, before exec: a test process that is killed leaves nothing behind (Linux, prctl PR_SET_PDEATHSIG).

    The signal comes when the starting thread ends, so servers are started from the main thread.
    """
    _LIBC.prctl(1, signal.SIGTERM)


class ClusterError(AssertionError):
    """The cluster did not do what the test needs; the text has the end of its log."""


class Cluster:
    """A running `rookery up`."""

    def __init__(
        self,
        *,
        edges: int = 2,
        routers: int = 2,
        workers: int = 2,
        domains: Sequence[str] = ("localhost", "other.localhost"),
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        authority: str = "",
    ) -> None:
        """`authority`: the CA in PEM when the certificates are the test's own (tls.directory)."""
        self._authority = authority
        self.home = Path(tempfile.mkdtemp(prefix="rookery-"))
        self.home.chmod(0o755)  # Postgres runs as another user when the tests run as root
        self.data = self.home / "data"
        self._ready_file = self.home / "ready.json"
        self._log_path = self.home / "log"
        self._contexts: dict[Mode, Any] = {}
        self._users = 0
        self._password = secrets.token_hex(6)
        command = [sys.executable, "-m", "rookery", "up", "--data", str(self.data)]
        command += ["--ready-file", str(self._ready_file)]
        command += ["--c2s-port", "0", "--c2s-tls-port", "0", "--http-port", "0", "--admin-port", "0"]
        command += ["--edges", str(edges), "--routers", str(routers), "--workers", str(workers)]
        for domain in domains:
            command += ["--domain", domain]
        self.environment = {**os.environ, "ROOKERY_LOG__FORMAT": "json", **(environment or {})}
        began = time.monotonic()
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *options],
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        try:
            self.until(self._ready_file.exists, "to be ready", START_LIMIT)
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.monotonic() - began

    # -- what runs -------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The parent's process id."""
        return self._process.pid

    def ready(self) -> dict[str, Any]:
        """What the ready file says now."""
        found: dict[str, Any] = json.loads(self._ready_file.read_text())
        return found

    def processes(self, kind: str) -> list[dict[str, Any]]:
        """The processes that host `kind` ("edge", "router", "roster", "nats" ...), in the order of the ready file."""
        return [process for process in self.ready()["processes"] if kind in process["kinds"]]

    def pids(self, kind: str) -> list[int]:
        """Their process ids."""
        return [process["pid"] for process in self.processes(kind)]

    @property
    def authority(self) -> str:
        """The CA that clients trust, in PEM."""
        return self._authority or Path(self.ready()["ca_file"]).read_text()

    def endpoint(self, index: int, mode: Mode = "starttls") -> Endpoint:
        """The `index`-th edge, modulo their number."""
        edges = self.processes("edge")
        return self.endpoint_of(edges[index % len(edges)], mode)

    def endpoint_of(self, edge: Mapping[str, Any], mode: Mode = "starttls") -> Endpoint:
        """Where that edge listens."""
        if mode not in self._contexts:
            self._contexts[mode] = tls_context(self.authority, mode)
        others: tuple[int, ...] = ()
        if mode == "bosh":
            others = tuple(
                one["ports"]["http"] for one in self.processes("edge") if one["pid"] != edge["pid"]
            )
        return Endpoint("127.0.0.1", edge["ports"][_PORTS[mode]], mode, self._contexts[mode], others=others)

    # -- users -----------------------------------------------------------------------------------------------------

    def cli(
        self, *arguments: str, text: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `rookery ARGUMENTS` on this cluster. Raises ClusterError when it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "rookery", *arguments, "--data", str(self.data)],
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            env=self.environment,
        )
        if check and done.returncode:
            raise ClusterError(
                f"rookery {' '.join(arguments)}: {done.returncode}: {done.stderr or done.stdout}"
            )
        return done

    def add_users(self, count: int, domain: str = "localhost") -> list[tuple[str, str]]:
        """New accounts: (localpart, password)."""
        names = [f"user{self._users + number}" for number in range(count)]
        self._users += count
        return self.import_users((name, domain) for name in names)

    def import_users(self, accounts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Make these accounts (localpart, domain) and return (localpart, password)."""
        made = [(name, domain, f"{self._password}-{name}") for name, domain in accounts]
        rows = "".join(f"{name}@{domain},{password}\n" for name, domain, password in made)
        path = self.home / "users.csv"
        path.write_text("jid,password\n" + rows)
        self.cli("user", "import", str(path))
        return [(name, password) for name, _, password in made]

    # -- faults ----------------------------------------------------------------------------------------------------

    def kill(self, pid: int) -> float:
        """SIGKILL a process of this cluster and return the monotonic time at which that was."""
        assert pid in self._pids(), f"{pid} is none of this cluster's"
        now = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        return now

    def send_signal(self, pid: int, number: signal.Signals) -> None:
        """Send another signal to a process of this cluster."""
        assert pid in self._pids(), f"{pid} is none of this cluster's"
        os.kill(pid, number)

    def wait_replaced(self, kind: str, old: int, limit: float = 30.0) -> None:
        """Wait until the ready file has as many processes of `kind` as before and `old` is none of them."""
        count = len(self.pids(kind))
        self.until(
            lambda: old not in self.pids(kind) and len(self.pids(kind)) >= count, f"a new {kind}", limit
        )

    def until(self, condition: Any, what: str, limit: float = 30.0) -> None:
        """Poll `condition`. Raises ClusterError when it stays false or the parent ends."""
        deadline = time.monotonic() + limit
        while not condition():
            if self._process.poll() is not None:
                raise ClusterError(f"rookery up ended ({self._process.returncode}):\n{self.log_end()}")
            if time.monotonic() > deadline:
                raise ClusterError(f"waited {limit} s for {what}:\n{self.log_end()}")
            time.sleep(0.02)

    # -- the end ---------------------------------------------------------------------------------------------------

    def log(self) -> str:
        """All that the processes have written."""
        return self._log_path.read_text(errors="replace")

    def log_end(self, characters: int = 4000) -> str:
        """The end of it."""
        return self.log()[-characters:]

    def _pids(self) -> set[int]:
        try:
            return {process["pid"] for process in self.ready()["processes"]}
        except (OSError, ValueError):
            return set()

    def memory(self) -> int:
        """PSS of all processes in bytes."""
        total = 0
        for pid in self._pids() | {self.pid}:
            try:
                total += psutil.Process(pid).memory_full_info().pss
            except psutil.Error:
                continue
        return total

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop the cluster, and what of it is left; remove its directory. Raises ClusterError when something was left."""
        children = self._pids()
        try:
            family = psutil.Process(self.pid).children(recursive=True)
        except psutil.Error:
            family = []
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _, left = psutil.wait_procs(
            [child for child in family if child.pid in children or child.is_running()], 10
        )
        for child in left:
            child.kill()
        shutil.rmtree(self.home, ignore_errors=True)
        if left:
            raise ClusterError(f"left behind: {[child.pid for child in left]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
