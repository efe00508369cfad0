"""An embedded Postgres: loopback and a socket in its data directory, a random port, a random password."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from rookery.embedded.binaries import Binaries, RunAs, find_postgres, installations, obstacle, run_as
from rookery.embedded.child import EmbeddedError, Lock, Scratch, free_port, spawn, stop, tail, write_secret
from rookery.embedded.cluster import DATABASE, USER, create_cluster, set_password

_READY_SECONDS: Final = 60.0  # crash recovery of a laptop's data may take a while
_LEAVE_SECONDS: Final = 20.0
#: A unix socket's path has 107 bytes at most on Linux, 103 on macOS.
_SOCKET_PATH: Final = 100
_HBA: Final = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "huge_pages": "off",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "random_page_cost": "1.1",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # statements have what users wrote in them
    "log_parameter_max_length_on_error": "0",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
}
_EPHEMERAL: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass
class Postgres:
    """A running Postgres. `url` and `password` are secret: hand them on, never print them."""

    pid: int
    port: int
    version: str
    data: Path
    password: str = field(repr=False)
    process: subprocess.Popen[bytes] = field(repr=False)
    _lock: Lock = field(repr=False)
    _scratch: Scratch | None = field(repr=False)

    @property
    def url(self) -> str:
        """Where clients on this machine connect, with the password."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The same for another database of this server.

        The socket in the data directory costs a third less CPU a query than TCP; a long path has no socket.
        """
        user = f"{USER}:{self.password}"
        if not _socket_directory(self.data):
            return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"
        return f"postgresql://{user}@/{database}?host={quote(str(self.data), safe='/')}&port={self.port}"

    @property
    def address(self) -> str:
        """Where it listens on TCP, without the password, for people."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self.process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Block until it has ended. Raises subprocess.TimeoutExpired."""
        return self.process.wait(timeout)

    def stop(self) -> None:
        """Stop it (fast: open transactions are rolled back) and wait; remove an ephemeral directory. May be repeated."""
        # SIGINT: fast shutdown; SIGQUIT: at once, recovers at the next start.
        stop(self.process, (signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))
        self._lock.release()
        if self._scratch is not None:
            self._scratch.remove()


def start_postgres(directory: Path | None = None, *, port: int = 0, ephemeral: bool = False) -> Postgres:
    """Start Postgres on the data in `directory` (made when it is new) and return when it accepts connections.

    A new cluster takes about 0.2 s, or 0.8 s the first time on a machine. `directory` None means a temporary one that is
    removed at `stop`. `ephemeral` switches off what makes commits survive a crash of the machine. To start a dead one anew
    where its clients look for it, give its `port`. As root it runs as an unprivileged account. Raises EmbeddedError.
    """
    user = run_as()
    scratch = Scratch("postgres") if directory is None else None
    home = scratch.path if scratch is not None else Path(directory or "").absolute()
    lock = Lock(home / "postgres.lock")
    process: subprocess.Popen[bytes] | None = None
    try:
        _prepare_home(home, user, own=scratch is not None)
        if not lock.acquire(wait=False):
            raise EmbeddedError(f"another process runs Postgres in {home}")
        binaries, data, password = _prepare_data(home, user, sync=not (ephemeral or scratch))
        process, port = _launch(
            binaries, data, user, home / "postgres.log", port, ephemeral=ephemeral or scratch is not None
        )
        return Postgres(process.pid, port, binaries.version, data, password, process, lock, scratch)
    except BaseException:
        lock.release()
        if scratch is not None:
            scratch.remove()
        raise


def _prepare_home(home: Path, user: RunAs | None, *, own: bool) -> None:
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        if not home.exists():
            home.mkdir(mode=0o700)
            own = True
        if user is not None:
            if own:
                home.chmod(0o711)  # the secret files in it stay 0600, the data is the other account's
            blocked = obstacle(home / "data", user)
            if blocked is not None:
                raise EmbeddedError(
                    f"as root Postgres runs as {user.name}, who cannot enter {blocked}: "
                    f"choose another --data, or run as an ordinary user"
                )
    except OSError as exc:
        raise EmbeddedError(f"cannot use {home} for Postgres: {exc.strerror or exc}") from exc


