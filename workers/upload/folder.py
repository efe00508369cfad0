"""Files in a folder, which several processes may share. Everything here blocks: it is called in threads.

A file is written under a name of its own in `incoming`, and gets its name by a hard link, which only one can make: whoever comes second
finds it taken. Names are random ids: what clients call their files never reaches the file system.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

INCOMING: Final = "incoming"


class Folder:
    """The folder of `upload.directory`."""

    def __init__(self, directory: str) -> None:
        self._root = Path(directory)

    def prepare(self) -> None:
        """Make it unless it is there. Raises OSError."""
        (self._root / INCOMING).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, id: str) -> Path:
        return self._root / id[:2] / id

    def has(self, id: str) -> bool:
        """Whether the file was put."""
        return self._path(id).exists()

    def begin(self, id: str) -> Incoming:
        """A file to write. Raises OSError."""
        return Incoming(self._root / INCOMING / f"{id}.{secrets.token_hex(8)}", self._path(id))

    def open(self, id: str) -> int:
        """A descriptor to read from. Raises OSError."""
        return os.open(self._path(id), os.O_RDONLY | os.O_CLOEXEC)

    def remove(self, ids: Sequence[str]) -> None:
        """Remove files; those that are gone already are no trouble. Raises OSError."""
        for id in ids:
            self._path(id).unlink(missing_ok=True)

    def abandon(self, before: float, limit: int) -> int:
        """Remove what was begun before a Unix time and never finished; looks at `limit` names at most. Returns how many."""
        gone = 0
        with os.scandir(self._root / INCOMING) as entries:
            for _, entry in zip(range(limit), entries, strict=False):
                try:
                    if entry.stat(follow_symlinks=False).st_mtime < before:
                        os.unlink(entry.path)
                        gone += 1
                except FileNotFoundError:
                    continue
        return gone


class Incoming:
    """A file that is being put."""

    def __init__(self, path: Path, final: Path) -> None:
        self._path = path
        self._final = final
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def write(self, data: bytes) -> None:
        """Append. Raises OSError."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        """Let the bytes reach the disk. Raises OSError."""
        os.fsync(self._fd)

    def publish(self) -> bool:
        """Give the file its name; False when somebody else has. Raises OSError."""
        self._final.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            os.link(self._path, self._final)
        except FileExistsError:
            return False
        for folder in (self._final.parent, self._final.parent.parent):
            directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        return True

    def close(self) -> None:
        """Remove what was written under the name of its own; a published file stays."""
        os.close(self._fd)
        self._path.unlink(missing_ok=True)
