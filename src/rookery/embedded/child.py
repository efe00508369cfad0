"""A child process that ends with its parent, and what starting one needs: locks, ports, private files."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


class EmbeddedError(Exception):
    """An embedded server cannot be started; the text is one line for the person at the terminal."""


def _die_with(parent: int, number: int) -> Callable[[], None]:
    """What runs in the new child just before exec, after its privileges were dropped (setuid clears the death signal)."""
    prctl = None if _libc is None else _libc.prctl

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
            if os.getppid() != parent:  # it died between fork and prctl
                os._exit(1)

    return prepare


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    log: IO[bytes],
    death_signal: signal.Signals,
    user: tuple[int, int] | None = None,
    stdin: IO[bytes] | None = None,
    quiet: bool = False,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a direct child in a process group of its own, so that Ctrl-C reaches only the parent.

    `user` is (uid, gid) to become. The death signal belongs to the thread that forks, hence only the main thread may
    call this. Without Linux's prctl (macOS) a child outlives a SIGKILL of its parent. Raises EmbeddedError.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "children are started from the main thread: they die with the thread that started them"
        )
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **(environment or {})},
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else log,
            stderr=log,
            process_group=0,
            user=None if user is None else user[0],
            group=None if user is None else user[1],
            extra_groups=None if user is None else [],
            preexec_fn=_die_with(os.getpid(), death_signal),
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise EmbeddedError(f"cannot start {argv[0]}: {exc}") from exc


def stop(process: subprocess.Popen[bytes], *steps: tuple[signal.Signals, float]) -> int:
    """Send each signal in turn until the child has ended within that many seconds; SIGKILL at last. Returns its code."""
    for number, seconds in (*steps, (signal.SIGKILL, 60.0)):
        if process.poll() is not None:
            break
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    return process.wait()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports of that kind: asked for one after the other, the system may give the same one twice."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def private_directory(path: Path) -> Path:
    """Make a directory (and its parents) that only this user may read, if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def write_secret(path: Path, text: str) -> None:
    """Write a file that only this user may read, whole."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def tail(path: Path, lines: int = 3) -> str:
    """The last lines of a log, for an error message."""
    try:
        text = path.read_bytes()[-4096:].decode(errors="replace")
    except OSError:
        return ""
    return " | ".join(text.strip().splitlines()[-lines:])


class Lock:
    """An advisory lock on a file, held by this process until it ends or `release` is called."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self, *, wait: bool) -> bool:
        """Take the lock; without `wait` return False when another process has it."""
        file = open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")  # noqa: SIM115  held until release
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give the lock back; harmless when not held."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Scratch:
    """A temporary directory for an ephemeral server, locked while in use.

    The next one that is made removes those whose process was killed.
    """

    PREFIX: Final = "rookery-"

    def __init__(self, name: str) -> None:
        base = Path(tempfile.gettempdir())
        self._sweep(base, f"{self.PREFIX}{name}-")
        self.path = Path(tempfile.mkdtemp(prefix=f"{self.PREFIX}{name}-", dir=base))
        self._lock = Lock(self.path / "lock")
        self._lock.acquire(wait=True)

    @staticmethod
    def _sweep(base: Path, prefix: str) -> None:
        for path in base.glob(f"{prefix}*"):
            try:
                # A directory without its lock file is being made right now, or is not ours.
                if path.is_symlink() or path.stat().st_uid != os.getuid() or not (path / "lock").exists():
                    continue
                lock = Lock(path / "lock")
                if lock.acquire(wait=False):
                    shutil.rmtree(path, ignore_errors=True)
                    lock.release()
            except OSError:
                continue

    def remove(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()
