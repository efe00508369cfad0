"""Files in a folder, as a place: its calls in threads."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from rookery.workers.upload.folder import Folder, Incoming
from rookery.workers.upload.place import BLOCK, Terms, Whole

#: Threads that wait for the disk, at most.
_THREADS: Final = 16
#: Names that one look at what was never finished reads.
_NAMES: Final = 1000
T = TypeVar("T")


class Disk:
    """Implements `Place`."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._threads = trio.CapacityLimiter(_THREADS)

    async def _blocking(self, work: Callable[[], T]) -> T:
        """Do something in a thread; it ends before a cancellation does."""
        return await trio.to_thread.run_sync(work, limiter=self._threads)

    async def prepare(self) -> None:
        """Make the folder. Raises OSError."""
        await self._blocking(self._folder.prepare)

    def url(self, method: str, id: str, terms: Terms) -> str:
        """Nobody else reaches the folder."""
        return ""

    async def put(self, file: Whole) -> None:
        """Write block by block, and publish when the file is whole. Raises OSError, and what the file's parts raise."""
        if await self._blocking(lambda: self._folder.has(file.id)):
            raise FileExistsError(file.id)
        incoming = await self._blocking(lambda: self._folder.begin(file.id))
        try:
            await self._fill(incoming, file.blocks)
            await self._blocking(incoming.sync)
            await file.noted()
            if not await self._blocking(incoming.publish):
                raise FileExistsError(file.id)
        finally:
            with trio.CancelScope(shield=True):
                await self._blocking(incoming.close)

    async def _fill(self, incoming: Incoming, blocks: AsyncIterator[bytes]) -> None:
        async for data in blocks:
            await self._blocking(lambda data=data: incoming.write(data))  # type: ignore[misc]

    @asynccontextmanager
    async def read(self, id: str, start: int, stop: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Some bytes. Raises OSError."""
        fd = await self._blocking(lambda: self._folder.open(id))
        try:
            yield self._blocks(fd, start, stop)
        finally:
            os.close(fd)

    async def _blocks(self, fd: int, at: int, stop: int) -> AsyncIterator[bytes]:
        while at < stop:
            data = await self._blocking(lambda at=at: os.pread(fd, min(BLOCK, stop - at), at))  # type: ignore[misc]
            if not data:
                return  # shorter than it was: the client sees that something is missing
            at += len(data)
            yield data

    async def remove(self, ids: Sequence[str]) -> None:
        """Remove files. Raises OSError."""
        await self._blocking(lambda: self._folder.remove(ids))

    async def tidy(self, before: float) -> None:
        """Remove what was never finished. Raises OSError."""
        await self._blocking(lambda: self._folder.abandon(before, _NAMES))

    async def aclose(self) -> None:
        """There is nothing to let go."""
