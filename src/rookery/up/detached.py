"""`rookery up` in the background: started, waited for, and ended by another command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rookery.embedded.child import Lock
from rookery.up.plan import UpError, open_data_directory, told_as_one_line
from rookery.up.state import Running, read_running

LOG: Final = "up.log"
#: How long `rookery up` may take to be ready; what it waits for itself is shorter.
READY_SECONDS: Final = 180.0
_POLL: Final = 0.05
#: Lines of the log that are shown when it did not start.
_TOLD: Final = 5


def start(data: Path, arguments: Sequence[str]) -> Running:
    """Run `rookery up ARGUMENTS --data DATA` in a session of its own, its output in a file there; returns when all is ready.

    Raises UpError when it ends before.
    """
    data = data.absolute()
    with told_as_one_line(data):
        open_data_directory(data)
        log = open(os.open(data / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")  # noqa: SIM115
    with log:
        child = subprocess.Popen(
            [sys.executable, "-m", "rookery", "up", *arguments, "--data", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        running = read_running(data)
        if running is not None and running.pid == child.pid:
            return running
        if child.poll() is not None:
            lines = (data / LOG).read_text("utf-8", "replace").splitlines()[-_TOLD:]
            said = "\n".join(lines) or "it said nothing"
            raise UpError(f"it ended with {child.returncode} before it was ready:\n{said}")
        time.sleep(_POLL)
    raise UpError(f"it is not ready after {READY_SECONDS:.0f} s, and goes on: see {data / LOG}")


def stop(data: Path, seconds: float) -> Running | None:
    """End the `rookery up` on `data` in order and wait for its end; None when there is none. Raises UpError."""
    running = read_running(data)
    lock = Lock(data / "up.lock")
    # Its file may be left of one that was killed, and its number be another process's by now: the lock tells.
    if running is None or _free(lock):
        return None
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while not _free(lock):
        if time.monotonic() >= deadline:
            raise UpError(f"process {running.pid} has not ended after {seconds:.0f} s: see {data / LOG}")
        time.sleep(_POLL)
    return running


def _free(lock: Lock) -> bool:
    try:
        free = lock.acquire(wait=False)
    except OSError:
        return True  # there is no such folder
    lock.release()
    return free
