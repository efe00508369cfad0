"""A Postgres data directory: made by initdb once for each build, then copied (tens of milliseconds)."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from rookery.embedded.binaries import Binaries, RunAs, cache_directory
from rookery.embedded.child import EmbeddedError, Lock, spawn, tail

USER: Final = "rookery"
DATABASE: Final = "rookery"
#: Part of the template's name: change it when the way templates are made changes.
_RECIPE: Final = "1"


def create_cluster(binaries: Binaries, data: Path, user: RunAs | None, log: Path, *, sync: bool) -> None:
    """Make `data` a new cluster with an empty database, `sync`: and safe from a power loss. Raises EmbeddedError."""
    draft = data.with_name(f"{data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    template = _template(binaries, user, log)
    if template is None:
        _initialise(binaries, draft, user, log)
    else:
        shutil.copytree(template, draft, symlinks=True)
        draft.chmod(0o700)
        _give(draft, user)
    if sync:
        os.sync()  # initdb and the copy leave that to the kernel, and Postgres later syncs only what it changes
    draft.rename(data)


def set_password(binaries: Binaries, data: Path, user: RunAs | None, log: Path) -> str:
    """Give the database user of a cluster that does not run a new random password."""
    password = secrets.token_urlsafe(24)
    _single(binaries, data, user, log, f"ALTER ROLE {USER} PASSWORD '{password}';\n")
    return password


def _template(binaries: Binaries, user: RunAs | None, log: Path) -> Path | None:
    """The cached cluster of this build, made now when it is missing; None when there is no place for a cache."""
    try:
        root = cache_directory()
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        if root.stat().st_uid != os.geteuid():
            return None
        template = root / f"cluster-{_RECIPE}-{binaries.key}"
        if template.exists():
            return template
        lock = Lock(root / f"{template.name}.lock")
        lock.acquire(wait=True)
    except OSError:
        return None
    try:
        if not template.exists():
            with tempfile.TemporaryDirectory(prefix="rookery-initdb-") as folder:
                if user is not None:
                    os.chown(folder, *user.ids)
                made = Path(folder) / "data"
                _initialise(binaries, made, user, log)
                draft = Path(tempfile.mkdtemp(prefix="draft-", dir=root))
                # A copy that belongs to us: nobody else can put links into what we copy from later.
                shutil.copytree(made, draft, symlinks=True, dirs_exist_ok=True)
                draft.rename(template)
    finally:
        lock.release()
    return template


def _initialise(binaries: Binaries, data: Path, user: RunAs | None, log: Path) -> None:
    data.mkdir(mode=0o700)
    _give(data, user)
    # Text that is a key says COLLATE "C" by itself; the locale only has to be the same on every machine.
    locale = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if binaries.major >= 17
        else ["--locale=C"]
    )
    argv = [
        str(binaries.bin / "initdb"),
        "-D",
        str(data),
        "-U",
        USER,
        "--auth=reject",
        "--no-sync",
        "--no-instructions",
    ]
    with log.open("ab") as output:
        process = spawn(
            [*argv, "--encoding=UTF8", *locale],
            cwd=data,
            log=output,
            death_signal=signal.SIGKILL,
            user=user and user.ids,
        )
        if process.wait() != 0:
            raise EmbeddedError(f"initdb failed with code {process.returncode}: {tail(log)}")
    _single(binaries, data, user, log, f"CREATE DATABASE {DATABASE};\n")


def _single(binaries: Binaries, data: Path, user: RunAs | None, log: Path, sql: str) -> None:
    """Run SQL without a server: nothing listens while there is no password yet."""
    argv = [
        str(binaries.bin / "postgres"),
        "--single",
        "-j",
        "-D",
        str(data),
        "-c",
        "log_min_error_statement=panic",
    ]
    with tempfile.TemporaryFile() as script, log.open("ab") as output:
        script.write(sql.encode())
        script.seek(0)
        process = spawn(
            [*argv, "postgres"],
            cwd=data,
            log=output,
            death_signal=signal.SIGKILL,
            user=user and user.ids,
            stdin=script,
            quiet=True,
        )
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
    if code != 0:
        raise EmbeddedError(f"Postgres could not prepare {data}: {tail(log)}")


def _give(path: Path, user: RunAs | None) -> None:
    if user is None:
        return
    os.chown(path, *user.ids)
    for folder, names, files in os.walk(path):
        for name in (*names, *files):
            os.chown(os.path.join(folder, name), *user.ids, follow_symlinks=False)
