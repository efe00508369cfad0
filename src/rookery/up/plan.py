"""What `rookery up` was asked for, as a value."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import platformdirs

from rookery.shared.bus.kinds import built
from rookery.shared.cluster.federation import federated
from rookery.shared.config import Config
from rookery.shared.settings import is_loopback, to_toml, with_servers
from rookery.shared.xeps import upload
from rookery.up.zygote import ChildSpec

LOOPBACK: Final = ("127.0.0.1", "::1")


class UpError(Exception):
    """`rookery up` cannot go on; the text is one line with the remedy. `unreachable`: for want of a server that was named."""

    def __init__(self, text: str, *, unreachable: bool = False) -> None:
        super().__init__(text)
        self.unreachable = unreachable


@dataclass(frozen=True, slots=True)
class Plan:
    """Options of `rookery up`. `data` None means a temporary directory that is removed at the end."""

    config: Config
    data: Path | None
    domains: tuple[str, ...] = ()
    edges: int = 1
    routers: int = 1
    workers: int = 1
    nats_url: str = ""
    database_url: str = ""
    admin_port: int = 0
    registration: Literal["open", "closed"] | None = None
    ready_file: Path | None = None

    def children(self) -> list[tuple[str, tuple[str, ...]]]:
        """Names and kinds of the processes to run. An edge never shares a process with a router."""
        kinds = (("edge", self.edges, ("edge",)), ("router", self.routers, ("router",)))
        named = [(f"{name}-{n + 1}", what) for name, count, what in kinds for n in range(count)]
        shared = tuple(row.kind.label for row in built() if row.by_default)
        return named + [(f"worker-{n + 1}", shared) for n in range(self.workers)]


def child_specs(
    plan: Plan, nats_url: str, database_url: str, tls_directory: str, uploads: str = ""
) -> list[ChildSpec]:
    """The processes with their configuration: the user's, on the servers of this cluster."""

    replace = msgspec.structs.replace
    config = with_servers(plan.config, nats_url, database_url)
    config = replace(
        config,
        tls=replace(config.tls, directory=config.tls.directory or tls_directory),
        admin=replace(config.admin, host="127.0.0.1", port=0),
    )
    files = config.options(upload.Options)
    files = replace(files, directory=files.directory or ("" if files.s3_bucket else uploads))
    # (the sections of extensions are made at run time: no type checker knows their names)
    config = replace(config, upload=files)
    text = to_toml(config, secrets=True)
    return [ChildSpec(name, kinds, text) for name, kinds in plan.children()]


def default_data_directory() -> Path:
    """Where the data of this user's cluster lives: for root a place that the account of Postgres can enter too."""
    if os.geteuid() == 0:
        return Path("/var/lib/rookery")
    wanted = platformdirs.user_data_path("rookery", appauthor=False)
    parent = next(path for path in (wanted, *wanted.parents) if path.exists())
    if os.access(parent, os.W_OK | os.X_OK):
        return wanted
    # A home that cannot be written (service accounts, containers). Whose directory it is gets checked when it is opened.
    shared = "/var/tmp"  # noqa: S108
    return Path(shared if os.access(shared, os.W_OK) else tempfile.gettempdir()) / f"rookery-{os.getuid()}"


def open_data_directory(path: Path) -> Path:
    """Make the data directory unless it is there. Raises UpError when it cannot be used or is another user's."""
    path = path.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # As root the account of Postgres must be able to pass; what is secret has a mode of its own.
        path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise UpError(f"cannot use {path}: {error.strerror}: choose another --data") from error
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        raise UpError(f"{path} is not a directory of this user: choose another --data")
    return path


@contextmanager
def told_as_one_line(data: Path) -> Iterator[None]:
    """What the system refuses while `data` is written becomes an UpError with the remedy; other errors stay as they are."""
    try:
        yield
    except (OSError, ExceptionGroup) as error:
        inner: Exception = error
        while isinstance(inner, ExceptionGroup):
            inner = inner.exceptions[0]
        if isinstance(inner, OSError) and (refused := _refused(data, inner)) is not None:
            raise refused from error
        raise


def _refused(data: Path, error: OSError) -> UpError | None:
    number, text = error.errno, error.strerror or ""
    if number is None and error.args and isinstance(error.args[0], list) and error.args[0]:
        # A copy of a folder has the errors of its files in a list, each (from, to, text).
        text = str(error.args[0][0][-1])
        number = next((code for code in _DISK if os.strerror(code) in text), None)
        text = text if number is None else os.strerror(number)
    if number is None or number not in _DISK:
        return None
    named = error.filename if isinstance(error.filename, str) else str(data)
    return UpError(f"cannot write {named}: {text}: {_DISK[number]}")


#: What refuses a data folder, and what to do.
_DISK: Final[dict[int, str]] = {
    errno.ENOSPC: "make room there, or choose another --data",
    errno.EDQUOT: "make room there, or choose another --data",
    errno.EROFS: "it cannot be written: choose another --data",
    errno.EACCES: "it belongs to somebody else: choose another --data",
    errno.EPERM: "it belongs to somebody else: choose another --data",
    errno.EMFILE: "raise the limit of open files (`ulimit -n 65536`)",
    errno.ENFILE: "raise the limit of open files (`ulimit -n 65536`)",
}


def check_ports(config: Config, admin_port: int) -> None:
    """Raise UpError when a fixed port is taken. SO_REUSEPORT would silently share it with another cluster of this user."""
    edge, files = config.edge, config.options(upload.Options)
    wanted = [
        (edge.host, edge.c2s_port, "--c2s-port"),
        (edge.host, edge.c2s_tls_port, "--c2s-tls-port"),
        (edge.host, edge.http_port, "--http-port"),
        ((config.admin.host,), admin_port, "--admin-port"),
        (files.host, files.port, "ROOKERY_UPLOAD__PORT"),
    ]
    component = config.component
    wanted.append((component.host, component.port, "ROOKERY_COMPONENT__PORT"))
    if federated(config):
        hosts = config.s2s.host or edge.host
        wanted += [
            (hosts, config.s2s.port, "--s2s-port"),
            (hosts, config.s2s.tls_port, "--s2s-tls-port"),
        ]
    fixed = [port for _, port, _ in wanted if port]
    if len(set(fixed)) != len(fixed):
        raise UpError("two listeners have the same port: give each its own, or 0 to pick a free one")
    for hosts, port, option in wanted:
        for host in hosts if port else ():
            _check_port(host, port, option)


def _check_port(host: str, port: int, option: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind((host, port))
            sock.listen(1)
        except PermissionError:
            raise UpError(f"port {port} needs privileges: choose one above 1023 with {option}") from None
        except OSError as error:
            if error.errno in (
                errno.EAFNOSUPPORT,
                errno.EADDRNOTAVAIL,
            ):  # no such address family, or no such address: the edge skips it as well
                return
            raise UpError(
                f"port {port} on {host} is in use: choose another with {option}, or 0 for a free one"
            ) from None


def loopback_only(config: Config) -> bool:
    """Whether only this machine can reach the edges."""
    return all(is_loopback(host) for host in config.edge.host)
