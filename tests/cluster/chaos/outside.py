"""NATS and Postgres beside the cluster instead of under it: on cables, and Postgres on a disk that can be filled."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from tests.cluster.chaos.cables import Cable

from rookery.embedded import start_nats, start_postgres

#: The size of the disk: Postgres itself takes about 60 MB of it.
DISK_BYTES: Final = 256 * 1024 * 1024
_PIECE: Final = 65536


class Outside:
    """Two servers on cables; use it as a context manager. Mounting a disk needs root: without, `disk` is False."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="rookery-outside-"))
        self._home.chmod(0o755)
        self.disk = False
        if os.geteuid() == 0:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "tmpfs", str(self._home)]
            self.disk = subprocess.run(mount, capture_output=True).returncode == 0
        try:
            self._nats = start_nats()
            self._postgres = start_postgres(self._home / "postgres")
        except BaseException:
            self._remove()
            raise
        self.nats = Cable(self._nats.port, nats=True)
        self.postgres = Cable(self._postgres.port)

    @property
    def options(self) -> list[str]:
        """For `rookery up`."""
        database = urlsplit(self._postgres.url)
        by_cable = f"{database.netloc.partition('@')[0]}@127.0.0.1:{self.postgres.port}"
        return [
            "--nats-url",
            f"nats://{self._nats.token}@127.0.0.1:{self.nats.port}",
            "--database-url",
            database._replace(netloc=by_cable, query="").geturl(),
        ]

    # --- the disk ---

    def fill(self) -> None:
        """No byte is free any more."""
        with (self._home / "ballast").open("ab", buffering=0) as ballast:
            for size in (_PIECE, 512):
                try:
                    while ballast.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass

    def free(self) -> None:
        """There is room again; a Postgres that has given up is started anew where it was."""
        (self._home / "ballast").unlink(missing_ok=True)

    def revive(self) -> bool:
        """Start Postgres again when it has given up; whether that was so."""
        if self._postgres.poll() is None:
            return False
        port = self._postgres.port
        self._postgres.stop()
        self._postgres = start_postgres(self._home / "postgres", port=port)
        return True

    # --- the end ---

    def let_go(self) -> None:
        """Whole again."""
        self.nats.let_go()
        self.postgres.let_go()
        self.free()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self.nats.close()
        self.postgres.close()
        self._postgres.stop()
        self._nats.stop()
        self._remove()

    def _remove(self) -> None:
        if self.disk:
            subprocess.run(["umount", "-l", str(self._home)], check=False)
        shutil.rmtree(self._home, ignore_errors=True)