def _prepare_data(home: Path, user: RunAs | None, *, sync: bool) -> tuple[Binaries, Path, str]:
    data, secret, log = home / "data", home / "postgres.password", home / "postgres.log"
    if log.exists():
        log.replace(home / "postgres.log.old")
    log.touch(mode=0o600)
    mark = data / "PG_VERSION"
    if mark.exists():
        binaries = _binaries_of(data, mark.read_text().strip(), user)
        _await_leave(data)
    else:
        binaries = find_postgres(user)
        secret.unlink(missing_ok=True)
        create_cluster(binaries, data, user, log, sync=sync)
    if not secret.exists():
        write_secret(secret, set_password(binaries, data, user, log))
    hba = data / "pg_hba.conf"
    if hba.is_symlink() or hba.read_text() != _HBA:
        hba.unlink()
        hba.write_text(_HBA)
        hba.chmod(0o600)
        if user is not None:
            os.chown(hba, *user.ids)
    return binaries, data, secret.read_text()


def _binaries_of(data: Path, written: str, user: RunAs | None) -> Binaries:
    """The Postgres that wrote the data. Raises EmbeddedError."""
    if written.isascii() and written.isdigit():
        try:
            return find_postgres(user, int(written))
        except EmbeddedError:
            pass
    have = ", ".join(sorted({str(one.major) for one in installations()})) or "none"
    raise EmbeddedError(
        f"{data} needs Postgres {written or '(unknown)'}, which wrote it, and here is {have}: install that one, "
        "or choose another --data (rows move with the old version's pg_dump)"
    )


def _await_leave(data: Path) -> None:
    """Wait for a server that lost its parent to finish; remove what a killed one left behind.

    Postgres would believe a stale file when its number belongs to another process by now, which is usual in containers.
    """
    pid_file = data / "postmaster.pid"
    deadline = time.monotonic() + _LEAVE_SECONDS
    while time.monotonic() < deadline:
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        proc = Path(f"/proc/{pid}")
        if not Path("/proc/self").exists():
            return
        try:
            running = os.path.samefile(proc / "cwd", data)
        except OSError:
            running = False
        if not running:
            pid_file.unlink(missing_ok=True)
            return
        time.sleep(0.01)
    raise EmbeddedError(f"another Postgres (pid {pid}) runs in {data}: stop it first")


def _socket_directory(data: Path) -> str:
    """The directory of the unix socket; "" when its path would be too long or has what Postgres cannot quote there."""
    text = str(data)
    if len(os.fsencode(data)) + len("/.s.PGSQL.65535") > _SOCKET_PATH or any(char in text for char in ',"'):
        return ""
    return text


def _launch(
    binaries: Binaries, data: Path, user: RunAs | None, log: Path, wanted: int, *, ephemeral: bool
) -> tuple[subprocess.Popen[bytes], int]:
    settings = {**_SETTINGS, **(_EPHEMERAL if ephemeral else {})}
    if binaries.major >= 18:
        settings["io_method"] = "sync"  # no input/output workers: three processes less
    settings["unix_socket_directories"] = _socket_directory(data)
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        port = wanted or free_port()
        settings["port"] = str(port)
        argv = [str(binaries.bin / "postgres"), "-D", str(data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        with log.open("ab") as output:
            start = output.tell()
            process = spawn(
                argv,
                cwd=data,
                log=output,
                death_signal=signal.SIGQUIT if ephemeral else signal.SIGINT,
                user=user and user.ids,
            )
        try:
            if _await_ready(process, data, deadline):
                return process, port
        except BaseException:
            stop(process, (signal.SIGQUIT, 5.0))
            raise
        said = log.read_bytes()[start:]
        # The free port was taken meanwhile, or the processes of a killed server are not all gone yet.
        if wanted and b"could not create any TCP/IP sockets" in said:
            raise EmbeddedError(f"Postgres cannot listen on 127.0.0.1:{port}: the port is in use")
        if b"database files are incompatible with server" in said:
            raise EmbeddedError(
                f"{data} was written by another build of Postgres {binaries.major} than {binaries.bin}: "
                "install that one, or choose another --data"
            )
        again = (not wanted and b"Address already in use" in said) or b"still in use" in said
        if not again or time.monotonic() > deadline:
            raise EmbeddedError(f"Postgres ended with code {process.returncode}: {tail(log)}")
        time.sleep(0.05)


def _await_ready(process: subprocess.Popen[bytes], data: Path, deadline: float) -> bool:
    """True when it accepts connections, False when it has ended. Raises EmbeddedError at the deadline."""
    pid_file = data / "postmaster.pid"
    while time.monotonic() < deadline:
        try:
            lines = pid_file.read_text().split("\n")
        except FileNotFoundError:
            lines = []
        if len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    raise EmbeddedError(f"Postgres was not ready after {_READY_SECONDS:.0f} s")
