"""A load run that is told to end, or whose parent is killed, ends quietly and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
BENCH = [sys.executable, "-m", "rookery", "bench"]


def processes(*words: str) -> set[int]:
    """Living processes whose command or environment has all of the words."""
    found = set()
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            said = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if pid != os.getpid() and all(word.encode() in said for word in words):
            found.add(pid)
    return found


def eventually(condition: Callable[[], bool], seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the account of Postgres may go through."""
    path = Path(tempfile.mkdtemp(prefix="rookery-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are accepted and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def start(
    arguments: list[str], home: Path, before: Callable[[], None] | None = None
) -> subprocess.Popen[bytes]:
    """Run the tool with temporary folders of its own; its standard error goes to a file."""
    (home / "temporary").mkdir()
    (home / "temporary").chmod(0o711)
    with (home / "stderr").open("wb") as errors:
        return subprocess.Popen(
            [*BENCH, *arguments],
            env={**os.environ, "TMPDIR": str(home / "temporary")},
            stdout=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=before,
        )


def said(home: Path) -> str:
    return (home / "stderr").read_text()


def running(home: Path) -> set[int]:
    return processes(str(home))


def deaf() -> None:
    """What shells do to background jobs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize(
    ("number", "before"), [(signal.SIGTERM, None), (signal.SIGTERM, deaf), (signal.SIGINT, None)]
)
def test_a_run_that_is_told_to_end(
    home: Path, silent: int, number: signal.Signals, before: Callable[[], None] | None
) -> None:
    options = ["--target", f"127.0.0.1:{silent}", "--users", "4", "--processes", "2"]
    process = start(["run", "chat", *options], home, before)
    eventually(lambda: "logging in" in said(home))
    process.send_signal(number)
    assert process.wait(20) == 130
    assert said(home).endswith("rookery: interrupted\n")
    assert "Traceback" not in said(home), said(home)
    assert running(home) == set()


def test_drivers_end_quietly_with_their_parent(home: Path, silent: int) -> None:
    # Reports without end: a progress for every user that cannot be prepared.
    options = ["--target", f"127.0.0.1:{silent}", "--users", "400", "--ramp", "20", "--timeout", "0.1"]
    process = start(["run", "chat", *options], home)
    eventually(lambda: "logging in" in said(home) and len(running(home)) == 2)
    process.kill()
    process.wait(10)
    eventually(lambda: not running(home), 10)
    assert "Traceback" not in said(home), said(home)


@pytest.mark.parametrize("loading", [False, True])
def test_a_comparison_that_is_terminated(home: Path, loading: bool) -> None:
    options = ["--servers", "rookery", "--users", "4", "--duration", "60", "--warmup", "0"]
    process = start(["peers", "chat", *options], home)
    sign = "rookery.bench.driver.process" if loading else "postgres"
    eventually(lambda: bool(processes(str(home), sign)))
    process.terminate()
    time.sleep(0.2)
    process.terminate()  # whoever is impatient breaks nothing
    assert process.wait(60) == 1
    assert "interrupted after 0 runs" in said(home)
    assert "Traceback" not in said(home), said(home)
    assert list((home / "temporary").iterdir()) == []
    assert running(home) == set()
