"""The embedded NATS and Postgres of `rookery up`: started first, watched, started anew where they were, stopped last."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from rookery.embedded import EmbeddedError, Nats, Postgres, start_nats, start_postgres
from rookery.up.patience import Patience

_log = structlog.get_logger()


class Servers:
    """What of the two is ours: None for a server that was given by URL. Everything here runs in the main thread."""

    def __init__(self, home: Path, *, nats: bool, postgres: bool, ephemeral: bool) -> None:
        self._home = home
        self._ephemeral = ephemeral
        self.nats: Nats | None = None
        self.postgres: Postgres | None = None
        self._want = (nats, postgres)

    def start(self) -> None:
        """Start them and return when they accept connections. Raises EmbeddedError."""
        nats, postgres = self._want
        if nats:
            self.nats = start_nats(self._home / "nats")
        if postgres:
            self.postgres = start_postgres(self._home / "postgres", ephemeral=self._ephemeral)

    def stop(self) -> None:
        """Stop NATS, then Postgres, and wait for both."""
        for server in (self.nats, self.postgres):
            if server is not None:
                server.stop()

    def running(self) -> list[tuple[str, int, int]]:
        """(kind, pid, port) of those that run."""
        found = (("nats", self.nats), ("postgres", self.postgres))
        return [(kind, one.pid, one.port) for kind, one in found if one is not None and one.poll() is None]

    async def watch(self, changed: Callable[[], None]) -> None:
        """Start a server that died again, on its port; calls `changed` after each change."""
        async with trio.open_nursery() as nursery:
            if self.nats is not None:
                nursery.start_soon(self._keep, "nats", self._restart_nats, changed)
            if self.postgres is not None:
                nursery.start_soon(self._keep, "postgres", self._restart_postgres, changed)

    def _restart_nats(self) -> None:
        assert self.nats is not None
        self.nats.stop()
        self.nats = start_nats(self._home / "nats", port=self.nats.port, token=self.nats.token)

    def _restart_postgres(self) -> None:
        assert self.postgres is not None
        self.postgres.stop()
        self.postgres = start_postgres(
            self._home / "postgres", port=self.postgres.port, ephemeral=self._ephemeral
        )

    async def _keep(self, kind: str, restart: Callable[[], None], changed: Callable[[], None]) -> None:
        patience = Patience()
        while True:
            server = self.nats if kind == "nats" else self.postgres
            assert server is not None
            ready = trio.current_time()
            await _ended(server.pid)
            _log.error("server_died", server=kind, pid=server.pid, code=server.poll())
            changed()
            worked = trio.current_time() - ready
            while True:
                await trio.sleep(patience.pause(worked))
                try:
                    restart()
                except EmbeddedError as error:
                    _log.error("server_restart_failed", server=kind, error=str(error))
                    worked = 0.0
                else:
                    break
            _log.info("server_restarted", server=kind)
            changed()


async def _ended(pid: int) -> None:
    fd = os.pidfd_open(pid)
    try:
        await trio.lowlevel.wait_readable(fd)
    finally:
        os.close(fd)
